"""Quantized layers, and those with LoRA: the same numbers, or a refusal that names the layer."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import allconv
from allconv.building import adapted
from allconv.errors import ConversionError
from allconv.verification.copies import in_float32
from tests.helpers.keras_comparison import assert_close, kinds_of, outputs
from tests.helpers.randomized import randomize

STAY = {"strict": False}
KEEP = {"strict": False, "head": "keep", "pooling": "keep"}
MODES = ["int8", "int4", "float8"]


def cnn(*between):
    """A CNN whose Dense layers are not yet adapted."""
    steps = [layers.Conv2D(4, 3), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(6)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *steps, *between, layers.Dense(4)])
    return randomize(model)


def with_lora(layer, factor):
    """Give a layer LoRA whose product is not zero, as training makes it."""
    layer.enable_lora(2, lora_alpha=factor)
    name = "lora_embeddings_b" if isinstance(layer, layers.Embedding) else "lora_kernel_b"
    variable = getattr(layer, name)
    variable.assign(np.random.default_rng(0).normal(size=variable.shape))
    return layer


def words():
    """An Embedding and an EinsumDense, which Keras quantizes as well."""
    tokens = keras.Input((5,), dtype="int32")
    steps = [
        layers.Embedding(7, 6),
        layers.EinsumDense("abc,cd->abd", output_shape=(None, 4), bias_axes="d"),
    ]
    return randomize(keras.Model(tokens, steps[1](steps[0](tokens)))), steps


def assert_same(model, converted, images):
    for found, expected in zip(outputs(converted, images), outputs(model, images), strict=True):
        assert_close(found, expected)


IMAGES = np.random.default_rng(1).normal(size=(3, 8, 8, 1)).astype("float32")
TOKENS = np.random.default_rng(1).integers(0, 7, (3, 5))


@pytest.mark.parametrize("options", [STAY, KEEP], ids=["dense", "keep"])
@pytest.mark.parametrize("factor", [None, 3.0], ids=["", "lora"])
@pytest.mark.parametrize("mode", MODES)
def test_a_quantized_head_that_stays_gives_the_same_numbers(mode, factor, options):
    if (mode, factor) == ("float8", 3.0):
        pytest.skip("Keras does not call such a layer itself")
    model = cnn()
    for dense in model.layers[3:]:
        if factor:
            with_lora(dense, factor)
        dense.quantize(mode)
    assert_same(model, allconv.convert(model, **options), IMAGES)


@pytest.mark.parametrize("mode", MODES)
def test_a_quantized_head_is_refused_by_name(mode):
    model = cnn()
    model.layers[-1].quantize(mode)
    name = model.layers[-1].name
    with pytest.raises(ConversionError, match=f"'{name}' .Dense.: its weights are quantized, or"):
        allconv.convert(model)
    assert allconv.report(model).refused
    with pytest.raises(ConversionError, match="its weights are quantized"):
        allconv.convert(model, head="classifier")


@pytest.mark.parametrize("factor", [None, 3.0], ids=["", "lora"])
@pytest.mark.parametrize("mode", ["int8", "int4", None])
def test_quantized_embeddings_and_products_that_stay_give_the_same_numbers(mode, factor):
    model, adaptable = words()
    for layer in adaptable:
        if factor:
            with_lora(layer, factor)
        if mode:
            layer.quantize(mode)
    assert_same(model, allconv.convert(model, strict=False), TOKENS)


@pytest.mark.parametrize("factor", [None, 0.5])
def test_lora_is_added_to_the_kernel_of_the_convolution(factor):
    model = cnn()
    for dense in model.layers[3:]:
        with_lora(dense, factor)
    converted = allconv.convert(model)
    assert "Dense" not in kinds_of(converted)
    assert_same(model, converted, IMAGES)


def test_a_convolution_with_lora_stays_with_its_factor():
    model = cnn()
    with_lora(model.layers[0], 1.0)
    assert_same(model, allconv.convert(model), IMAGES)


def test_what_lora_adds_to_a_cell_is_unfolded_to_a_map():
    dense, steps = layers.Dense(8), [layers.Reshape((2, 2, 2)), layers.Conv2D(3, 1)]
    model = keras.Sequential([keras.Input((3,)), dense, *steps])
    with_lora(randomize(model).layers[0], 3.0)
    vectors = np.random.default_rng(1).normal(size=(3, 3)).astype("float32")
    assert_same(model, allconv.convert(model), vectors)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("adapt", [lambda d: d.quantize("int8"), lambda d: d.enable_lora(2)])
def test_files_with_such_layers_are_refused_by_name(adapt, suffix, tmp_path):
    model = cnn()
    adapt(model.layers[-1])
    path = tmp_path / f"model.{suffix}"
    model.save(path)
    for options in ({}, KEEP):
        with pytest.raises(ConversionError, match=f"'{model.layers[-1].name}'"):
            allconv.convert(path, **options)


@pytest.mark.parametrize("mode", ["gptq", "awq"])
def test_other_quantizations_give_the_same_numbers_or_are_refused_by_name(mode):
    name = f"{mode.upper()}Config"
    if not hasattr(keras.quantizers, name):
        pytest.skip("this Keras has no such quantization")
    model = cnn()
    dense = model.layers[-1]
    dense.quantize(mode, config=getattr(keras.quantizers, name)(dataset=["a"], tokenizer=str))
    refusal = f"'{dense.name}' .Dense.: its weights are quantized, or"
    with pytest.raises(ConversionError, match=refusal):  # it has both kernels yet
        allconv.convert(model, **KEEP)
    calibrate_by_hand(dense, mode)
    try:
        converted = allconv.convert(model, **KEEP)
    except ConversionError as error:
        assert re.search(refusal, str(error))
    else:
        assert_same(model, converted, IMAGES)


def calibrate_by_hand(dense, mode):
    """Leave the quantized kernel alone, as Keras' calibration on texts does."""
    kernel = dense.quantized_kernel
    kernel.assign(np.random.default_rng(0).integers(0, 255, kernel.shape).astype("uint8"))
    dense.kernel_scale.assign(dense.kernel_scale + 0.1)
    dense._untrack_variable(dense._kernel)
    setattr(dense, f"is_{mode}_calibrated", True)


def test_a_copy_that_gives_other_numbers_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(adapted, "HIDDEN_STATE", ())
    model = cnn()
    dense = with_lora(model.layers[-1], 3.0)
    dense.quantize("int8")
    with pytest.raises(ConversionError) as caught:
        allconv.convert(model, **KEEP)
    assert str(caught.value) == (
        f"layer '{dense.name}' (Dense): its weights are quantized, or LoRA's are added to them, "
        "and Keras cannot copy it by its get_config(); convert the model before it is "
        "quantized or given LoRA"
    )


def test_a_saturated_end_of_a_quantized_layer_is_compared_as_it_is():
    model = cnn(layers.Dense(5))
    model.layers[-1].activation = keras.activations.softmax
    model.layers[-1].quantize("int8")
    converted = allconv.convert(model, **KEEP)
    assert allconv.verify(model, converted, IMAGES).passed is True
    converted.layers[-1].bias.assign(converted.layers[-1].bias + np.arange(4.0) * 1e-2)
    assert allconv.verify(model, converted, IMAGES).passed is False


CONSTRAINTS = ["MaxNorm", "NonNeg", "UnitNorm"]


@settings(max_examples=5, deadline=None)
@given(name=st.sampled_from(CONSTRAINTS), axis=st.sampled_from([0, 1]), keep=st.booleans())
def test_constraints_wait_for_training(name, axis, keep):
    options = {} if name == "NonNeg" else {"axis": axis}
    constraint = getattr(keras.constraints, name)(**options)
    between = layers.Dense(5, kernel_constraint=constraint, bias_constraint=constraint)
    model = cnn(between)
    assert_same(model, allconv.convert(model, **(KEEP if keep else {})), IMAGES)


def test_a_wrapper_that_normalizes_its_kernel_keeps_it():
    wrapped = layers.SpectralNormalization(layers.Conv2D(3, 2), power_iterations=2)
    steps = [wrapped, layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(4)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *steps])
    model(IMAGES, training=True)
    converted = allconv.convert(model, **KEEP)
    assert_same(model, converted, IMAGES)


@pytest.mark.parametrize("factor", [None, 6.0])
def test_a_16_bit_model_with_lora_is_compared_by_its_own_factor(factor):
    """The float32 copy of it would else have the factor that its configuration leaves out."""
    steps = [layers.Flatten(), layers.Dense(6, dtype="mixed_float16"), layers.Dense(4)]
    model = randomize(keras.Sequential([keras.Input((4, 4, 1)), *steps]))
    with_lora(model.layers[-2], factor)
    assert allconv.verify(model, allconv.convert(model)).passed


def test_a_16_bit_model_of_float8_weights_is_compared_in_whatever_order_keras_makes_them():
    model = randomize(
        keras.Sequential([keras.Input((6,)), layers.Dense(6, dtype="mixed_bfloat16")])
    )
    model.layers[-1].quantize("float8")
    copy = in_float32(model)
    for variable, new in zip(by_name(model), by_name(copy), strict=True):
        assert variable.name == new.name
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (variable, new)))


def by_name(model):
    return sorted(model.weights, key=lambda variable: variable.name)
