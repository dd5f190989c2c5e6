"""Layer objects as activations, and constants between Flatten and Dense."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

import allconv
from allconv.errors import ConversionError
from tests.helpers.keras_comparison import assert_agree, converts_alike, kinds_of, network

ACTIVATIONS = [
    lambda: layers.LeakyReLU(negative_slope=0.1),
    lambda: layers.ReLU(max_value=0.5),
    lambda: layers.ELU(alpha=0.3),
    lambda: layers.Softmax(),
]


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("make", ACTIVATIONS)
def test_a_layer_given_as_an_activation_stands_behind_the_layer(make, suffix, tmp_path):
    steps = [
        layers.Conv2D(4, 3, activation=make(), name="conv"),
        layers.MaxPooling2D(2, padding="same"),
        layers.Activation(make(), name="activation"),
        layers.Flatten(),
        layers.Dense(3, activation=make(), name="dense"),
    ]
    model = network((6, 6, 2), *steps)
    converted = converts_alike(model)
    kind = type(make()).__name__
    assert kind in kinds_of(converted)
    assert isinstance(converted.get_layer("conv_activation"), getattr(layers, kind))
    assert isinstance(converted.get_layer("activation"), getattr(layers, kind))
    model.save(tmp_path / f"model{suffix}")
    assert_agree(model, allconv.convert(tmp_path / f"model{suffix}", verify=True))


def test_an_activation_layer_with_weights_is_refused_with_what_to_do():
    model = network((6, 6, 2), layers.Conv2D(4, 3, activation=layers.PReLU(), name="conv"))
    expected = (
        "'conv' (Conv2D): its activation 'PReLU' is a layer with weights of its own; call it as a "
        "layer behind this one"
    )
    with pytest.raises(ConversionError) as error:
        allconv.convert(model)
    assert expected in str(error.value)


def test_an_activation_layer_of_ones_own_is_refused():
    @keras.saving.register_keras_serializable("mine")
    class ReLU(layers.Layer):
        def call(self, x):
            return x * x

    model = network((6, 6, 2), layers.Conv2D(4, 3, activation=ReLU()))
    with pytest.raises(ConversionError, match=r"\(Conv2D\): its activation"):
        allconv.convert(model)


NUMBERS = np.linspace(0.5, 2.0, 12, dtype="float32")
CONSTANTS = {
    "Rescaling": lambda: [layers.Rescaling(NUMBERS.tolist(), 0.5)],
    "Rescaling of arrays": lambda: [layers.Rescaling(NUMBERS, NUMBERS[::-1])],
    "Rescaling by a number": lambda: [layers.Rescaling(0.5, 1.0)],
    "add": lambda: [lambda x: ops.add(x, NUMBERS)],
    "add before": lambda: [lambda x: ops.add(NUMBERS, x)],
    "subtract": lambda: [lambda x: x - NUMBERS],
    "subtract from": lambda: [lambda x: ops.subtract(NUMBERS, x)],
    "multiply and divide": lambda: [lambda x: x * NUMBERS[None], lambda x: x / NUMBERS],
    "with others": lambda: [
        layers.BatchNormalization(),
        lambda x: x - NUMBERS,
        layers.Dropout(0.5),
        layers.Rescaling(NUMBERS),
    ],
}


@pytest.mark.parametrize("between", CONSTANTS.values(), ids=list(CONSTANTS))
def test_constants_between_flatten_and_dense_are_folded_into_the_dense(between, tmp_path):
    steps = [layers.Conv2D(3, 3), layers.Flatten(), *between(), layers.Dense(2)]
    model = network((4, 4, 2), *steps)
    converted = converts_alike(model)
    assert "Dense" not in kinds_of(converted)
    allconv.convert(model, input_size="any")
    model.save(tmp_path / "model.keras")
    assert_agree(model, allconv.convert(tmp_path / "model.keras"))


def test_a_division_by_zero_is_not_folded():
    steps = [layers.Flatten(), lambda x: x / np.zeros(32, "float32"), layers.Dense(2)]
    with pytest.raises(ConversionError, match="stands between it and its Flatten"):
        allconv.convert(network((4, 4, 2), layers.ReLU(), *steps))


def test_sums_of_whole_numbers_are_not_folded_since_they_may_overflow():
    image = keras.Input((3, 3, 1), dtype="uint8")
    brighter = keras.ops.add(layers.Flatten()(image), np.full(9, 200, "uint8"))
    with pytest.raises(ConversionError, match="stands between it and its Flatten"):
        allconv.convert(keras.Model(image, layers.Dense(2)(brighter)))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos3"])
@pytest.mark.parametrize("size", [(8, 12), (5, 3)])
def test_resizing_inside_a_network_keeps_its_numbers(size, interpolation, tmp_path):
    steps = [
        layers.Conv2D(3, 3, activation="relu"),
        layers.Resizing(*size, interpolation=interpolation),
        layers.MaxPooling2D(2, padding="same"),
        layers.GlobalAveragePooling2D(),
    ]
    model = network((6, 6, 2), *steps)
    converted = converts_alike(model)
    by_whole = size == (8, 12) and interpolation != "lanczos3"
    assert ("UpSampling2D" if by_whole else "Resizing") in kinds_of(converted)
    if by_whole:
        assert allconv.convert(model, input_size="any").input_shape == (None, None, None, 2)
    else:
        with pytest.raises(ConversionError, match=r"\(Resizing\) has no receptive field"):
            allconv.convert(model, input_size="any")


@pytest.mark.parametrize("how", ["crop_to_aspect_ratio", "pad_to_aspect_ratio"])
def test_resizing_in_the_images_proportions_keeps_its_numbers(how):
    resizing = layers.Resizing(4, 8, fill_value=-3.0 if "pad" in how else 0.0, **{how: True})
    pool = layers.MaxPooling2D(2, padding="same")
    converts_alike(network((6, 6, 2), layers.Conv2D(3, 3, activation="relu"), resizing, pool))


@pytest.mark.parametrize("size", [(8, 8), (6, 3)])
def test_resizing_is_written_to_onnx(size, tmp_path):
    model = network((6, 6, 2), layers.Conv2D(3, 3), layers.Resizing(*size), layers.Conv2D(2, 2))
    exported = allconv.export_onnx(allconv.convert(model), tmp_path / "model.onnx")
    assert exported.operators["Resize"] == 1
