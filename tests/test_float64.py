"""Models that compute in float64 are converted in float64: errors of 1e-15, and verified so."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

import allconv
from tests.helpers.drawn_networks import drawn_network, random_networks
from tests.helpers.keras_comparison import network, outputs
from tests.helpers.randomized import randomize
from tests.helpers.small_applications import NETWORKS, under

EXACT = 1e-14
"""Of an output's spread: some tens of roundings of float64, a millionth of one of float32."""


@pytest.fixture(autouse=True)
def in_float64():
    with under("float64"):
        yield


def error(model, converted, images):
    pairs = zip(outputs(converted, images), outputs(model, images), strict=True)
    return max(np.abs(new - old).max() / np.ptp(old) for new, old in pairs)


def images_of(model, low=-3.0, high=3.0):
    rng = np.random.default_rng(0)
    return [rng.uniform(low, high, (4, *tensor.shape[1:])) for tensor in model.inputs]


POOLS = {
    "mean": [layers.AveragePooling2D, 3],
    "mean same": [layers.AveragePooling2D, 3, 2, "same"],
    "mean of 7 same": [layers.AveragePooling2D, 7, 3, "same"],
    "mean of 13 same": [layers.AveragePooling2D, 13, 1, "same"],
    "mean, unequal strides": [layers.AveragePooling2D, 3, (1, 2), "same"],
    "global mean": [layers.GlobalAveragePooling2D],
    "max": [layers.MaxPooling2D, 3, 2],
    "max same": [layers.MaxPooling2D, 3, 2, "same"],
    "global max": [layers.GlobalMaxPooling2D],
}


@pytest.mark.parametrize("name", POOLS)
def test_pools_are_exact_to_float64(name):
    pool, *settings = POOLS[name]
    # The Input as well: Keras would round the images to float32.
    image = keras.Input((14, 13, 3), dtype="float64")
    model = keras.Model(image, pool(*settings)(image))
    converted = allconv.convert(model, verify=True)
    assert error(model, converted, images_of(model)) <= EXACT
    assert allconv.verify(model, converted).passed
    assert {str(weight.dtype) for weight in converted.weights} <= {"float64"}


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("k", [2, 3, 5, 40])
def test_means_of_signals_are_exact_whatever_their_window(k, data_format):
    signal = keras.Input((9, 8), dtype="float64")
    pool = layers.AveragePooling1D(k, 1, padding="same", data_format=data_format)
    model = keras.Model(signal, pool(signal))
    if data_format == "channels_last" or keras.backend.backend() != "tensorflow":
        assert error(model, allconv.convert(model), images_of(model)) <= EXACT


def test_means_that_count_cells_on_the_way_are_exact():
    image = keras.Input((None, None, 2), dtype="float64")
    model = keras.Model(image, layers.AveragePooling2D((5, 3), 2, padding="same")(image))
    images = np.random.default_rng(0).normal(size=(2, 6, 7, 2))
    assert error(model, allconv.convert(model), images) <= EXACT


BOUNDED = {
    "tanh": [layers.Activation("tanh")],
    "elu": [layers.ELU(0.7)],
    "elu of 0.1": [layers.ELU(0.1)],
    "selu": [layers.Activation("selu")],
    "rescaled": [layers.ReLU(), layers.Rescaling(1.0, -0.7)],
    "to zero": [layers.Activation("tanh"), layers.Rescaling(0.7, 0.7)],
    "leaky": [layers.Activation("tanh"), layers.Rescaling(10.0), layers.LeakyReLU(0.1)],
}


@pytest.mark.parametrize("name", BOUNDED)
def test_maxima_of_values_with_a_bound_are_exact_at_the_bound(name):
    """The border's windows hold the bound itself, which a rounded shift would put below zero."""
    with under("float64"):
        steps = [
            type(layer).from_config(layer.get_config() | {"dtype": "float64"})
            for layer in BOUNDED[name]
        ]
    image = keras.Input((6, 6, 1), dtype="float64")
    x = image
    for step in [*steps, layers.MaxPooling2D(3, 2, padding="same", dtype="float64")]:
        x = step(x)
    model = keras.Model(image, x)
    images = images_of(model, -400.0, -300.0)
    (found,), (expected,) = outputs(allconv.convert(model), images), outputs(model, images)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


def test_a_clone_is_right_to_float32():
    model = network((9, 9, 2), layers.AveragePooling2D(3, name="mean"))
    converted = allconv.convert(model)
    (exact,) = converted.get_layer("mean").get_weights()
    (made,) = keras.models.clone_model(converted).get_layer("mean").get_weights()
    assert np.unique(exact).tolist() == [1 / 9]
    np.testing.assert_allclose(made, 1 / 9, rtol=1e-7)


def test_batch_normalizations_are_folded_in_float64():
    model = network((5, 5, 2), layers.Flatten(), layers.BatchNormalization(), layers.Dense(3))
    assert error(model, allconv.convert(model, verify=True), images_of(model)) <= EXACT
    model = network((5, 5, 2), layers.Conv2D(3, 3), layers.BatchNormalization())
    folded = allconv.convert(model, fold_batchnorm=True, verify=True)
    assert error(model, folded, images_of(model)) <= EXACT


FACTORS = np.linspace(0.1, 1, 75)
BETWEEN = {
    "picked channels": lambda x: layers.Conv2D(2, 2)(x[..., ::-1]),
    "a sum of constants": lambda x: layers.Flatten()(x) + FACTORS,
    "a product of constants": lambda x: layers.Flatten()(x) * FACTORS,
    "a Rescaling": lambda x: layers.Rescaling(FACTORS.tolist(), 0.1)(layers.Flatten()(x)),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_what_stands_between_layers_is_converted_in_their_precision(name):
    image = keras.Input((5, 5, 3), dtype="float64")
    model = keras.Model(image, layers.Dense(3)(layers.Flatten()(BETWEEN[name](image))))
    assert error(model, allconv.convert(model, verify=True), images_of(model)) <= EXACT


@pytest.mark.parametrize("make", NETWORKS)
def test_networks_in_float64_are_verified_in_float64(make):
    model = make()
    assert allconv.verify(model, allconv.convert(model, verify=True)).passed


@pytest.mark.parametrize(
    "single",
    [
        lambda x: layers.GlobalAveragePooling2D(dtype="float32", keepdims=True)(x),
        lambda x: keras.ops.mean(keras.ops.cast(x, "float32"), (1, 2), keepdims=True),
        lambda x: keras.Sequential([layers.AveragePooling2D(3, 1, dtype="float32")])(x),
    ],
)
def test_what_a_model_computes_in_float32_on_its_way_is_held_to_that(single):
    image = keras.Input((9, 9, 2), dtype="float64")
    x = layers.Conv2D(3, 3)(image)
    y = layers.Dense(3)(layers.Flatten()(single(layers.Conv2D(3, 3)(x))))
    model = randomize(keras.Model(image, y))
    verification = allconv.verify(model, allconv.convert(model))
    assert verification and 1e-7 < verification.tolerance < 1e-4, verification


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_files_keep_the_precision(suffix, tmp_path):
    model = network((9, 9, 2), layers.Conv2D(3, 3), layers.AveragePooling2D(3, 2, padding="same"))
    model.save(tmp_path / f"model{suffix}")
    converted = allconv.convert(tmp_path / f"model{suffix}")
    converted.save(tmp_path / f"converted{suffix}")
    loaded = keras.models.load_model(tmp_path / f"converted{suffix}", compile=False)
    assert error(model, converted, images_of(model)) <= EXACT
    assert error(model, loaded, images_of(model)) <= EXACT


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "mixed_float16"])
def test_fixed_kernels_lie_in_the_dtype_of_their_layer(policy):
    with under(policy):
        model = network((6, 6, 2), layers.AveragePooling2D(3), layers.GlobalMaxPooling2D())
        converted = allconv.convert(model)
    for layer in converted.layers:
        assert {str(weight.dtype) for weight in layer.weights} <= {layer.variable_dtype}


def test_onnx_files_of_such_models_are_float32_and_say_so(tmp_path):
    model = network((6, 6, 2), layers.Conv2D(3, 3), layers.AveragePooling2D(3, padding="same"))
    exported = allconv.export_onnx(allconv.convert(model), tmp_path / "model.onnx")
    assert "computes in float32, on the weights of a model of another precision" in str(exported)


@random_networks(12)
@given(data=st.data())
def test_any_network_in_float64_is_converted_in_float64(data):
    with under("float64"):
        model = drawn_network(data.draw)
    converted = allconv.convert(model, strict=False)
    images = images_of(model)
    # Keras rounds what a nested model takes to its Input's float32, up or down by the last bit.
    rounds = any(hasattr(layer, "layers") for layer in model.layers)
    for new, old in zip(outputs(converted, images), outputs(model, images), strict=True):
        spread = max(old.max(), 0) - min(old.min(), 0) + 1e-2
        assert np.abs(new.reshape(old.shape) - old).max() <= (1e-6 if rounds else 1e-11) * spread
