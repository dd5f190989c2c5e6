"""Average pools as convolutions with constant kernels, against a loop over windows."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import allconv
from tests.helpers.keras_comparison import (
    assert_agree,
    assert_close,
    converts_alike,
    kinds_of,
    network,
    outputs,
    random_images,
)
from tests.helpers.slow_loops import pooled

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


def test_a_same_pool_divides_by_the_cells_inside_signals_of_any_length():
    pools = [((k,), (s,)) for k in (2, 3, 4, 6) for s in (1, 2, 3, 5)]
    signal = keras.Input((None, 2))
    ends = [layers.AveragePooling1D(*pool, padding="same")(signal) for pool in pools]
    converted = allconv.convert(keras.Model(signal, ends))
    for length in range(1, 13):
        images = np.random.default_rng(length).uniform(-2, 1, (2, length, 2)).astype("float32")
        for found, pool in zip(outputs(converted, [images]), pools, strict=True):
            expected = pooled(images, *pool, "same", np.mean)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_a_same_pool_divides_by_the_cells_inside_images_of_any_size():
    pools = [*POOLS, ((3, 3), (1, 1))]
    image = keras.Input((None, None, 2))
    ends = [layers.AveragePooling2D(*pool, padding="same")(image) for pool in pools]
    converted = allconv.convert(keras.Model(image, ends))
    for sizes in [(1, 1), (1, 9), (2, 3), (7, 4), (10, 10)]:
        images = np.random.default_rng(0).uniform(-2, 1, (2, *sizes, 2)).astype("float32")
        for found, pool in zip(outputs(converted, [images]), pools, strict=True):
            expected = pooled(images, *pool, "same", np.mean)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_channels_first_of_any_size_is_channels_last_with_its_axes_moved():
    pool = layers.AveragePooling2D((4, 3), 2, "same", data_format="channels_first")
    converted = allconv.convert(network((2, None, None), pool))
    # A row of the result is as long as there are counts along the columns, 4 - 1.
    for sizes in [(5, 6), (1, 5)]:
        images = np.random.default_rng(0).uniform(-2, 1, (2, *sizes, 2)).astype("float32")
        (found,) = outputs(converted, [np.moveaxis(images, -1, 1)])
        expected = pooled(images, (4, 3), (2, 2), "same", np.mean)
        np.testing.assert_allclose(np.moveaxis(found, 1, -1), expected, rtol=0, atol=1e-6)


def test_a_same_pool_divides_by_the_cells_inside_volumes_of_any_size():
    pools = [((2, 2, 2), (2, 2, 2)), ((3, 2, 1), (2, 1, 1)), ((3, 3, 3), (1, 1, 1))]
    volume = keras.Input((None, 4, None, 2))
    ends = [layers.AveragePooling3D(*pool, padding="same")(volume) for pool in pools]
    converted = allconv.convert(keras.Model(volume, ends))
    for sizes in [(1, 4, 3), (5, 4, 2)]:
        images = np.random.default_rng(0).uniform(-2, 1, (2, *sizes, 2)).astype("float32")
        for found, pool in zip(outputs(converted, [images]), pools, strict=True):
            expected = pooled(images, *pool, "same", np.mean)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("k", [2, 3, 56, 300])
def test_the_share_of_every_count_is_exact_to_float32(k):
    signal = keras.Input((None, 1))
    converted = allconv.convert(
        keras.Model(signal, layers.AveragePooling1D(k, 1, padding="same")(signal))
    )
    for length in {1, k - 1, k, 2 * k}:
        ones = np.ones((1, length, 1), "float32")
        np.testing.assert_allclose(outputs(converted, [ones])[0], ones, rtol=2e-6)


def test_a_pool_for_any_size_is_a_mean_times_a_map_of_one_channel():
    model = network((7, 6, 3), layers.AveragePooling2D(3, 1, padding="same"))
    converted = allconv.convert(model, input_size="any")
    assert "Rescaling" not in kinds_of(converted)
    assert kinds_of(converted).count("DepthwiseConv2D") == 1
    for size in [(7, 6), (1, 2), (9, 9)]:
        images = np.random.default_rng(0).uniform(-2, 1, (2, *size, 3)).astype("float32")
        expected = pooled(images, (3, 3), (1, 1), "same", np.mean)
        assert_close(outputs(converted, [images])[0], expected)


def test_a_same_pool_of_a_size_that_fits_is_one_depthwise_convolution():
    converted = converts_alike(network((8, 6, 3), layers.AveragePooling2D(2, padding="same")))
    assert kinds_of(converted) == ["InputLayer", "DepthwiseConv2D"]


def test_a_same_pool_that_reaches_over_is_a_mean_times_constant_shares():
    converted = converts_alike(network((7, 6, 3), layers.AveragePooling2D(2, padding="same")))
    assert kinds_of(converted) == ["InputLayer", "DepthwiseConv2D", "Rescaling"]
    assert not any(weight.trainable for weight in converted.weights)
