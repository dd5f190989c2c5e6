"""Networks of full depth, at small images: exported as they are and converted, and equal."""

from __future__ import annotations

import keras
import pytest

import allconv
from tests.helpers.onnx_files import exported, on_tensorflow, operators
from tests.helpers.randomized import damp_branches, randomize
from tests.test_full_size import ONE_OF_EACH_FAMILY, SIZE

pytestmark = [pytest.mark.slow, on_tensorflow]

OF_A_CONVERTED_NETWORK = {"Add", "Clip", "Concat", "Conv", "Mul", "Pad", "Relu", "Reshape"}
OF_A_CONVERTED_NETWORK |= {"HardSigmoid", "Sigmoid", "Slice", "Softmax", "Sub"}


@pytest.mark.parametrize("name", ONE_OF_EACH_FAMILY)
def test_networks_of_keras_applications_export_and_agree(name, tmp_path):
    build = getattr(keras.applications, name)
    model = build(weights=None, input_shape=(SIZE, SIZE, 3), classes=10)
    damp_branches(randomize(model))
    report, _ = exported(model, tmp_path)
    assert report.parity.passed, report
    report, found = exported(allconv.convert(model), tmp_path)
    assert report.parity.passed, report
    kinds = operators(found)
    assert kinds.count("Reshape") == 1 and kinds[-1] == "Reshape"
    if not name.startswith("ConvNeXt"):  # whose LayerNormalizations are written out
        assert set(kinds) <= OF_A_CONVERTED_NETWORK
