"""Merges of flattened maps, and Dense layers on several of them."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from keras import layers, ops

import allconv
from allconv.errors import ConversionError
from allconv.plan import plan_conversion
from tests.helpers.drawn_networks import random_networks
from tests.helpers.keras_comparison import assert_close, converts_alike, kinds_of, outputs, reasons
from tests.helpers.one_answer import one_answer
from tests.helpers.randomized import randomize

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


# branches whose maps have different numbers of axes


def signal_and_image(head):
    """A signal and an image, each through a convolution and Flatten; the head takes both."""
    signal, image = keras.Input((6, 3), name="signal"), keras.Input((5, 5, 2), name="image")
    sides = [layers.Conv1D(2, 2)(signal), layers.Conv2D(2, 2)(image)]
    flat = [layers.Dense(4)(layers.Flatten()(side)) for side in sides]
    return randomize(keras.Model([signal, image], head(flat)))


@pytest.mark.parametrize("merge", [layers.Add, layers.Multiply, layers.Maximum])
def test_a_signal_and_an_image_are_merged(merge):
    model = signal_and_image(lambda flat: layers.Dense(3)(layers.ReLU()(merge()(flat))))
    assert not {"Dense", "Reshape"} & set(kinds_of(converts_alike(model)))


def test_a_signal_and_an_image_are_concatenated_before_a_dense():
    model = signal_and_image(lambda flat: layers.Dense(3, "softmax")(layers.Concatenate()(flat)))
    assert not {"Dense", "Concatenate"} & set(kinds_of(converts_alike(model)))


UNLIKE = "the maps of its inputs lie in different data formats, or have different numbers of axes"


@pytest.mark.parametrize(
    ("head", "rule"),
    [
        (lambda flat: layers.Concatenate()(flat), "flattens_concatenated_to_cells_concatenated"),
        (lambda flat: flat[0] + flat[1], "flattens_merged_to_maps_merged"),
    ],
    ids=["Concatenate", "ops.Add"],
)
def test_maps_that_keras_does_not_align_are_a_reason(head, rule):
    assert reasons(signal_and_image(head), rule) == [UNLIKE]


def test_a_dense_behind_a_signal_and_an_image_whose_channels_come_first_is_refused():
    signal, image = keras.Input((6, 3)), keras.Input((2, 5, 5))
    sides = [layers.Conv1D(2, 2)(signal), layers.Conv2D(2, 2, data_format="channels_first")(image)]
    joined = layers.Concatenate()([layers.Flatten()(side) for side in sides])
    model = keras.Model([signal, image], layers.Dense(3)(joined))
    assert reasons(model, "concatenate_dense_to_convs") == [UNLIKE]


# operations in the place of merges


@pytest.mark.parametrize(
    "operation", [ops.add, ops.subtract, ops.multiply, ops.maximum], ids=lambda op: op.__name__
)
def test_operations_on_two_vectors_are_operations_on_their_maps(operation):
    image = keras.Input((4, 5, 2))
    flat = [layers.Flatten()(layers.Conv2D(3, 3)(image)) for _ in range(2)]
    tensor = layers.Dense(3)(operation(*flat))
    assert "Dense" not in kinds_of(converts_alike(randomize(keras.Model(image, tensor))))


# merges of any kind, along any axis, of any number of tensors


KINDS = ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot"]


def drawn_source(draw, image):
    """A map, the cell or the vector of its means, the map flattened, or a vector of one value."""
    x = layers.Conv2D(draw(st.sampled_from([2, 2, 1])), draw(st.sampled_from([1, 1, (3, 2)])))(
        image
    )
    return draw(
        st.sampled_from(
            [
                lambda: x,
                lambda: layers.Flatten()(x),
                lambda: layers.Flatten(data_format="channels_first")(x),
                lambda: layers.GlobalAveragePooling2D()(x),
                lambda: layers.GlobalMaxPooling2D(keepdims=True)(x),
                lambda: layers.Dense(draw(st.sampled_from([1, 2, 24])))(layers.Flatten()(x)),
            ]
        )
    )()


def drawn_merge(draw, sources):
    kind = draw(st.sampled_from(KINDS))
    if kind == "Concatenate":
        axes = min(len(source.shape) for source in sources)
        layer = layers.Concatenate(
            axis=draw(st.sampled_from([-1, 1]) | st.integers(-axes, axes - 1))
        )
    elif kind == "Dot":
        layer = layers.Dot(axes=draw(st.sampled_from([-1, 1])))
    else:
        layer = getattr(layers, kind)()
    return layer(sources)


def drawn_join(draw):
    """A model with a merge of one to five tensors, of all ranks or of one."""
    image = keras.Input((4, 3, 2))
    count = draw(st.sampled_from([1, 2, 2, 3, 5]))
    sources = [drawn_source(draw, image) for _ in range(count)]
    if draw(st.booleans()):
        sources = [sources[0], *[layers.ReLU()(sources[0]) for _ in sources[1:]]]
    x = drawn_merge(draw, sources)
    tail = draw(st.sampled_from(["", "dense", "flat", "softmax"]))
    if tail == "flat":
        x = layers.Flatten()(x)
    if tail:
        x = layers.Dense(3, activation="softmax" if tail == "softmax" else None)(x)
    return randomize(keras.Model(image, x))


@random_networks(15)
@given(data=st.data())
def test_any_merge_keeps_its_numbers_or_is_refused_by_name(data):
    images = np.random.default_rng(0).normal(size=(2, 4, 3, 2)).astype("float32")
    try:
        model = drawn_join(data.draw)
        expected = outputs(model, images)
    except Exception:
        assume(False)  # Keras does not merge such tensors
    assert allconv.check(model).passed
    converted = one_answer(model)
    if not isinstance(converted, ConversionError):
        for found, right in zip(outputs(converted, images), expected, strict=True):
            assert_close(found, right)


@pytest.mark.parametrize("merge", ["Add", "Multiply", "Average", "Maximum", "Concatenate"])
@pytest.mark.parametrize("count", [1, 5])
def test_any_number_of_vectors_is_merged(merge, count):
    image = keras.Input((4, 5, 2))
    flat = [layers.Flatten()(layers.Conv2D(3, 3)(image)) for _ in range(count)]
    model = randomize(keras.Model(image, layers.Dense(3)(getattr(layers, merge)()(flat))))
    assert "Dense" not in kinds_of(converts_alike(model))


@pytest.mark.parametrize("order", [1, -1])
def test_a_report_is_made_of_maps_of_different_numbers_of_axes(order):
    image, signal = keras.Input((5, 6, 2)), keras.Input((6, 2))
    model = keras.Model([image, signal], layers.Maximum()([image, signal][::order]))
    assert not isinstance(one_answer(model), ConversionError)
