"""`convert(output_stride=...)`: class maps at every pixel, against the model on every crop.

Run on JAX as well: KERAS_BACKEND=jax pytest tests/test_dense_maps.py
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

import allconv
from tests.helpers.dense_networks import (
    assert_is_what_the_model_says_of_every_crop,
    images_like,
    residual,
    same_padded,
)
from tests.helpers.drawn_networks import random_networks
from tests.helpers.drawn_sliding import sliding_network
from tests.helpers.keras_comparison import network
from tests.helpers.moved_images import assert_holds_the_maps_of_moved_images
from tests.helpers.randomized import randomize


def strides_of(model):
    stride = allconv.geometry(model).output_stride
    common = int(np.gcd.reduce([int(each) for each in stride]))
    return [each for each in range(1, common + 1) if common % each == 0]


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(("rank", "examples"), [(1, 3), (2, 4), (3, 2)])
def test_without_padding_each_cell_is_what_the_model_says_of_the_crop_that_begins_there(
    rank, examples, data_format
):
    @random_networks(examples)
    @given(st.data())
    def check(data):
        model = sliding_network(data.draw, rank, data_format)
        stride = data.draw(st.sampled_from(strides_of(model)))
        size = data.draw(st.sampled_from(["any", "known"]))
        more = (5, 4, 2)[:rank]
        if size == "known":
            axes = images_like(model, more).shape
            size = axes[2:] if data_format == "channels_first" else axes[1:-1]
        assert_is_what_the_model_says_of_every_crop(model, stride, more, input_size=size)

    check()


PADDED = {
    "residual 2D": residual,
    "residual 1D": lambda: residual(1, 24),
    "same": same_padded,
    "same, even windows": lambda: same_padded(2),
    "same, odd": lambda: same_padded(3, (13,)),
}


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", PADDED)
def test_with_padding_each_cell_but_for_the_margin_is_that_of_the_map_of_the_moved_image(
    name, stride
):
    model = PADDED[name]()
    strides = allconv.geometry(model).output_stride
    # as large as its own size and whole strides, where padding `same` is as it is there
    sizes = [own + 8 * each for own, each in zip(model.input_shape[1:-1], strides, strict=True)]
    for size in ("any", tuple(sizes)):
        finer = allconv.convert(model, input_size=size, output_stride=stride)
        found = allconv.geometry(model, output_stride=stride)
        image = images_like(model, [8 * each for each in strides])
        assert_holds_the_maps_of_moved_images(
            allconv.convert(model, input_size=size),
            finer,
            image,
            strides,
            found,
        )


def test_cells_of_the_margin_are_others():
    model = same_padded()
    finer = allconv.convert(model, input_size="any", output_stride=1)
    geometry = allconv.geometry(model, output_stride=1)
    assert geometry.margin == ((5, 10), (6, 10))
    with pytest.raises(AssertionError):
        assert_holds_the_maps_of_moved_images(
            allconv.convert(model, input_size="any"),
            finer,
            images_like(model, (32, 32)),
            (4, 4),
            geometry,
            ((5, 10), (5, 10)),
        )


def test_a_known_size_pads_as_the_network_does_at_that_size():
    model, size = same_padded(), (42, 45)
    found = allconv.report(model, input_size=size, output_stride=1).geometry
    assert_holds_the_maps_of_moved_images(
        allconv.convert(model, input_size=size),
        allconv.convert(model, input_size=size, output_stride=1),
        images_like(model, (30, 34)),
        (4, 4),
        found,
    )


def test_each_axis_may_have_a_stride_of_its_own():
    model = residual()
    finer = allconv.convert(model, input_size="any", output_stride=(1, 4), verify=True)
    geometry = allconv.geometry(finer)
    assert geometry.output_stride == (1, 4)
    assert geometry.receptive_field == allconv.geometry(model).receptive_field


def test_the_finer_map_has_the_geometry_of_the_network_at_another_stride():
    model = residual()
    own, finer = (allconv.geometry(model, output_stride=each) for each in (None, 2))
    assert (own.output_stride, finer.output_stride, finer.period) == ((4, 4), (2, 2), (2, 2))
    assert (own.receptive_field, own.offset) == (finer.receptive_field, finer.offset)
    converted = allconv.convert(model, input_size="any", output_stride=2)
    assert allconv.geometry(converted).output_stride == (2, 2)
    assert converted.output_shape == (None, None, None, 3)


def test_a_shared_layer_that_lies_behind_other_strides_becomes_two_with_the_same_weights():
    conv = layers.Conv2D(3, 3, activation="relu", name="shared")
    image = keras.Input((20, 20, 3))
    x = layers.MaxPooling2D(2)(conv(image))
    model = randomize(keras.Model(image, layers.Dense(2)(layers.GlobalMaxPooling2D()(conv(x)))))
    converted = allconv.convert(model, input_size="any", output_stride=1, verify=True)
    first, second = (converted.get_layer(name) for name in ("shared", "shared_1"))
    assert (tuple(first.dilation_rate), tuple(second.dilation_rate)) == ((1, 1), (2, 2))
    np.testing.assert_array_equal(first.get_weights()[0], second.get_weights()[0])
    assert_is_what_the_model_says_of_every_crop(model, 1, input_size="any")


def test_a_stride_that_is_split_is_taken_by_a_convolution_of_one_cell():
    model = network(
        (20, 20, 2),
        layers.Conv2D(4, 3, strides=2),
        layers.Conv2D(4, 3, strides=3, name="split"),
        layers.Flatten(),
        layers.Dense(2),
    )
    converted = allconv.convert(model, input_size="any", output_stride=3, verify=True)
    split, picked = (converted.get_layer(name) for name in ("split", "split_strided"))
    assert (split.strides, split.dilation_rate) == ((1, 1), (2, 2))
    assert (picked.kernel_size, picked.strides) == ((1, 1), (3, 3))
    assert type(picked).__name__ == "DepthwiseConv2D"


def test_the_network_s_own_stride_changes_nothing():
    model = residual()
    plain, same = (
        allconv.convert(model, input_size="any", output_stride=each) for each in (None, 4)
    )
    assert [layer.name for layer in same.layers] == [layer.name for layer in plain.layers]


def test_several_outputs_are_finer_alike():
    image = keras.Input((16, 16, 2))
    x = layers.Conv2D(3, 3, strides=2, activation="relu")(image)
    early = layers.Dense(2, name="early")(layers.GlobalAveragePooling2D()(x))
    late = layers.Conv2D(3, 3, strides=2, padding="same")(x)
    late = layers.Dense(2, name="late")(layers.GlobalAveragePooling2D()(late))
    model = randomize(keras.Model(image, [early, late]))
    report = allconv.report(model, input_size="any", output_stride=2, verify=True)
    assert report.verification.passed
    converted = allconv.convert(model, input_size="any", output_stride=1, verify=True)
    assert converted.output_names == model.output_names
