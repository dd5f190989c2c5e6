"""What arithmetic says of the smallest image is what trying every size finds."""

from __future__ import annotations

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

import allconv
from allconv.errors import ConversionError
from allconv.plan import plan_conversion
from allconv.read import read
from allconv.resize import giving_maps
from allconv.shape_walk import images, shapes_at
from allconv.sizes.size_arithmetic import smallest_by_arithmetic
from tests.helpers.drawn_networks import drawn_network, random_networks
from tests.helpers.networks import mnist_cnn, residual

FURTHER = 40
"""Sizes beyond the model's own that are tried."""


def fits(maps, axis, size):
    """Whether all layers fit where the images have a size along an axis; nothing is remembered."""
    given = {
        image.node: image.shape([*image.sizes[:axis], size, *image.sizes[axis + 1 :]])
        for image in images(maps)
        if len(image.sizes) > axis
    }
    return not shapes_at(maps, given)[1]


def arithmetic_is_right(maps):
    """Trying every size gives the same; for each axis the size, None where none is said."""
    found = []
    for axis, own in enumerate(images(maps)[0].sizes):
        varied = [image.node for image in images(maps) if len(image.sizes) > axis]
        exact = smallest_by_arithmetic(maps, axis, varied)
        found.append(exact)
        if exact is not None:
            tried = range(1, max(own or 1, exact) + FURTHER)
            wrong = [size for size in tried if fits(maps, axis, size) != (size >= exact)]
            assert not wrong, f"arithmetic says {exact} along axis {axis}, not so at {wrong}"
    return found


def maps_of(model):
    return giving_maps(plan_conversion(model, input_size="any").after)


@given(st.data())
@random_networks(15)
def test_of_any_network_arithmetic_is_right_or_silent(data):
    data_format = data.draw(st.sampled_from(["channels_last", "channels_first"]))
    model = drawn_network(data.draw, data_format)
    for maps in (read(model), maps_of(model)):
        arithmetic_is_right(maps)


WINDOWS = st.fixed_dictionaries(
    {
        "kernel_size": st.integers(1, 4),
        "strides": st.integers(1, 3),
        "padding": st.sampled_from(["valid", "same", "causal"]),
    }
)


@given(st.data())
@random_networks(25)
def test_arithmetic_knows_all_chains_of_windows_paddings_and_crops(data):
    signal = x = keras.Input((200, 2))
    for kind in data.draw(st.lists(st.sampled_from("cdpzsb"), min_size=1, max_size=6)):
        amount = data.draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
        if kind == "c":
            x = layers.Conv1D(2, **data.draw(WINDOWS))(x)
        elif kind == "d":
            x = layers.Conv1D(2, 2, dilation_rate=data.draw(st.integers(1, 4)))(x)
        elif kind == "p":
            x = layers.AveragePooling1D(data.draw(st.integers(1, 3)), padding="same")(x)
        elif kind == "z":
            x = layers.ZeroPadding1D(amount)(x)
        elif kind == "s":
            x = layers.Cropping1D((min(amount[0], 1), min(amount[1], 1)))(x)
        else:
            x = layers.Add()([layers.Conv1D(2, 3, padding="same")(x), layers.ReLU()(x)])
    assert None not in arithmetic_is_right(read(keras.Model(signal, x)))


@pytest.mark.parametrize("network", [mnist_cnn, residual])
def test_arithmetic_knows_plain_networks(network):
    assert None not in arithmetic_is_right(maps_of(network()))


def two_branches(*, window):
    image = keras.Input((16, 16, 2))
    whole = layers.Conv2D(2, 1, strides=2)(image)
    other = layers.Conv2D(2, window, strides=2)(image)
    return keras.Model(image, layers.Add()([whole, other]))


def test_branches_that_meet_at_some_sizes_only_are_left_to_be_tried():
    assert arithmetic_is_right(read(two_branches(window=1))) == [1, 1]
    assert arithmetic_is_right(read(two_branches(window=2))) == [None, None]


def test_that_one_cell_meets_two_by_chance_is_not_taken_for_any_size():
    model = two_branches(window=2)  # at 3x3 they give 2x2 and 1x1, at 17x17 9x9 and 8x8
    assert fits(read(model), 0, 3) and not fits(read(model), 0, 17)
    assert allconv.geometry(model).input_size_step == (2, 2)


def test_a_map_made_finer_is_left_to_be_tried():
    image = keras.Input((8, 8, 2))
    x = layers.UpSampling2D(2)(layers.MaxPooling2D(2)(image))
    assert arithmetic_is_right(read(keras.Model(image, x))) == [None, None]


def test_a_free_size_beyond_all_that_are_tried_is_refused_as_before():
    signal = keras.Input((None, 1))
    with pytest.raises(ConversionError, match="fits no image of up to 16384 cells"):
        allconv.geometry(keras.Model(signal, layers.Conv1D(1, 20_000)(signal)))
