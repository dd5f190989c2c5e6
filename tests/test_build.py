"""What a built conversion carries over: numbers, precision, activations, settings for training."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import allconv
from allconv.build import build
from allconv.errors import ConversionError, ShapeError
from allconv.obstacles import is_all_convolutional
from allconv.read import read
from tests.agreement import assert_agree, converts_alike, random_images
from tests.networks import residual
from tests.randomized import randomize
from tests.zoo import chain, under

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
    images = random_images(model)[0]
    expected, found = model(images), converted(images)
    assert found.dtype == expected.dtype
    found, expected = (np.asarray(ops.cast(t, "float64")) for t in (found, expected))
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


@pytest.mark.parametrize("policy", ["float64", "mixed_float16"])
def test_a_global_policy_holds_as_it_was_when_the_model_was_made(policy):
    with under(policy):
        model = cnn(policy)
    converted = allconv.convert(model)
    assert_close_in(policy.removeprefix("mixed_"), model, converted)
    assert {layer.dtype_policy.name for layer in converted.layers[1:]} == {policy}


def test_nan_weights_are_copied_as_they_are():
    model = cnn()
    kernel = model.get_layer("scores").kernel.numpy()
    kernel[3, 1] = np.nan
    model.get_layer("scores").kernel.assign(kernel)
    images = random_images(model)[0]
    found, expected = (m(images).numpy() for m in (allconv.convert(model), model))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.isnan(found).tolist() == [[False, True, False]] * 2


def test_an_empty_batch_goes_through():
    images = np.zeros((0, 8, 8, 2), "float32")
    assert allconv.convert(cnn())(images).shape == (0, 3)


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
    found, expected = allconv.convert(model)(images), model(images)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)


def square(x):
    """An activation of the user's own."""
    return x * x


def relu(x):
    """No ReLU, though Keras writes it as one."""
    return 3 * x


@pytest.mark.parametrize(
    "activation",
    [square, relu, lambda x: x + 1, layers.LeakyReLU(negative_slope=0.3), layers.PReLU()],
)
def test_functions_of_ones_own_stay_the_activations_of_the_layers_that_stay(activation):
    if isinstance(activation, layers.Layer):
        activation = type(activation).from_config(activation.get_config())
    steps = [layers.Conv2D(3, 3, activation=activation), layers.MaxPooling2D(2, padding="same")]
    head = [layers.Flatten(), layers.Dense(3), layers.Activation(relu)]
    model = randomize(chain((8, 8, 2), *steps, *head))
    converted = converts_alike(model, strict=False)
    assert not set(map(id, converted.variables)) & set(map(id, model.variables))


def test_a_backends_activation_of_keras_name_is_keras_own():
    dense = layers.Dense(3, activation=tf.nn.relu)
    converts_alike(randomize(chain((4, 4, 2), layers.Flatten(), dense, layers.Dense(2))))


def test_penalties_and_constraints_of_a_dense_mean_the_same_on_its_convolution():
    dense = layers.Dense(
        3,
        kernel_regularizer=keras.regularizers.L2(0.1),
        bias_regularizer="l1",
        activity_regularizer="l2",
        kernel_constraint=keras.constraints.MaxNorm(1.0, axis=0),
        bias_constraint="non_neg",
        name="dense",
    )
    model = randomize(chain((4, 4, 2), layers.Flatten(), dense))
    converted = converts_alike(model)
    np.testing.assert_allclose(sum(converted.losses), sum(model.losses), rtol=1e-5)
    conv = converted.get_layer("dense")
    found = conv.kernel_constraint(conv.kernel).numpy().reshape(32, 3)
    np.testing.assert_allclose(found, dense.kernel_constraint(dense.kernel), rtol=1e-5)
    np.testing.assert_allclose(conv.bias_constraint(conv.bias), dense.bias_constraint(dense.bias))


@keras.saving.register_keras_serializable("tests")
class Halves(keras.initializers.Initializer):
    """An initializer of the user's own."""

    def __call__(self, shape, dtype=None):
        """Halves, and nothing else."""
        return ops.full(shape, 0.5, dtype)


def test_initializers_are_carried_and_their_values_are_not_drawn():
    init = [Halves(), lambda shape, dtype=None: ops.ones(shape, dtype), "he_normal"]
    convs = [
        layers.Conv2D(2, 1, kernel_initializer=kernel, name=f"c{i}")
        for i, kernel in enumerate(init)
    ]
    dense = layers.Dense(3, kernel_initializer=Halves(), name="dense")
    model = randomize(chain((4, 4, 2), *convs, layers.Flatten(), dense))
    converted = converts_alike(model)
    kinds = {name: type(converted.get_layer(name).kernel_initializer) for name in ("c0", "dense")}
    assert kinds == {"c0": Halves, "dense": Halves}
    assert converted.get_layer("c1").kernel_initializer is init[1]
    assert isinstance(converted.get_layer("c2").kernel_initializer, keras.initializers.HeNormal)


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


def test_a_custom_layer_that_cannot_be_made_again_is_an_error_that_names_it():
    class Times(layers.Layer):
        def __init__(self, factor, **settings):
            super().__init__(**settings)
            self.factor = factor

        def call(self, x):
            return self.factor * x

        def get_config(self):
            return {}

    model = chain((4, 4, 2), Times(2.0, name="times"), layers.MaxPooling2D(2))
    with pytest.raises(ConversionError) as error:
        allconv.convert(model, strict=False)
    message = str(error.value)
    assert message.startswith("layer 'times' (tests.test_build>Times) cannot be made again from")
    assert "its get_config() (TypeError: " in message
    assert message.endswith("); give it a get_config() that its constructor takes")


def test_a_graph_without_live_layers_names_all_the_layers_it_cannot_build():
    steps = [layers.Lambda(square, name="one"), layers.Lambda(square, name="two")]
    graph = read(chain((4, 4, 2), *steps))
    bare = {node: replace(node, spec=replace(node.spec, layer=None)) for node in graph.nodes}
    image, one, two = bare.values()
    one = replace(one, inputs=(image,))
    two = replace(two, inputs=(one,))
    with pytest.raises(ConversionError) as error:
        build(graph.with_outputs([image], [two]))
    assert str(error.value) == (
        "allconv does not build layers whose code lies outside Keras: Lambda 'one', Lambda 'two'"
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
