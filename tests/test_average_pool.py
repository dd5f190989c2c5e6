"""Average pools as convolutions with constant kernels, against a loop over windows."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import allconv
from tests.agreement import (
    assert_agree,
    assert_close,
    converts_alike,
    kinds_of,
    network,
    outputs,
    random_images,
    reasons,
)
from tests.slow_loops import pooled

POOLS = [
    ((1, 1), (2, 2)),
    ((2, 2), (1, 1)),
    ((2, 2), (2, 2)),
    ((3, 3), (2, 2)),
    ((3, 2), (1, 2)),
    ((2, 3), (4, 4)),
    ((4, 1), (4, 2)),
    ((5, 5), (3, 3)),
]


def assert_pools(sizes, pools, padding):
    image = keras.Input((*sizes, 2))
    model = keras.Model(image, [layers.AveragePooling2D(*p, padding=padding)(image) for p in pools])
    images = random_images(model)
    found = outputs(allconv.convert(model), images)
    for values, (window, strides) in zip(found, pools, strict=True):
        assert_close(values, pooled(images[0], window, strides, padding, np.mean))


@pytest.mark.parametrize("sizes", [(7, 8), (5, 6)])
def test_a_valid_pool_is_the_mean_of_each_window(sizes):
    assert_pools(sizes, POOLS, "valid")


@pytest.mark.parametrize("sizes", [(7, 8), (3, 2), (1, 1), (1, 9)])
def test_a_same_pool_divides_by_the_cells_inside_the_map_even_one_below_the_window(sizes):
    assert_pools(sizes, POOLS, "same")


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("rank", [1, 3])
def test_signals_and_volumes_are_averaged_alike(rank, padding):
    sizes, window, strides = (7, 6, 5)[:rank], (3, 2, 2)[:rank], (2, 1, 2)[:rank]
    pool = getattr(layers, f"AveragePooling{rank}D")(window, strides, padding)
    model = network((*sizes, 2), pool)
    images = random_images(model)
    (found,) = outputs(allconv.convert(model), images)
    assert_close(found, pooled(images[0], window, strides, padding, np.mean))


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_channels_first_is_channels_last_with_its_axes_moved(padding):
    pool = layers.AveragePooling2D((3, 2), 2, padding, data_format="channels_first")
    model = network((2, 7, 6), pool)
    images = random_images(model)
    (found,) = outputs(allconv.convert(model), images)
    moved = np.moveaxis(images[0], 1, -1)
    assert_close(np.moveaxis(found, 1, -1), pooled(moved, (3, 2), (2, 2), padding, np.mean))


def test_a_valid_pool_serves_images_of_any_size():
    model = network((None, None, 2), layers.AveragePooling2D(3, 2))
    converted = allconv.convert(model)
    for size in (3, 6, 11):
        assert_agree(model, converted, size=size)


def test_a_same_pool_on_a_map_of_any_size_is_refused_with_the_reason():
    model = network((None, 8, 2), layers.AveragePooling2D(2, padding="same"))
    expected = "padding 'same' needs a fixed input size to count the cells, got (None, None, 8, 2)"
    assert reasons(model, "average_pool_to_conv") == [expected]


def test_a_same_pool_of_a_size_that_fits_is_one_depthwise_convolution():
    converted = converts_alike(network((8, 6, 3), layers.AveragePooling2D(2, padding="same")))
    assert kinds_of(converted) == ["InputLayer", "DepthwiseConv2D"]


def test_a_same_pool_that_reaches_over_is_a_sum_divided_by_constant_counts():
    converted = converts_alike(network((7, 6, 3), layers.AveragePooling2D(2, padding="same")))
    assert kinds_of(converted) == ["InputLayer", "DepthwiseConv2D", "Normalization"]
    assert not any(weight.trainable for weight in converted.weights)
