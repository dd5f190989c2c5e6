"""`is_all_convolutional`, and the report's line for every layer that is not."""

from __future__ import annotations

import pytest

import allconv
from tests.helpers.networks import cifar10_cnn, mnist_cnn, of_any_size, residual, stubborn, twins
from tests.helpers.small_applications import NETWORKS


@pytest.mark.parametrize("network", [mnist_cnn, cifar10_cnn, twins, *NETWORKS])
def test_a_model_is_all_convolutional_once_it_is_converted(network):
    model = network()
    converted = allconv.convert(model)
    assert allconv.is_all_convolutional(converted)
    assert allconv.report(converted).obstacles == ()


def test_pools_flattens_and_denses_between_layers_are_not_all_convolutional():
    assert not allconv.is_all_convolutional(mnist_cnn())
    assert not allconv.is_all_convolutional(of_any_size())
    assert allconv.is_all_convolutional(residual())


def test_files_are_asked_alike(tmp_path):
    mnist_cnn().save(tmp_path / "model.keras")
    assert not allconv.is_all_convolutional(tmp_path / "model.keras")


def test_the_report_has_a_line_for_every_layer_that_is_not():
    model = stubborn()
    kept = allconv.convert(model, strict=False)
    assert not allconv.is_all_convolutional(kept)
    report = allconv.report(model, strict=False)
    assert [obstacle.layer for obstacle in report.obstacles] == ["shift", "mean"]
    lines = str(report).partition("stand in the way\n")[2].splitlines()
    assert lines[0].startswith("  'shift' (Lambda): ")
    assert any(line.startswith("  'mean' (GlobalAveragePooling2D): ") for line in lines)


def test_a_head_that_is_kept_is_one_obstacle():
    report = allconv.report(mnist_cnn(), pooling="keep", head="keep", strict=False)
    assert list(map(str, report.obstacles)) == [
        "'hidden' (Dense): no rule was tried on it; likewise 'classes'; so 'flatten' stays, too"
    ]
