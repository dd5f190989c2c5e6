"""Lower bounds: no layer ever returns less, and those of activations are hardly any looser."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers, ops

from allconv.layers.ranges import ACTIVATION_MINIMA, lower_bound
from allconv.read import read
from tests.helpers.keras_comparison import network, outputs

NUMBERS = st.sampled_from([-3.0, -1.0, -0.25, 0.0, 0.5, 2.0])
POSITIVE = st.sampled_from([0.0, 0.25, 1.0, 3.0])
NAMES = st.sampled_from(sorted(ACTIVATION_MINIMA))


def applied(make, *drawn, **options):
    """A layer, or an operation, with options drawn, to be made when it is called on a tensor."""
    return st.builds(lambda *args, **kwargs: lambda x: make(*args, **kwargs)(x), *drawn, **options)


OF_ONE = st.one_of(
    applied(layers.Activation, NAMES),
    applied(
        layers.ReLU,
        max_value=st.none() | POSITIVE,
        negative_slope=POSITIVE,
        threshold=st.just(0.0) | POSITIVE,
    ),
    applied(layers.LeakyReLU, negative_slope=POSITIVE),
    applied(layers.ELU, alpha=NUMBERS),
    applied(lambda: layers.PReLU(alpha_initializer=keras.initializers.Constant(-0.3))),
    applied(layers.Softmax),
    applied(layers.Rescaling, scale=NUMBERS, offset=NUMBERS),
    applied(layers.ZeroPadding2D),
    applied(layers.UpSampling2D, interpolation=st.sampled_from(["nearest", "bilinear", "bicubic"])),
    applied(lambda: layers.MaxPooling2D(2, 1, padding="same")),
    applied(lambda: layers.AveragePooling2D(3, 1, padding="same")),
    applied(lambda: layers.Dropout(0.5)),
    applied(lambda name: layers.Conv2D(2, 1, activation=name), NAMES),
    applied(layers.BatchNormalization),
    applied(lambda alpha: lambda x: ops.elu(x, alpha), POSITIVE),
    applied(lambda: lambda x: ops.celu(x, 2.0)),
    applied(lambda: ops.relu6),
)
"""Steps that take one map."""


OF_TWO = st.sampled_from(
    ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"]
)
"""Layers that merge two maps."""


def assert_bounded(model):
    """No value that the model gives is below its bound, whatever the scale of the images."""
    graph = read(model)
    rng = np.random.default_rng(0)
    for scale in (0.3, 3.0, 30.0):
        image = rng.normal(size=(2, *model.input_shape[1:])).astype("float32") * np.float32(scale)
        for node, values in zip(graph.outputs, outputs(model, [image]), strict=True):
            if node.lower_bound is not None and np.isfinite(values).all():
                slack = 1e-5 * (1 + abs(node.lower_bound))
                assert values.min() >= node.lower_bound - slack, node


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(OF_ONE, min_size=1, max_size=5))
def test_no_value_of_a_chain_of_layers_is_below_its_bound(steps):
    image = keras.Input((3, 3, 2))
    tensors = [image]
    for step in steps:
        tensors.append(step(tensors[-1]))
    assert_bounded(keras.Model(image, tensors))


@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
@given(sides=st.tuples(NAMES, NAMES), offset=NUMBERS, merge=OF_TWO, others=st.booleans())
def test_no_value_of_merged_maps_is_below_its_bound(sides, offset, merge, others):
    image = keras.Input((3, 3, 2))
    left = layers.Rescaling(1.0, offset)(layers.Activation(sides[0])(image))
    right = image if others else layers.Activation(sides[1])(layers.Rescaling(-1.0)(image))
    assert_bounded(keras.Model(image, getattr(layers, merge)()([left, right])))


@pytest.mark.parametrize("name", sorted(ACTIVATION_MINIMA))
def test_the_minimum_of_an_activation_is_below_all_its_values_and_just_so(name):
    grid = np.linspace(-30, 30, 60001, dtype="float32")
    both = keras.ops.convert_to_tensor(np.stack([grid, -grid], axis=-1))
    values = keras.ops.convert_to_numpy(keras.activations.get(name)(both))
    assert ACTIVATION_MINIMA[name] <= values.min() <= ACTIVATION_MINIMA[name] + 0.05


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([layers.ReLU()], 0.0),
        ([layers.Conv2D(2, 1, activation="relu"), layers.MaxPooling2D(2)], 0.0),
        ([layers.ReLU(), layers.Rescaling(2.0, -1.0)], -1.0),
        ([layers.Activation("tanh"), layers.LeakyReLU(negative_slope=0.5)], -0.5),
        ([layers.Activation("tanh"), layers.Dropout(0.5), layers.ZeroPadding2D(1)], -1.0),
        ([layers.Rescaling(1.0, 2.0)], None),
        ([layers.ReLU(), layers.Rescaling(-1.0)], None),
        ([layers.ReLU(), layers.Conv2D(2, 1)], None),
        ([layers.ReLU(), layers.BatchNormalization()], None),
        ([layers.ReLU(), layers.UpSampling2D(interpolation="bicubic")], None),
        ([layers.Activation("leaky_relu")], None),
    ],
)
def test_a_bound_follows_the_layers(steps, expected):
    assert read(network((4, 4, 2), *steps)).outputs[0].lower_bound == expected


def test_images_of_unsigned_integers_are_not_negative():
    assert lower_bound("InputLayer", {"dtype": "uint8"}, []) == 0.0
    assert lower_bound("InputLayer", {"dtype": "float32"}, []) is None


def test_the_activation_inside_somebody_elses_layer_says_nothing_of_what_it_returns():
    assert lower_bound("my_package>Block", {"activation": "relu"}, [0.0]) is None
    assert lower_bound("LSTM", {"activation": "relu"}, [0.0]) is None
