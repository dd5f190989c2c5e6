"""Values that an export turns round, and those that layers behind a final activation arrange."""

from __future__ import annotations

import numpy as np
import pytest
from keras import layers

from tests.helpers.keras_comparison import network, outputs, random_images
from tests.helpers.onnx_files import exported, on_tensorflow, run

pytestmark = on_tensorflow


@pytest.mark.parametrize(
    "turned",
    [
        lambda x: x[..., ::-1],
        lambda x: x[:, ::-1],
        lambda x: x[:, :, ::-1, ::-1],
        lambda x: layers.Flatten()(x)[:, ::-1],
    ],
    ids=["channels", "rows", "columns and channels", "vector"],
)
def test_an_axis_that_is_turned_round_is_turned_round_in_the_file(turned, tmp_path):
    steps = layers.Conv2D(3, 2), turned, layers.Flatten(), layers.Dense(2)
    model = network((6, 5, 3), *steps)
    report, file = exported(model, tmp_path)
    assert report.parity.passed
    assert "Slice" in report.operators
    images = random_images(model)
    (found,) = run(file, np.moveaxis(images[0], -1, 1))
    np.testing.assert_allclose(found, outputs(model, images)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize(
    "behind",
    [
        lambda: [layers.Permute((3, 1, 2))],
        lambda: [layers.Permute((2, 1, 3)), layers.Flatten()],
        lambda: [layers.Permute((3, 1, 2)), layers.Reshape((4, -1))],
        lambda: [layers.Reshape((42, 4)), layers.Permute((2, 1)), layers.Dropout(0.5)],
        lambda: [layers.Flatten(data_format="channels_first")],
        lambda: [layers.Permute((3, 2, 1)), layers.Activation("linear")],
    ],
)
def test_a_map_may_be_arranged_behind_its_final_activation(activation, behind, tmp_path):
    model = network((7, 6, 3), layers.Conv2D(4, 1, activation=activation), *behind())
    report, _ = exported(model, tmp_path)
    assert report.parity.passed


def test_a_row_may_be_arranged_behind_its_final_activation(tmp_path):
    steps = layers.Conv1D(4, 2), layers.Softmax(), layers.Permute((2, 1))
    report, _ = exported(network((9, 3), *steps), tmp_path)
    assert report.parity.passed
