"""`StridePool`: the convolution takes the pool's stride and keeps the centre of each window.

The oracle is Keras' convolution of stride 1, whole, of which a loop picks the centres.
"""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
from keras import layers

import allconv
from allconv.plan import plan_conversion
from tests.helpers.keras_comparison import (
    assert_close,
    copies,
    kinds_of,
    network,
    outputs,
    random_images,
    reasons,
)
from tests.helpers.randomized import randomize
from tests.helpers.slow_loops import margins

PADDINGS = ["valid", "same"]


def centres(values, window, strides, padding, first_axis=1):
    """Of each window that a pool takes, the cell in the middle, the first of two."""
    axes = zip(values.shape[first_axis:], window, strides, strict=False)
    for axis, (size, k, stride) in enumerate(axes, first_axis):
        results, start = margins(size, k, stride, padding)
        indices = [i * stride - start + (k - 1) // 2 for i in range(results)]
        values = np.take(values, indices, axis)
    return values


def striding(kernels, pools, conv_padding, pool_padding, sizes):
    """A model of many convolutions with pools, and one that gives the convolutions' maps."""
    image = keras.Input((*sizes, 1), name="image")
    maps = [
        layers.Conv2D(1, kernel, padding=conv_padding)(image) for kernel in kernels for _ in pools
    ]
    pairs = zip(maps, itertools.cycle(pools), strict=False)
    ends = [layers.MaxPooling2D(*pool, padding=pool_padding)(tensor) for tensor, pool in pairs]
    return randomize(keras.Model(image, ends)), keras.Model(image, maps)


def assert_centres(model, whole, pools, pool_padding, sizes):
    converted = allconv.convert(model, pooling="stride")
    assert "MaxPooling2D" not in kinds_of(converted)
    for height, width in sizes:
        image = np.random.default_rng(0).normal(size=(1, height, width, 1)).astype("float32")
        found, maps = outputs(converted, [image]), outputs(whole, [image])
        for values, tensor, pool in zip(found, maps, itertools.cycle(pools), strict=False):
            assert_close(values, centres(tensor, *pool, pool_padding))


@pytest.mark.parametrize("sizes", [(5, 12), (6, 11), (7, 10), (8, 9)])
@pytest.mark.parametrize("pool_padding", PADDINGS)
@pytest.mark.parametrize("conv_padding", PADDINGS)
def test_the_centre_of_each_window_is_kept(conv_padding, pool_padding, sizes):
    for k in range(1, 6):
        kernel = (k, 6 - k)
        strides = [1 + (k + w + sizes[0]) % 3 for w in range(1, 5)]
        pools = [((w, 5 - w), (s, 4 - s)) for w, s in zip(range(1, 5), strides, strict=True)]
        cut = kernel if conv_padding == "valid" else (1, 1)
        room = [size - cells + 1 for size, cells in zip(sizes, cut, strict=True)]
        if pool_padding == "valid":
            pools = [(w, s) for w, s in pools if w[0] <= room[0] and w[1] <= room[1]]
        model, whole = striding([kernel], pools, conv_padding, pool_padding, sizes)
        assert_centres(model, whole, pools, pool_padding, [sizes])


@pytest.mark.parametrize("conv_padding", PADDINGS)
def test_a_valid_pool_serves_images_of_any_size(conv_padding):
    pools = [((w, w), (s, s)) for w in (1, 2, 3, 4) for s in (1, 2, 3)]
    model, whole = striding([1, 2, 3], pools, conv_padding, "valid", (None, None))
    assert_centres(model, whole, pools, "valid", [(6, 7), (9, 8), (11, 12)])


def test_a_same_pool_of_stride_one_serves_images_of_any_size():
    pools = [((w, w), (1, 1)) for w in (1, 2, 3, 4)]
    model, whole = striding([1, 2, 3], pools, "same", "same", (None, None))
    assert_centres(model, whole, pools, "same", [(3, 4), (7, 6)])


@pytest.mark.parametrize("kernel", [1, 3, 4])
@pytest.mark.parametrize("rank", [1, 3])
def test_signals_and_volumes_are_strided_alike(rank, kernel):
    sizes = (9, 8, 7)[:rank]
    conv = getattr(layers, f"Conv{rank}D")(2, kernel, padding="same", name="conv")
    model = network((*sizes, 2), conv, getattr(layers, f"MaxPooling{rank}D")(3, 2))
    images = random_images(model)
    (found,) = outputs(allconv.convert(model, pooling="stride"), images)
    whole = keras.ops.convert_to_numpy(model.get_layer("conv")(images[0]))
    assert_close(found, centres(whole, (3,) * rank, (2,) * rank, "valid"))


def test_channels_first_keeps_the_centre_of_its_last_axes():
    first = {"data_format": "channels_first"}
    # Five filters, more than cells in a row of the result: where they are as many, Keras 3.15's
    # TensorFlow backend adds the bias along the row.
    conv = layers.Conv2D(5, 3, padding="same", name="conv", **first)
    model = network((2, 9, 8), conv, layers.MaxPooling2D(3, 2, **first))
    images = random_images(model)
    (found,) = outputs(allconv.convert(model, pooling="stride"), images)
    (whole,) = outputs(keras.Model(model.input, model.get_layer("conv").output), images)
    assert_close(found, centres(whole, (3, 3), (2, 2), "valid", first_axis=2))


@pytest.mark.parametrize(
    "conv",
    [
        layers.Conv2D(4, 3, padding="same", groups=2),
        layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2),
        layers.SeparableConv2D(4, 3, padding="same", activation="tanh"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_the_stride_passes_what_works_cell_by_cell_to_a_convolution_of_any_kind(conv):
    between = [
        layers.BatchNormalization(),
        layers.PReLU(shared_axes=[1, 2]),
        layers.Dropout(0.3),
        layers.SpatialDropout2D(0.3),
        layers.LeakyReLU(negative_slope=0.2),
        layers.Softmax(),
        layers.Activation("tanh"),
    ]
    model = network((9, 9, 2), *copies([conv]), *between, layers.MaxPooling2D(2, name="pool"))
    converted = allconv.convert(model, pooling="stride")
    images = random_images(model)
    whole = keras.Model(model.input, model.get_layer("pool").input)
    expected = centres(outputs(whole, images)[0], (2, 2), (2, 2), "valid")
    assert_close(outputs(converted, images)[0], expected)


def test_the_layers_keep_their_names_and_weights():
    conv, norm = layers.Conv2D(3, 3, name="conv"), layers.BatchNormalization(name="norm")
    model = network((8, 8, 2), conv, norm, layers.MaxPooling2D(2))
    converted = allconv.convert(model, pooling="stride")
    assert [layer.name for layer in converted.layers[-2:]] == ["conv", "norm"]
    assert converted.get_layer("conv").strides == (2, 2)
    for before, after in zip(model.get_weights(), converted.get_weights(), strict=True):
        assert np.array_equal(before, after)
    (change,) = plan_conversion(model, pooling="stride").changes
    assert (change.rule, change.keeps) == ("max_pool_to_stride", "shape")


def refused(*steps, shape=(9, 9, 2)):
    return reasons(network(shape, *steps), "max_pool_to_stride", pooling="stride")


CONV = {"name": "conv"}


@pytest.mark.parametrize(
    ("conv", "pool", "reason"),
    [
        (
            layers.UpSampling2D(2, name="up"),
            {},
            "no convolution before it to take its stride, but 'up' (UpSampling2D)",
        ),
        (
            layers.Conv2DTranspose(3, 2, **CONV),
            {},
            "no convolution before it to take its stride, but 'conv' (Conv2DTranspose)",
        ),
        (layers.Conv2D(3, 3, 2, **CONV), {}, "'conv' has strides (2, 2) already"),
        (
            layers.Conv2D(3, 3, dilation_rate=(1, 2), **CONV),
            {},
            "'conv' has dilation_rate (1, 2) already",
        ),
        (
            layers.DepthwiseConv2D(3, **CONV),
            {"strides": (1, 2)},
            "'conv' (DepthwiseConv2D) cannot take unequal strides (1, 2) on TensorFlow",
        ),
    ],
)
def test_a_layer_that_cannot_take_the_stride_is_named(conv, pool, reason):
    assert refused(conv, layers.MaxPooling2D(2, **pool)) == [reason]


@pytest.mark.parametrize(
    "between",
    [
        layers.BatchNormalization(axis=1, name="between"),
        layers.Softmax(axis=1, name="between"),
        layers.Softmax(axis=(1, 2), name="between"),
        layers.PReLU(name="between"),
        layers.Dropout(0.5, noise_shape=(None, 7, 7, 1), name="between"),
        layers.LayerNormalization(name="between"),
        layers.ZeroPadding2D(1, name="between"),
    ],
)
def test_a_layer_that_does_not_mean_the_same_on_fewer_cells_lets_no_stride_pass(between):
    (reason,) = refused(layers.Conv2D(3, 3, name="conv"), between, layers.MaxPooling2D(2))
    kind = type(between).__name__
    assert reason == f"no convolution before it to take its stride, but 'between' ({kind})"


def test_a_causal_convolution_is_named():
    conv = layers.Conv1D(3, 3, padding="causal", name="conv")
    assert refused(conv, layers.MaxPooling1D(2), shape=(9, 2)) == ["'conv' has padding 'causal'"]


def test_a_same_pool_on_a_map_of_any_size_is_refused_with_the_reason():
    steps = [layers.Conv2D(3, 3), layers.MaxPooling2D(2, padding="same")]
    expected = "padding 'same' needs a fixed input size, got (None, None, 9, 2)"
    assert refused(*steps, shape=(None, 9, 2)) == [expected]


def test_for_any_size_only_pads_that_depend_on_no_size_are_taken():
    conv = {"filters": 3, "kernel_size": 3, "name": "conv"}
    model = network((9, 9, 2), layers.Conv2D(**conv), layers.MaxPooling2D(2, padding="same"))
    chosen = {"pooling": "stride", "input_size": "any"}
    (reason,) = reasons(model, "max_pool_to_stride", **chosen)
    expected = "padding 'same' needs a fixed input size, got (None, 9, 9, 2), and the result "
    assert reason == expected + "is to take any"
    for pool in (layers.MaxPooling2D(2), layers.MaxPooling2D(3, 1, padding="same")):
        model = network((9, 9, 2), layers.Conv2D(**conv), pool)
        assert not reasons(model, "max_pool_to_stride", **chosen)
        whole = keras.Model(model.input, model.get_layer("conv").output)
        images = random_images(model)
        expected = centres(outputs(whole, images)[0], pool.pool_size, pool.strides, pool.padding)
        assert_close(outputs(allconv.convert(model, **chosen), images)[0], expected)


@pytest.mark.parametrize("through", [[], [layers.ReLU(name="relu")]], ids=["conv", "relu"])
def test_a_map_that_others_take_too_keeps_its_stride(through):
    image = keras.Input((8, 8, 2))
    tensor = layers.Conv2D(3, 3, padding="same", name="conv")(image)
    for layer in through:
        tensor = layer(tensor)
    model = keras.Model(image, [layers.MaxPooling2D(2)(tensor), layers.Conv2D(1, 1)(tensor)])
    (reason,) = reasons(model, "max_pool_to_stride", pooling="stride")
    expected = "no convolution before it to take its stride, but 'relu' (ReLU)"
    assert reason == (expected if through else "the result of 'conv' is taken by other layers, too")


def test_a_map_that_the_model_returns_keeps_its_stride():
    image = keras.Input((8, 8, 2))
    tensor = layers.Conv2D(3, 3, name="conv")(image)
    model = keras.Model(image, [tensor, layers.MaxPooling2D(2)(tensor)])
    expected = ["the result of 'conv' is taken by other layers, too"]
    assert reasons(model, "max_pool_to_stride", pooling="stride") == expected


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_dense_on_the_map_takes_the_stride_as_the_convolution_that_it_becomes(rank):
    image = keras.Input((7,) * rank + (2,))
    dense = layers.Dense(3, activation="relu")(image)
    pool = getattr(layers, f"MaxPooling{rank}D")(2)(layers.Dropout(0.5)(dense))
    model, whole = randomize(keras.Model(image, pool)), keras.Model(image, dense)
    converted = allconv.convert(model, pooling="stride")
    assert kinds_of(converted)[-2:] == [f"Conv{rank}D", "Dropout"]
    (maps,) = outputs(whole, random_images(model))
    found = outputs(converted, random_images(model))[0]
    assert_close(found, centres(maps, (2,) * rank, (2,) * rank, "valid"))


def test_a_dense_that_is_kept_takes_no_stride_and_is_the_reason():
    model = network((7, 7, 2), layers.Dense(3, name="dense"), layers.MaxPooling2D(2))
    expected = "no convolution before it to take its stride, but 'dense' (Dense)"
    assert reasons(model, "max_pool_to_stride", pooling="stride", head="keep") == [expected]
