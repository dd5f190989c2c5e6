"""Files in float16 are half as large, say what that costs, and never overflow unsaid."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers

import allconv
from allconv.errors import ExportError
from allconv.export.precision.float16 import in_half
from allconv.export.precision.float16_twin import rounding
from allconv.export.precision.reduced_precision import FLOAT32
from allconv.verification.precision import default_tolerance
from tests.helpers.networks import mnist_cnn
from tests.helpers.onnx_drafts import exported, onnx_model, weights_of
from tests.helpers.onnx_files import on_tensorflow
from tests.helpers.randomized import randomize

pytestmark = on_tensorflow

FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def scaled(*factors: float) -> keras.Model:
    """Images of 4x4, each layer's result times a factor."""
    image = tensor = keras.Input((4, 4, 2), name="image")
    for number, factor in enumerate(factors):
        kernel = keras.initializers.Constant(factor * np.eye(2).reshape(1, 1, 2, 2))
        conv = layers.Conv2D(2, 1, kernel_initializer=kernel, use_bias=False, name=f"conv{number}")
        tensor = layers.LeakyReLU(name=f"leaky{number}")(conv(tensor))
    return keras.Model(image, tensor, name="scaled")


def enlarged() -> keras.Model:
    image = keras.Input((4, 4, 2), name="image")
    return keras.Model(image, layers.UpSampling2D(2)(layers.Conv2D(2, 3)(image)))


def half_of(model: onnx.ModelProto) -> onnx.ModelProto:
    def tensors(constants):
        return [onnx.numpy_helper.from_array(values, name) for name, values in constants.items()]

    return in_half(model, Path(), tensors)


def drawn(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(3, 2, 4, 4)).astype("float32")


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_a_file_in_float16_is_half_as_large_and_takes_and_gives_float32(tmp_path, data_format):
    model = allconv.convert(randomize(mnist_cnn(), seed=1))
    with exported(model, tmp_path, data_format) as draft:
        found = draft.in_float16()
        whole = (draft.draft.folder / FLOAT32).stat().st_size
        assert draft.draft.size() < 0.55 * whole
        ends = [*found.model.graph.input, *found.model.graph.output]
        assert {end.type.tensor_type.elem_type for end in ends} == {FLOAT}
        kinds = {values.dtype for values in weights_of(found.model).values()}
        assert kinds == {np.dtype("float16"), np.dtype("int64")}
        casts = [node.name for node in found.model.graph.node if node.op_type == "Cast"]
        assert casts == ["image/to_float16", "classes/to_float32"]


def test_the_stated_error_is_that_of_keras_in_float16(tmp_path):
    model = randomize(mnist_cnn(), seed=1)
    with exported(allconv.convert(model), tmp_path) as draft:
        loss = draft.in_float16().loss
    config = model.get_config()
    keras.config.set_dtype_policy("float16")
    try:
        blocks = [layers.deserialize(_in_half(each)) for each in config["layers"]]
    finally:
        keras.config.set_dtype_policy("float32")
    half = keras.Sequential(blocks)
    half.set_weights(model.get_weights())
    images = np.random.default_rng(0).normal(size=(16, 28, 28, 1)).astype("float32")
    expected, found = (np.asarray(each(images), "float32") for each in (model, half))
    error = np.abs(expected - found).max() / expected.max()
    assert error / 5 < loss.error < error * 5
    assert loss.error < default_tolerance(half)
    assert (loss.equal, loss.decisions, loss.samples) == (16, 16, 16)


def _in_half(config):
    inner = {**config["config"], "dtype": "float16"}
    return {**config, "config": inner}


def test_the_twin_rounds_as_numpy_does_in_float16():
    factor, summand = np.float32([[[0.3]], [[-7.7]]]), np.float32([[[1 / 3]], [[1e-4]]])
    weights = {"factor": factor, "summand": summand}
    model = onnx_model(weights, "Mul image factor", "Add layer0/Mul summand", "Abs layer1/Add")
    image = drawn()
    half = [values.astype("float16") for values in (image, factor, summand)]
    expected = np.abs(half[0] * half[1] + half[2])
    (found,) = _run(rounding(model), image)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected.astype("float32"))


def test_the_twin_of_a_convolution_rounds_after_the_sum_and_not_within_it():
    kernel = np.random.default_rng(1).normal(size=(5, 2, 4, 4)).astype("float32")
    image = drawn()
    half = [values.astype("float16").astype("float32") for values in (image, kernel)]
    expected = np.einsum("bchw,ochw->bo", *half).astype("float16")
    (found,) = _run(rounding(onnx_model({"kernel": kernel}, "Conv image kernel")), image)
    np.testing.assert_array_equal(found.reshape(3, 5), found.reshape(3, 5).astype("float16"))
    np.testing.assert_allclose(found.reshape(3, 5), expected, rtol=2**-10)


def test_a_resize_keeps_its_scales_in_float32(tmp_path):
    model = randomize(enlarged(), seed=1)
    with exported(model, tmp_path) as draft:
        found = draft.in_float16()
        (resize,) = [node for node in found.model.graph.node if node.op_type == "Resize"]
        assert weights_of(found.model)[resize.input[2]].dtype == np.float32
        assert 0 < found.loss.error < 2e-3


def test_a_constant_that_is_both_scale_and_weight_is_there_in_both_precisions():
    sizes = {"sizes": np.float32([1, 1, 2, 2])}
    model = onnx_model(sizes, "Resize image - sizes", "Mul layer0/Resize sizes")
    found = weights_of(half_of(model))
    assert {name: values.dtype.name for name, values in found.items()} == {
        "sizes": "float32",
        "sizes/float16": "float16",
    }


def test_a_weight_beyond_float16_is_refused_by_its_name(tmp_path):
    with exported(scaled(1.0, 1e5), tmp_path) as draft:
        with pytest.raises(ExportError) as caught:
            draft.in_float16()
        assert not draft.draft.file.exists()
    assert str(caught.value) == (
        "model 'scaled' has weights beyond 65504, the largest number of float16: 'conv1/kernel' "
        "(up to 1e+05); export it in float32, or scale these layers down"
    )
    assert not list(tmp_path.iterdir())


def test_values_beyond_float16_are_refused_with_the_first_layer_that_has_them(tmp_path):
    model = scaled(300.0, 300.0, 300.0, 1e-4)
    with exported(model, tmp_path) as draft, pytest.raises(ExportError) as caught:
        draft.in_float16()
    message = str(caught.value)
    assert message.startswith(
        "model 'scaled' cannot compute in float16: layer 'conv1' gives values up to "
    )
    assert message.endswith(
        ", and the largest number of float16 is 65504; export it in float32, or scale what goes "
        "into the layer down"
    )


def test_an_overflow_shows_in_the_twin_only(tmp_path):
    model = scaled(300.0, 300.0, 300.0, 1e-4)
    with exported(model, tmp_path) as draft:
        float32 = draft.model
    (twin,) = _run(rounding(float32), drawn())
    assert not np.isfinite(twin).all()
    (expected,) = _run(float32, drawn())
    assert np.isfinite(expected).all()


def _run(model: onnx.ModelProto, image: np.ndarray) -> list[np.ndarray]:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"image": image})
