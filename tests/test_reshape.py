"""Reshape and Permute of one cell, and Dense layers that are unfolded to maps."""

from __future__ import annotations

import keras
import pytest
from keras import layers

import allconv
from tests.helpers.keras_comparison import converts_alike, copies, kinds_of, network, reasons

FORMATS = ["channels_last", "channels_first"]


@pytest.mark.parametrize(
    "relabels",
    [
        [layers.Reshape((6,))],
        [layers.Reshape((1, 6)), layers.Flatten()],
        [layers.Permute((3, 1, 2)), layers.Flatten()],
        [layers.Reshape((1, 1, 6))],
        [layers.Flatten(), layers.Reshape((1, 1, 6))],
    ],
    ids=lambda steps: "+".join(type(layer).__name__ for layer in steps),
)
def test_reshapes_of_a_map_of_one_cell_are_gone(relabels):
    head = [
        layers.GlobalAveragePooling2D(keepdims=True),
        *copies(relabels),
        layers.Dense(3),
        layers.Flatten(),
    ]
    converted = converts_alike(network((4, 4, 6), *head))
    assert not {"Reshape", "Permute", "Dense"} & set(kinds_of(converted))


@pytest.mark.parametrize(
    ("relabel", "reason"),
    [
        (layers.Permute((2, 1, 3)), "it moves the axes of a map of more than one cell"),
        (layers.Reshape((2, 8, 3)), "it turns (None, 4, 4, 3) into (None, 2, 8, 3)"),
    ],
)
def test_a_reshape_that_moves_values_between_cells_is_refused_with_the_reason(relabel, reason):
    model = network((4, 4, 3), layers.Conv2D(3, 1), relabel, layers.Conv2D(2, 2))
    assert reasons(model, "reshape_of_cell_to_nothing") == [reason]


def test_a_reshape_that_flattens_a_map_is_a_flatten():
    converted = converts_alike(network((3, 4, 2), layers.Reshape((24,)), layers.Dense(3)))
    assert kinds_of(converted) == ["InputLayer", "Conv2D", "Flatten"]


# generators


@pytest.mark.parametrize(
    "between",
    [
        [],
        [layers.BatchNormalization()],
        [layers.LeakyReLU(), layers.Dropout(0.4)],
        [layers.BatchNormalization(), layers.ReLU(), layers.BatchNormalization()],
    ],
    ids=["alone", "norm", "leaky", "norm-relu-norm"],
)
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("data_format", FORMATS)
def test_a_dense_that_is_reshaped_to_a_map_is_a_transposed_convolution(
    data_format, use_bias, between
):
    shape = (5, 2, 3) if data_format == "channels_first" else (2, 3, 5)
    first = layers.GlobalAveragePooling2D(data_format=data_format)
    conv = layers.Conv2D(2, 2, data_format=data_format)
    dense = layers.Dense(30, use_bias=use_bias)
    model = network((4, 4, 4), first, dense, *copies(between), layers.Reshape(shape), conv)
    converted = converts_alike(model)
    assert "Conv2DTranspose" in kinds_of(converted)
    assert not {"Dense", "Reshape", "Flatten"} & set(kinds_of(converted))


def test_the_transposed_convolution_has_the_name_and_the_activation_of_the_dense():
    dense = layers.Dense(12, activation="tanh", name="project")
    model = network((8,), dense, layers.Reshape((2, 2, 3)), layers.Conv2D(2, 2))
    unfold = converts_alike(model).get_layer("project")
    assert isinstance(unfold, layers.Conv2DTranspose)
    assert (unfold.kernel.shape, unfold.activation) == ((2, 2, 3, 9), keras.activations.tanh)


def test_a_vector_that_is_too_long_to_unfold_is_refused_with_the_reason():
    model = network(
        (2, 2, 4160), layers.GlobalMaxPooling2D(), layers.Reshape((8, 8, 65)), layers.Conv2D(1, 2)
    )
    expected = "unfolding 4160 values needs 4160^2 weights, and allconv stops at 4096^2"
    assert reasons(model, "vector_reshape_to_transposed_conv") == [expected]


def test_a_map_in_another_data_format_than_its_vector_is_refused_with_the_reason():
    conv = layers.Conv2D(2, 2, data_format="channels_first")
    model = network((2, 2, 12), layers.GlobalAveragePooling2D(), layers.Reshape((3, 2, 2)), conv)
    expected = "the map lies in another data format than the vector it is made of"
    assert reasons(model, "vector_reshape_to_transposed_conv") == [expected]


@pytest.mark.parametrize(("target", "axes"), [((12, 1), "two axes"), ((2, 2, 3, 1), "two axes")])
def test_a_map_of_other_axes_than_its_vector_is_refused_with_the_reason(target, axes):
    conv = layers.Conv1D(2, 2) if len(target) == 2 else layers.Conv3D(2, 1)
    model = network((4, 4, 12), layers.GlobalMaxPooling2D(), layers.Reshape(target), conv)
    expected = f"it makes no map of {axes} and channels, but {(None, *target)}"
    assert reasons(model, "vector_reshape_to_transposed_conv") == [expected]


def test_a_cell_whose_values_move_to_another_axis_is_refused_with_the_reason():
    model = network((4, 4, 6), layers.GlobalMaxPooling2D(), layers.Reshape((1, 6, 1)))
    model = keras.Model(model.input, layers.Permute((2, 1, 3))(model.output))
    expected = "it moves the values of one cell, (None, 6), to another axis, (None, 1, 6, 1)"
    assert reasons(model, "vector_reshape_to_transposed_conv") == [expected]


def test_strict_false_leaves_what_cannot_be_merged_and_converts_the_rest():
    steps = [layers.Permute((2, 1, 3)), layers.MaxPooling2D(2)]
    model = network((4, 4, 3), layers.Conv2D(3, 1), *steps)
    assert "Permute" in kinds_of(allconv.convert(model, strict=False))


def test_at_any_size_no_map_is_unfolded():
    steps = [layers.Flatten(), layers.Dense(12), layers.Reshape((2, 2, 3)), layers.Conv2D(2, 2)]
    expected = "it makes a map of one size, (None, 2, 2, 3), whatever the size of the input"
    model = network((4, 4, 2), *steps)
    rule = "dense_reshape_to_transposed_conv"
    assert reasons(model, rule, input_size="any") == [expected]
