"""`head="classifier"`: one fresh convolution for each output, hidden Dense layers gone."""

from __future__ import annotations

import keras
import pytest
from keras import layers

import allconv
from allconv.errors import ConversionError
from allconv.plan import plan_conversion
from tests.helpers import networks
from tests.helpers.keras_comparison import converts_alike, kinds_of, network, reasons
from tests.helpers.randomized import randomize


def hidden(units, number):
    return layers.Dense(units, activation="relu", name=f"hidden{number}")


def test_the_head_is_one_convolution_as_large_as_the_map():
    converted = allconv.convert(networks.mnist_cnn(), head="classifier", pooling="stride")
    classes = converted.get_layer("classes")
    assert [layer.name for layer in converted.layers][-2:] == ["classes", "flatten"]
    assert (type(classes), classes.kernel.shape) == (layers.Conv2D, (3, 3, 64, 10))
    assert classes.activation is keras.activations.softmax
    assert converted.output_shape == (None, 10)


def test_the_plan_says_what_was_dropped_and_what_is_fresh():
    plan = plan_conversion(networks.mnist_cnn(), head="classifier")
    (change,) = (change for change in plan.changes if change.rule == "hidden_dense_to_nothing")
    assert change.note == "in the place of 'hidden', 'dropout4'"
    assert change.keeps == "shape"
    assert plan.fresh == ("classes",)
    assert not plan.lossless


def test_all_that_stands_between_the_dense_layers_goes_with_them():
    head = [
        layers.Flatten(),
        hidden(6, 1),
        layers.BatchNormalization(),
        layers.Dropout(0.5),
        hidden(5, 2),
        layers.PReLU(),
        layers.Dense(3, use_bias=False, name="classes"),
        layers.Activation("softmax", name="softmax"),
    ]
    converted = allconv.convert(network((4, 4, 2), *head), head="classifier")
    assert kinds_of(converted) == ["InputLayer", "Conv2D", "Activation", "Flatten"]
    assert converted.get_layer("classes").kernel.shape == (4, 4, 2, 3)


def test_without_hidden_dense_layers_nothing_is_lost():
    model = network((4, 4, 2), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(3))
    plan = plan_conversion(model, head="classifier")
    assert plan.lossless and not plan.fresh
    converts_alike(model, head="classifier")


def test_each_output_has_a_convolution_of_its_own():
    image = keras.Input((4, 4, 2))
    trunk = hidden(6, 1)(layers.Flatten()(image))
    left = layers.Dense(3, name="left")(hidden(5, 2)(trunk))
    model = keras.Model(image, [left, layers.Dense(2, name="right")(trunk)])
    plan = plan_conversion(model, head="classifier")
    assert plan.fresh == ("left_conv", "right_conv")
    converted = allconv.convert(model, head="classifier")
    assert converted.output_shape == [(None, 3), (None, 2)]
    assert kinds_of(converted).count("Conv2D") == 2


def test_a_hidden_layer_that_the_model_returns_stays_and_is_no_hidden_one():
    image = keras.Input((4, 4, 2))
    features = hidden(6, 1)(layers.Flatten()(image))
    model = keras.Model(image, [features, layers.Dense(3, name="classes")(features)])
    converted = allconv.convert(model, head="classifier")
    assert "hidden1" in [layer.name for layer in converted.layers]


def test_a_head_on_a_mean_is_one_1x1_convolution():
    model = network((4, 4, 2), layers.GlobalAveragePooling2D(), hidden(6, 1), layers.Dense(3))
    converted = allconv.convert(model, head="classifier")
    assert kinds_of(converted) == ["InputLayer", "DepthwiseConv2D", "Conv2D", "Flatten"]


@pytest.mark.parametrize("merge", [layers.Concatenate, layers.Add])
def test_branches_with_hidden_layers_that_join_are_refused_with_the_reason(merge):
    image = keras.Input((4, 4, 2))
    branches = [hidden(6, n)(layers.Flatten()(image)) for n in (1, 2)]
    model = keras.Model(image, layers.Dense(3, name="classes")(merge(name="join")(branches)))
    expected = (
        f"several branches with hidden Dense layers join at 'join' ({merge.__name__}), and one "
        "convolution cannot replace them; use head='dense'"
    )
    assert expected in reasons(model, "hidden_dense_to_nothing", head="classifier")
    with pytest.raises(ConversionError, match="use head='dense'"):
        allconv.convert(model, head="classifier")
    converts_alike(model)


def test_flattened_maps_that_join_are_no_hidden_branches():
    image = keras.Input((4, 4, 2))
    joined = layers.Concatenate()([layers.Flatten()(image) for _ in range(2)])
    model = randomize(keras.Model(image, layers.Dense(3)(joined)))
    assert plan_conversion(model, head="classifier").lossless
    converts_alike(model, head="classifier")


def squeezed(x, number):
    """A squeeze-and-excitation block (Hu et al. 2018, arXiv 1709.01507)."""
    weights = layers.GlobalAveragePooling2D(keepdims=number == 1)(x)
    weights = layers.Dense(2, activation="relu", name=f"squeeze{number}")(weights)
    weights = layers.Dense(4, activation="sigmoid", name=f"excite{number}")(weights)
    if number == 2:
        weights = layers.Reshape((1, 1, 4))(weights)
    return layers.Multiply()([x, weights])


@pytest.mark.parametrize("number", [1, 2])
def test_the_dense_layers_of_squeeze_and_excitation_are_no_head(number):
    image = keras.Input((4, 4, 4))
    x = squeezed(image, number)
    x = layers.Dense(3, name="classes")(hidden(6, 1)(layers.Flatten()(x)))
    model = randomize(keras.Model(image, x))
    assert plan_conversion(model, head="classifier").fresh == ("classes",)
    converted = allconv.convert(model, head="classifier")
    names = [layer.name for layer in converted.layers]
    assert f"squeeze{number}" in names and f"excite{number}" in names and "hidden1" not in names
