"""Code of the user's own inside layers, and what layers say about training: carried or refused."""

from __future__ import annotations

import importlib
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers, ops

import allconv
from allconv.building.build import build
from allconv.errors import ConversionError
from allconv.read import read
from tests.helpers.keras_comparison import converts_alike, random_images
from tests.helpers.randomized import randomize
from tests.helpers.small_applications import chain


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


@pytest.mark.parametrize("shape", [(8, 8, 2), (2, 8, 8)])
def test_an_activation_that_is_a_layer_converts_behind_a_flatten(shape):
    order = "channels_last" if shape[2] == 2 else "channels_first"
    dense = layers.Dense(3, activation=layers.LeakyReLU(negative_slope=0.3), name="dense")
    steps = [layers.Flatten(data_format=order), layers.Activation(layers.ELU(), name="elu"), dense]
    model = chain(shape, layers.Conv2D(2, 3, data_format=order), *steps)
    assert not allconv.report(model).obstacles
    assert allconv.verify(model, allconv.convert(model)).passed


@pytest.mark.skipif(
    keras.backend.backend() == "jax",
    reason="JAX's activations are objects, of which Keras does not write the name alone",
)
def test_a_backends_activation_of_keras_name_is_keras_own():
    module = {"tensorflow": "tensorflow.nn", "torch": "torch.nn.functional"}
    own = importlib.import_module(module[keras.backend.backend()]).relu
    dense = layers.Dense(3, activation=own)
    converts_alike(randomize(chain((4, 4, 2), layers.Flatten(), dense, layers.Dense(2))))


def test_an_activation_of_keras_name_and_other_defaults_stays_itself():
    conv = layers.Conv2D(3, 3, activation=ops.gelu, name="conv")  # approximate, "gelu" is not
    model = randomize(chain((8, 8, 2), conv, layers.AveragePooling2D(2)))
    converted = converts_alike(model, strict=False)
    assert converted.get_layer("conv").activation is ops.gelu


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
    found, expected = (penalties(m, random_images(model)[0]) for m in (converted, model))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    conv = converted.get_layer("dense")
    for part in ("kernel", "bias"):
        found, expected = (constrained(layer, part) for layer in (conv, dense))
        np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-5)


def penalties(model, images):
    """The sum of what a model adds to its loss for these images."""
    model(images)
    return ops.convert_to_numpy(sum(model.losses))


def constrained(layer, part):
    """A weight as its layer's constraint leaves it."""
    constraint = getattr(layer, f"{part}_constraint")
    return ops.convert_to_numpy(constraint(getattr(layer, part)))


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
    assert message.startswith("layer 'times' (tests.test_own_code>Times) cannot be made again from")
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
