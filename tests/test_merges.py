"""Merges of flattened maps, Reshape and Permute, and Dense layers that are unfolded to maps."""

from __future__ import annotations

import keras
import pytest
from keras import layers

import allconv
from allconv.convert import plan_conversion
from tests.agreement import converts_alike, kinds_of, network, reasons
from tests.randomized import randomize

FORMATS = ["channels_last", "channels_first"]


def rules_of(model):
    return {change.rule for change in plan_conversion(model).changes}


def pyramid(head, data_format="channels_last"):
    """Three max pools of one map, flattened and concatenated (He et al. 2014, arXiv 1406.4729)."""
    image = keras.Input((2, 6, 8) if data_format == "channels_first" else (6, 8, 2))
    options = {"data_format": data_format}
    windows = ((6, 8), (3, 4), (2, 2))
    pools = [layers.MaxPooling2D(window, **options)(image) for window in windows]
    tensor = layers.Concatenate()([layers.Flatten()(pool) for pool in pools])
    for layer in head:
        tensor = layer(tensor)
    return randomize(keras.Model(image, tensor))


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("activation", [None, "relu", "softmax"])
def test_a_dense_on_flattened_maps_together_is_a_convolution_of_each_and_their_sum(
    activation, data_format
):
    model = pyramid([layers.Dense(7, activation), layers.Dense(3)], data_format)
    converted = converts_alike(model)
    assert "concatenate_dense_to_convs" in rules_of(model)
    assert not {"Dense", "Concatenate"} & set(kinds_of(converted))


def test_what_does_nothing_at_inference_and_batch_normalizations_go_with_the_split():
    head = [layers.BatchNormalization(), layers.Dropout(0.4), layers.Dense(3, use_bias=False)]
    assert "BatchNormalization" not in kinds_of(converts_alike(pyramid(head)))


@pytest.mark.parametrize("vector_first", [True, False])
def test_a_vector_that_the_model_is_given_joins_as_a_cell(vector_first):
    image, vector = keras.Input((3, 4, 2), name="image"), keras.Input((5,), name="vector")
    sides = [layers.Flatten()(image), vector]
    joined = layers.Concatenate()(sides[::-1] if vector_first else sides)
    model = randomize(keras.Model([image, vector], layers.Dense(3, activation="relu")(joined)))
    assert "Dense" not in kinds_of(converts_alike(model))


def test_a_vector_of_another_kind_is_refused_with_the_reason():
    image = keras.Input((3, 3, 2))
    mine = layers.Lambda(lambda x: x[:, 0, 0], output_shape=(2,), name="mine")(image)
    joined = layers.Concatenate()([layers.Flatten()(image), mine])
    model = keras.Model(image, layers.Dense(3)(joined))
    expected = "the vector of 'mine' (Lambda) is not a flattened map"
    assert reasons(model, "concatenate_dense_to_convs") == [expected]


@pytest.mark.parametrize(
    "merge", ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"]
)
def test_merged_vectors_are_merged_maps(merge):
    image = keras.Input((4, 5, 2))
    flat = [layers.Flatten()(layers.Conv2D(3, 3)(image)) for _ in range(2)]
    tensor = getattr(layers, merge)()(flat)
    model = randomize(keras.Model(image, [tensor, layers.Dense(3)(tensor)]))
    assert "Dense" not in kinds_of(converts_alike(model))


def test_flattened_maps_of_any_shapes_are_concatenated_as_cells():
    image = keras.Input((4, 5, 2))
    flat = [layers.Flatten()(layers.Conv2D(3, size)(image)) for size in (2, 3, (4, 5))]
    converts_alike(randomize(keras.Model(image, layers.Softmax()(layers.Concatenate()(flat)))))


def test_maps_of_other_shapes_are_gathered_in_cells_before_they_are_added():
    image = keras.Input((4, 4, 2))
    sides = [layers.Conv2D(3, (3, 2))(image), layers.Conv2D(3, (2, 3))(image)]
    tensor = layers.Add()([layers.Flatten()(side) for side in sides])
    converts_alike(randomize(keras.Model(image, layers.Dense(3)(tensor))))


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
    copies = [type(layer).from_config(layer.get_config()) for layer in relabels]
    head = [
        layers.GlobalAveragePooling2D(keepdims=True),
        *copies,
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
    copies = [type(layer).from_config(layer.get_config()) for layer in between]
    conv = layers.Conv2D(2, 2, data_format=data_format)
    dense = layers.Dense(30, use_bias=use_bias)
    model = network((4, 4, 4), first, dense, *copies, layers.Reshape(shape), conv)
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


def test_strict_false_leaves_what_cannot_be_merged_and_converts_the_rest():
    steps = [layers.Permute((2, 1, 3)), layers.MaxPooling2D(2)]
    model = network((4, 4, 3), layers.Conv2D(3, 1), *steps)
    assert "Permute" in kinds_of(allconv.convert(model, strict=False))
