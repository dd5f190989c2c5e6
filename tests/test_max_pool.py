"""The exact max pool, against a loop over windows, and against Keras where pools stack up."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import allconv
from allconv.plan import plan_conversion
from tests.helpers.keras_comparison import (
    assert_agree,
    assert_close,
    converts_alike,
    kinds_of,
    network,
    outputs,
    random_images,
    reasons,
)
from tests.helpers.slow_loops import pooled

EMITTED = {
    "InputLayer",
    "DepthwiseConv2D",
    "Conv2D",
    "ReLU",
    "Add",
    "Subtract",
    "ZeroPadding2D",
    "Rescaling",
}
ALIKE = [((k, k), (s, s)) for k in range(1, 6) for s in range(1, 5)]
UNEQUAL = [
    ((1, 4), (1, 1)),
    ((2, 1), (2, 1)),
    ((2, 3), (2, 2)),
    ((3, 2), (1, 2)),
    ((3, 5), (2, 4)),
    ((4, 2), (4, 2)),
    ((5, 1), (3, 2)),
    ((2, 2), (3, 4)),
]


def pools_of(shape, pools, padding, before=()):
    """A model that takes many max pools of one map, each an output of its own."""
    image = keras.Input(shape, name="image")
    tensor = image
    for layer in before:
        tensor = layer(tensor)
    ends = [layers.MaxPooling2D(k, s, padding=padding)(tensor) for k, s in pools]
    return keras.Model(image, ends)


def assert_pools(model, pools, padding, activate=lambda values: values, size=9):
    """The conversion computes what the loop does on the activated images."""
    images = random_images(model, size, low=-2.0, high=2.0)
    found = outputs(allconv.convert(model), images)
    for values, (window, strides) in zip(found, pools, strict=True):
        assert_close(values, pooled(activate(images[0]), window, strides, padding, np.max))


def fitting(sizes, pools):
    return [(k, s) for k, s in pools if all(a <= n for a, n in zip(k, sizes, strict=True))]


@pytest.mark.parametrize("pools", [ALIKE, UNEQUAL], ids=["alike", "unequal"])
@pytest.mark.parametrize("sizes", [(7, 8), (1, 1)])
def test_a_valid_pool_is_the_largest_value_of_each_window_negative_ones_included(sizes, pools):
    some = fitting(sizes, pools)
    if some:
        assert_pools(pools_of((*sizes, 2), some, "valid"), some, "valid")


@pytest.mark.parametrize("pools", [ALIKE, UNEQUAL], ids=["alike", "unequal"])
@pytest.mark.parametrize("sizes", [(7, 8), (3, 2)])
def test_a_same_pool_of_values_that_are_not_negative_pads_with_zeros(sizes, pools):
    model = pools_of((*sizes, 2), pools, "same", [layers.ReLU()])
    assert_pools(model, pools, "same", lambda x: np.maximum(x, 0))


@pytest.mark.parametrize(
    ("layer", "activate"),
    [
        (layers.Activation("tanh"), np.tanh),
        (layers.Activation("elu"), lambda x: np.where(x > 0, x, np.expm1(x))),
        (layers.ELU(alpha=2.5), lambda x: np.where(x > 0, x, 2.5 * np.expm1(x))),
        (layers.Activation("softsign"), lambda x: x / (1 + np.abs(x))),
    ],
    ids=["tanh", "elu", "ELU", "softsign"],
)
def test_a_same_pool_of_negative_values_with_a_lower_bound_is_shifted(layer, activate):
    some = [((2, 2), (2, 2)), ((3, 3), (2, 2)), ((5, 4), (1, 3)), ((2, 3), (4, 4))]
    model = pools_of((7, 6, 2), some, "same", [layer])
    assert_pools(model, some, "same", activate)


@pytest.mark.parametrize("pools", [ALIKE, UNEQUAL], ids=["alike", "unequal"])
@pytest.mark.parametrize("sizes", [(7, 8), (1, 2)])
def test_a_same_pool_of_unbounded_values_repeats_the_border(sizes, pools):
    assert_pools(pools_of((*sizes, 2), pools, "same"), pools, "same")


BEFORE = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
}


@pytest.mark.parametrize("activation", BEFORE)
def test_a_same_pool_of_any_values_serves_signals_of_any_length(activation):
    pools = [((k,), (s,)) for k in (2, 3, 4) for s in (1, 2, 3, 5)]
    signal = keras.Input((None, 2))
    tensor = layers.Activation(activation)(signal)
    ends = [layers.MaxPooling1D(*pool, padding="same")(tensor) for pool in pools]
    converted = allconv.convert(keras.Model(signal, ends))
    for length in range(1, 13):
        images = np.random.default_rng(length).uniform(-2, 1, (2, length, 2)).astype("float32")
        values = BEFORE[activation](images)
        for found, pool in zip(outputs(converted, [images]), pools, strict=True):
            assert_close(found, pooled(values, *pool, "same", np.max))


@pytest.mark.parametrize("activation", BEFORE)
def test_a_same_pool_of_any_values_serves_images_of_any_size(activation):
    pools = [((2, 2), (2, 2)), ((3, 3), (2, 2)), ((3, 3), (1, 1)), ((5, 2), (3, 3))]
    pools += [((3, 2), (1, 2)), ((2, 3), (4, 4))]
    image = keras.Input((None, None, 2))
    tensor = layers.Activation(activation)(image)
    ends = [layers.MaxPooling2D(*pool, padding="same")(tensor) for pool in pools]
    converted = allconv.convert(keras.Model(image, ends))
    for sizes in [(1, 1), (2, 5), (7, 4), (6, 6), (1, 9)]:
        images = np.random.default_rng(0).uniform(-2, 1, (2, *sizes, 2)).astype("float32")
        values = BEFORE[activation](images)
        for found, pool in zip(outputs(converted, [images]), pools, strict=True):
            assert_close(found, pooled(values, *pool, "same", np.max))


@pytest.mark.parametrize(("window", "strides"), [((3, 2), (2, 2)), ((3, 3), (1, 1))])
def test_channels_first_of_any_size_is_channels_last_with_its_axes_moved(window, strides):
    pool = layers.MaxPooling2D(window, strides, "same", data_format="channels_first")
    converted = allconv.convert(network((2, None, None), pool))
    images = np.random.default_rng(0).uniform(-2, 1, (2, 5, 4, 2)).astype("float32")
    (found,) = outputs(converted, [np.moveaxis(images, -1, 1)])
    assert_close(np.moveaxis(found, 1, -1), pooled(images, window, strides, "same", np.max))


@pytest.mark.parametrize("activation", BEFORE)
def test_a_same_pool_of_any_values_serves_volumes_of_any_size(activation):
    pools = [((2, 2, 2), (2, 2, 2)), ((3, 2, 1), (2, 1, 1)), ((1, 3, 3), (1, 2, 2))]
    pools += [((3, 3, 3), (1, 1, 1))]
    volume = keras.Input((None, None, None, 2))
    tensor = layers.Activation(activation)(volume)
    ends = [layers.MaxPooling3D(*pool, padding="same")(tensor) for pool in pools]
    converted = allconv.convert(keras.Model(volume, ends))
    for sizes in [(1, 2, 3), (4, 5, 2)]:
        images = np.random.default_rng(0).uniform(-2, 1, (2, *sizes, 2)).astype("float32")
        values = BEFORE[activation](images)
        for found, pool in zip(outputs(converted, [images]), pools, strict=True):
            assert_close(found, pooled(values, *pool, "same", np.max))


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("free", [True, False])
def test_strides_beyond_the_window_pool_volumes_as_keras_does_on_the_same_backend(free, padding):
    # TensorFlow's pools of rank 3 leave out first cells there; so do its convolutions.
    pools = [((1, 1, 1), (3, 1, 4)), ((2, 1, 3), (4, 2, 5)), ((1, 1, 1), (2, 2, 2))]
    for sizes in [(3, 4, 5), (6, 2, 4)]:
        volume = keras.Input((None, None, None, 2) if free else (*sizes, 2))
        kinds = [layers.MaxPooling3D, layers.AveragePooling3D]
        ends = [kind(*pool, padding=padding)(volume) for kind in kinds for pool in pools]
        model = keras.Model(volume, ends)
        images = np.random.default_rng(0).uniform(-2, 1, (2, *sizes, 2)).astype("float32")
        for found, expected in zip(
            outputs(allconv.convert(model), [images]), outputs(model, [images]), strict=True
        ):
            assert_close(found, expected)


@pytest.mark.parametrize("activation", BEFORE)
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_conversion_for_any_size_depends_on_no_size(padding, activation):
    pools = [pool for pool in ALIKE + UNEQUAL if max(pool[0]) in (2, 3)]
    before = [layers.Activation(activation)]
    plan = plan_conversion(pools_of((7, 8, 2), pools, padding, before), input_size="any")
    assert not set(kinds_of(plan.after)) & {"Concatenate", "Normalization", "Cropping2D"}
    converted = allconv.convert(pools_of((7, 8, 2), pools, padding, before), input_size="any")
    for sizes in [(7, 8), (3, 3), (12, 5)]:
        images = np.random.default_rng(0).uniform(-2, 1, (2, *sizes, 2)).astype("float32")
        values = BEFORE[activation](images)
        for found, pool in zip(outputs(converted, [images]), pools, strict=True):
            assert_close(found, pooled(values, *pool, padding, np.max))


def test_a_map_of_unknown_channels_is_skipped_with_the_reason():
    expected = ["needs a known number of channels, got (None, 8, 8, None)"]
    for pool, rule in [
        (layers.MaxPooling2D(2), "max_pool_to_relu"),
        (layers.GlobalMaxPooling2D(), "global_max_pool_to_relu"),
        (layers.AveragePooling2D(2), "average_pool_to_conv"),
        (layers.GlobalAveragePooling2D(), "global_average_pool_to_conv"),
    ]:
        assert reasons(network((8, 8, None), pool), rule) == expected
    model = network((8, 8, None), layers.MaxPooling2D(2))
    assert reasons(model, "max_pool_to_conv", pooling="conv") == expected


def test_a_same_pool_that_never_reaches_over_the_border_needs_no_lower_bound():
    converts_alike(network((8, 6, 2), layers.MaxPooling2D(2, 2, "same")))


@pytest.mark.parametrize(
    ("padding", "activation"), [("valid", "linear"), ("same", "relu"), ("same", "tanh")]
)
def test_one_conversion_serves_images_of_any_size(padding, activation):
    some = [pool for pool in ALIKE + UNEQUAL if max(pool[0]) in (2, 3)]
    model = pools_of((None, None, 2), some, padding, [layers.Activation(activation)])
    converted = allconv.convert(model)
    for size in (3, 6, 7):
        assert_agree(model, converted, size=size)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("strides", [(2, 2), (2, 4)])
def test_channels_first_is_channels_last_with_its_axes_moved(strides, padding):
    pool = layers.MaxPooling2D((3, 2), strides, padding, data_format="channels_first")
    model = network((2, 7, 6), pool)
    images = random_images(model)
    expected = pooled(np.moveaxis(images[0], 1, -1), (3, 2), strides, padding, np.max)
    (found,) = outputs(allconv.convert(model), images)
    assert_close(np.moveaxis(found, 1, -1), expected)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("before", [layers.ReLU(), layers.Identity()], ids=["bound", "none"])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("rank", [1, 3])
def test_signals_and_volumes_are_pooled_alike(rank, padding, before, data_format):
    sizes, window, strides = (7, 6, 5)[:rank], (3, 2, 2)[:rank], (2, 1, 2)[:rank]
    first = data_format == "channels_first"
    options = {"padding": padding, "data_format": data_format}
    pool = getattr(layers, f"MaxPooling{rank}D")(window, strides, **options)
    model = network((2, *sizes) if first else (*sizes, 2), type(before)(), pool)
    images = random_images(model)
    (found,) = outputs(allconv.convert(model), images)
    values = keras.ops.convert_to_numpy(before(images[0]))
    if first:
        values, found = np.moveaxis(values, 1, -1), np.moveaxis(found, 1, -1)
    assert_close(found, pooled(values, window, strides, padding, np.max))


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_nothing_but_convolutions_relus_and_sums_is_emitted(padding):
    model = pools_of((9, 8, 2), ALIKE + UNEQUAL, padding, [layers.Activation("tanh")])
    graph = plan_conversion(model).after
    assert set(kinds_of(graph)) <= EMITTED | {"Activation"}
    for node in graph.nodes:
        if node.kind == "Conv2D":
            assert tuple(node.config["kernel_size"]) == (1, 1)
        if node.kind == "DepthwiseConv2D":
            # TensorFlow's refuses others on many CPUs.
            assert len(set(node.config["strides"])) == 1


def test_a_pool_that_moves_no_cell_is_nothing():
    for padding in ("valid", "same"):
        graph = plan_conversion(network((7, 6, 2), layers.MaxPooling2D(1, 1, padding))).after
        assert kinds_of(graph) == ["InputLayer"]


def test_a_same_pool_of_stride_one_rises_in_place():
    model = network((7, 6, 2), layers.ReLU(), layers.MaxPooling2D(3, 1, "same"))
    kinds = kinds_of(plan_conversion(model).after)
    assert kinds.count("DepthwiseConv2D") == kinds.count("Add") == 4
    converts_alike(model)


@pytest.mark.parametrize(("window", "strides"), ALIKE)
def test_equal_strides_cost_in_proportion_to_the_channels(window, strides):
    def weights(channels):
        return allconv.convert(pools_of((9, 9, channels), [(window, strides)], "valid"))

    few, many = weights(2), weights(6)
    assert many.count_params() == 3 * few.count_params()
    assert not any(variable.trainable for variable in many.weights)


def test_a_2x2_pool_is_four_depthwise_convolutions_of_four_taps():
    report = allconv.report(network((8, 8, 5), layers.MaxPooling2D(2)))
    assert kinds_of(report.plan.after).count("DepthwiseConv2D") == 4
    assert sum(spec.weights["kernel"].size for spec in _depthwise(report.plan.after)) == 16 * 5


def test_wide_windows_need_no_more_comparisons_in_depth_than_doublings():
    for window, doublings in [(2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (9, 4)]:
        model = network((16, 1, 1), layers.MaxPooling2D((window, 1), 1))
        assert kinds_of(plan_conversion(model).after).count("Add") == doublings


def test_a_pool_of_one_pool_after_another_keeps_the_names_of_both():
    pools = [layers.MaxPooling2D(3, 2, name="first"), layers.MaxPooling2D(2, name="second")]
    model = network((13, 12, 3), *pools)
    converted = converts_alike(model)
    images = random_images(model)
    for name in ("first", "second"):
        both = [keras.Model(m.input, m.get_layer(name).output) for m in (model, converted)]
        assert_close(outputs(both[1], images)[0], outputs(both[0], images)[0])


def _depthwise(graph):
    return [spec for spec in graph.specs() if spec.kind == "DepthwiseConv2D"]
