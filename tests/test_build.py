"""What a built conversion carries over: every weight, the precision, the kind of its inputs."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

import allconv
from allconv.building.build import build
from allconv.errors import ShapeError
from allconv.obstacles import is_all_convolutional
from allconv.read import read
from tests.helpers.keras_comparison import assert_agree, converts_alike, outputs, random_images
from tests.helpers.networks import residual
from tests.helpers.randomized import randomize
from tests.helpers.small_applications import chain, under

EPS = {"float16": 2**-10, "bfloat16": 2**-7, "float64": 2**-52}


def cnn(last="float32", **options):
    """A pool and two Dense layers on images `(batch, 8, 8, 2)`."""
    return randomize(
        chain(
            (8, 8, 2),
            layers.Conv2D(4, 3, activation="relu", name="conv", **options),
            layers.MaxPooling2D(2, name="pool", **options),
            layers.Flatten(**options),
            layers.Dense(6, activation="relu", **options),
            layers.Dense(3, name="scores", dtype=last),
        )
    )


def assert_close_in(compute_dtype, model, converted):
    """The same dtype, and the same numbers up to 32 roundings of it."""
    images = random_images(model)
    (expected,), (found,) = outputs(model, images), outputs(converted, images)
    assert found.dtype == expected.dtype
    found, expected = (values.astype("float64") for values in (found, expected))
    tolerance = 32 * EPS[compute_dtype] * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("last", ["float32", None])
def test_every_layer_keeps_the_precision_of_the_one_it_stands_for(dtype, last):
    model = cnn(last or dtype, dtype=dtype)
    converted = allconv.convert(model)
    assert_close_in(dtype.removeprefix("mixed_"), model, converted)
    policies = {layer.name: layer.dtype_policy.name for layer in converted.layers[1:]}
    ends = {"scores", converted.layers[-1].name}
    assert {policies[name] for name in ends} == {last or dtype}
    assert {policies[name] for name in policies if name not in ends} == {dtype}


FLOAT64 = pytest.param(
    "float64",
    marks=pytest.mark.skipif(
        keras.backend.backend() != "tensorflow",
        reason="JAX has float64 only with jax_enable_x64; Keras' Dense is float32 on PyTorch",
    ),
)


@pytest.mark.parametrize("policy", [FLOAT64, "mixed_float16"])
def test_a_global_policy_holds_as_it_was_when_the_model_was_made(policy):
    with under(policy):
        model = cnn(policy)
    converted = allconv.convert(model)
    assert_close_in(policy.removeprefix("mixed_"), model, converted)
    assert {layer.dtype_policy.name for layer in converted.layers[1:]} == {policy}


def test_nan_weights_are_copied_as_they_are():
    model = cnn()
    kernel, bias = model.get_layer("scores").get_weights()
    kernel[3, 1] = np.nan
    model.get_layer("scores").set_weights([kernel, bias])
    images = random_images(model)
    (found,), (expected,) = (outputs(m, images) for m in (allconv.convert(model), model))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.isnan(found).tolist() == [[False, True, False]] * 2


def test_an_empty_batch_goes_through():
    run = converted = allconv.convert(cnn())
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # With oneDNN, TensorFlow's own convolution gives an empty batch the channels of its input.
        run = tf.function(converted, jit_compile=True)
    assert tuple(run(np.zeros((0, 8, 8, 2), "float32")).shape) == (0, 3)


def test_a_fixed_batch_size_is_kept():
    image = keras.Input(batch_shape=(2, 8, 8, 2))
    x = layers.Flatten()(layers.MaxPooling2D(2)(image))
    converted = converts_alike(randomize(keras.Model(image, layers.Dense(3)(x))))
    assert converted.output_shape == (2, 3)


def preprocessing():
    adapted = layers.Normalization()
    adapted.adapt(np.random.default_rng(0).normal(2, 3, (20, 8, 8, 3)).astype("float32"))
    return {
        "Rescaling": [layers.Rescaling(1 / 127.5, offset=-1)],
        "Normalization adapted": [adapted],
        "Normalization given": [layers.Normalization(mean=[1.0, 2, 3], variance=[4.0, 5, 6])],
        "RandomFlip": [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)],
    }


@pytest.mark.parametrize("kind", preprocessing())
def test_preprocessing_comes_first_as_before(kind):
    steps = [*preprocessing()[kind], layers.Conv2D(4, 3), layers.MaxPooling2D(2)]
    model = chain((8, 8, 3), *steps, layers.Flatten(), layers.Dense(2))
    converted = allconv.convert(model)
    assert is_all_convolutional(read(converted))
    images = random_images(model)[0]
    found, expected = (m.predict(images, verbose=0) for m in (converted, model))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "first",
    [
        [layers.Rescaling(1 / 255)],
        [layers.MaxPooling2D(2, padding="same")],
        [layers.ZeroPadding2D(1)],
        [],
    ],
)
def test_images_of_bytes_are_taken_with_and_without_rescaling(first):
    steps = [*first, layers.Flatten(), layers.Dense(3)]
    model = randomize(keras.Sequential([keras.Input((9, 9, 2), dtype="uint8"), *steps]))
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 2), "uint8")
    (found,), (expected,) = (outputs(m, images) for m in (allconv.convert(model), model))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)


def test_a_shape_on_which_allconv_and_keras_disagree_is_an_error_that_names_both():
    graph = read(residual())
    nodes = {node.name: node for node in graph.nodes}
    wrong = replace(nodes["conv1"], shape=(None, 11, 12, 4))
    with pytest.raises(ShapeError) as error:
        build(graph.with_outputs(graph.inputs, [wrong]))
    assert str(error.value) == (
        "layer 'conv1' (Conv2D): allconv works out the shape (None, 11, 12, 4), but Keras says "
        "(None, 12, 12, 4); one of the two is wrong, please report it with the model's "
        "configuration"
    )


def test_weights_are_copied_not_shared():
    model = cnn()
    converted = allconv.convert(model)
    before = converted.get_weights()
    randomize(model, seed=1)
    for found, expected in zip(converted.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(AssertionError):
        assert_agree(model, converted)


@pytest.mark.parametrize("ending", [None, ".keras", ".h5"])
@pytest.mark.parametrize("size", [None, "any"])
def test_a_sequential_of_which_nothing_is_left_gives_what_it_takes(ending, size, tmp_path):
    """Keras has no Sequential without layers, so it becomes a Functional model."""
    steps = [layers.MaxPooling2D(1), layers.Reshape((5, 5, 3))]
    model = keras.Sequential([keras.Input((5, 5, 3)), *steps[: 1 if size else 2]])
    path = tmp_path / f"model{ending}"
    if ending:
        model.save(path)
    converted = allconv.convert(str(path) if ending else model, input_size=size)
    assert allconv.is_all_convolutional(converted) and allconv.verify(model, converted)
    assert_agree(model, converted)
