"""`ConvPool`: sizes kept, started as the mean of the window, and what no longer fits is fresh."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import allconv
from allconv import ConvPool
from allconv.errors import ShapeError
from allconv.plan import plan_conversion
from tests.helpers.keras_comparison import assert_close, network, outputs, random_images, reasons
from tests.helpers.slow_loops import pooled

PAIR = st.tuples(st.integers(1, 5), st.integers(1, 5))
PADDINGS = st.sampled_from(["valid", "same"])


def two_blocks(**pool_options):
    """Two convolutions with pools and a Dense, the first pool under the name `pool1`."""
    return network(
        (12, 12, 2),
        layers.Conv2D(4, 3, activation="relu", name="conv1"),
        layers.MaxPooling2D(2, name="pool1", **pool_options),
        layers.Conv2D(5, 3, name="conv2"),
        layers.MaxPooling2D(2, 1, name="pool2"),
        layers.Flatten(name="flatten"),
        layers.Dense(3, name="classes"),
    )


def changes_of(model, **options):
    return {change.layer: change for change in plan_conversion(model, **options).changes}


@settings(deadline=None, max_examples=40)
@given(kernel=PAIR, window=PAIR, strides=PAIR, padding=PADDINGS, sizes=PAIR)
def test_the_sizes_are_kept_whatever_the_kernel(kernel, window, strides, padding, sizes):
    sizes = tuple(size + 4 for size in sizes)
    model = network((*sizes, 2), layers.MaxPooling2D(window, strides, padding))
    converted = allconv.convert(model, pooling=ConvPool(kernel_size=kernel))
    assert converted.output_shape == model.output_shape
    images = random_images(model)
    assert outputs(converted, images)[0].shape == outputs(model, images)[0].shape


@settings(deadline=None, max_examples=40)
@given(more=PAIR, window=PAIR, strides=PAIR, padding=PADDINGS)
def test_it_starts_as_the_mean_of_the_window_zeros_around_the_map_counted(
    more, window, strides, padding
):
    kernel = tuple(w + m - 1 for w, m in zip(window, more, strict=True))
    model = network((6, 7, 2), layers.MaxPooling2D(window, strides, padding))
    images = random_images(model)
    (found,) = outputs(allconv.convert(model, pooling=ConvPool(kernel_size=kernel)), images)

    def mean(cells, axis):
        return cells.sum(axis=axis) / np.prod(window)

    assert_close(found, pooled(images[0], window, strides, padding, mean))


@pytest.mark.parametrize(
    ("window", "kernel", "layer", "cells"),
    [
        (2, 3, "ZeroPadding2D", (0, 1)),
        (2, 5, "ZeroPadding2D", (1, 2)),
        (5, 2, "Cropping2D", (1, 2)),
    ],
)
def test_a_valid_pool_is_padded_or_cropped_the_smaller_half_first(window, kernel, layer, cells):
    model = network((9, 9, 1), layers.MaxPooling2D(window, 2))
    (margin, _) = allconv.convert(model, pooling=ConvPool(kernel)).layers[1:]
    assert type(margin).__name__ == layer
    assert getattr(margin, "padding", getattr(margin, "cropping", None)) == (cells, cells)


def test_a_kernel_below_the_window_starts_as_the_mean_of_its_own_cells():
    model = network((9, 9, 2), layers.MaxPooling2D(4, 4))
    images = random_images(model)
    (found,) = outputs(allconv.convert(model, pooling=ConvPool(kernel_size=2)), images)
    middle = images[0][:, 1:8, 1:8]  # two of four cells are cropped, one on either side
    assert_close(found, pooled(middle, (2, 2), (4, 4), "valid", np.mean))


def test_the_name_says_the_same_as_the_strategy_and_keeps_the_shape():
    model = two_blocks()
    by_name, by_strategy = (plan_conversion(model, pooling=p) for p in ("conv", ConvPool()))
    assert by_name.changes == by_strategy.changes
    assert changes_of(model, pooling="conv")["pool1"].keeps == "shape"
    assert not by_name.lossless and not by_name.fresh


def test_the_convolution_has_the_pools_name_and_stride_and_is_trained():
    converted = allconv.convert(two_blocks(strides=1), pooling="conv")
    pool = converted.get_layer("pool1")
    assert (type(pool), pool.kernel_size, pool.strides) == (layers.Conv2D, (2, 2), (1, 1))
    assert len(pool.trainable_weights) == 2
    assert not np.any(pool.bias)


def test_a_pool_that_was_frozen_becomes_a_frozen_convolution():
    model = two_blocks()
    model.get_layer("pool1").trainable = False
    converted = allconv.convert(model, pooling="conv")
    assert not converted.get_layer("pool1").trainable
    assert converted.get_layer("pool2").trainable


def test_relu_becomes_linear_over_values_that_may_be_negative_and_the_report_says_so():
    model = two_blocks()
    converted = allconv.convert(model, pooling="conv")
    assert converted.get_layer("pool1").activation is keras.activations.relu
    assert converted.get_layer("pool2").activation is keras.activations.linear
    changes = changes_of(model, pooling="conv")
    assert changes["pool1"].note == ""
    assert changes["pool2"].note == "linear, since its input may be negative"


def test_another_activation_is_taken_as_it_is():
    pooling = ConvPool(activation="tanh")
    converted = allconv.convert(two_blocks(), pooling=pooling)
    assert converted.get_layer("pool2").activation is keras.activations.tanh
    assert changes_of(two_blocks(), pooling=pooling)["pool2"].note == ""


def test_other_filters_start_fresh_and_so_does_the_layer_that_takes_them():
    plan = plan_conversion(two_blocks(), pooling={"pool1": ConvPool(filters=7)})
    assert plan.fresh == ("pool1", "conv2")
    assert {change.keeps for change in plan.changes if change.layer == "pool1"} == {"axes"}
    converted = allconv.convert(two_blocks(), pooling={"pool1": ConvPool(filters=7)})
    assert converted.get_layer("conv2").kernel.shape == (3, 3, 7, 5)
    assert np.any(converted.get_layer("conv2").kernel)


def test_the_textbook_form_shrinks_the_maps_and_only_the_dense_starts_fresh():
    textbook = ConvPool(kernel_size=3, padding="valid")
    plan = plan_conversion(two_blocks(), pooling={"pool1": textbook, "pool2": "conv"})
    shapes = {node.name: node.shape for node in plan.after.nodes}
    assert shapes["pool1"] == (None, 4, 4, 4)
    assert plan.fresh == ("classes",)


def test_same_padding_for_a_valid_pool_keeps_only_the_axes():
    plan = plan_conversion(two_blocks(), pooling={"pool2": ConvPool(padding="same")})
    assert next(c.keeps for c in plan.changes if c.layer == "pool2") == "axes"


def test_a_map_that_vanishes_is_an_error_that_names_the_layer_and_what_to_do():
    model = network((6, 6, 1), *[layers.MaxPooling2D(2, name=f"pool{i}") for i in (1, 2)])
    converted = allconv.convert(model, pooling=ConvPool(kernel_size=3))
    assert converted.output_shape == (None, 1, 1, 1)
    with pytest.raises(ShapeError, match=r"'pool2'.*: a window of 3 does not fit a map of 2"):
        allconv.convert(model, pooling=ConvPool(kernel_size=3, padding="valid"))


def test_the_convolution_lies_as_the_pool_does():
    pool = layers.MaxPooling2D(2, data_format="channels_first")
    (conv,) = allconv.convert(network((3, 8, 8), pool), pooling="conv").layers[1:]
    assert conv.data_format == "channels_first"


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("kernel", [1, 2, 4, 5])
def test_the_sizes_of_signals_are_kept_whatever_the_kernel(kernel, data_format):
    model = network((9, 9), layers.MaxPooling1D(3, 2, data_format=data_format))
    converted = allconv.convert(model, pooling=ConvPool(kernel))
    assert converted.output_shape == model.output_shape


def test_a_kernel_of_another_rank_is_skipped_with_the_reason():
    model = network((9, 2), layers.MaxPooling1D(2))
    expected = "ConvPool's kernel_size (3, 3) does not have 1 axes"
    assert reasons(model, "max_pool_to_conv", pooling=ConvPool((3, 3))) == [expected]
