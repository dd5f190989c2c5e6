"""Costs: against loops that multiply one number at a time and count."""

from __future__ import annotations

import doctest
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allconv.layers import costs
from allconv.layers.costs import multiply_accumulates, parameters, weight_bytes
from allconv.layers.layer_shapes import output_shape, weight_shapes

few = st.integers(1, 3)


def cost(kind, config, *inputs):
    """Multiply-accumulates with the output and the weights that the layer really has."""
    output, weights = output_shape(kind, config, inputs), weight_shapes(kind, config, inputs)
    return multiply_accumulates(kind, config, inputs, output, weights)


def image(data_format, size, channels):
    sizes = (size, size + 1)
    return (None, channels, *sizes) if data_format == "channels_first" else (None, *sizes, channels)


def sweep(size, window, stride):
    """Every cell of a convolution's output with every cell of its kernel."""
    places = [range(0, axis - window + 1, stride) for axis in (size, size + 1)]
    return itertools.product(*places, range(window), range(window))


@given(few, few, few, few, few, st.sampled_from(["channels_last", "channels_first"]))
@settings(max_examples=50, deadline=None)
def test_a_convolution_multiplies_what_its_loops_multiply(
    window, stride, groups, each, filters, data_format
):
    size, channels, filters = window + 2, groups * each, groups * filters
    config = {
        "kernel_size": (window, window),
        "strides": (stride, stride),
        "filters": filters,
        "groups": groups,
        "data_format": data_format,
    }
    count = 0
    for _ in sweep(size, window, stride):
        for channel, out in itertools.product(range(channels), range(filters)):
            count += channel % groups == out % groups
    assert cost("Conv2D", config, image(data_format, size, channels)) == count


@given(few, few, few, few, few)
@settings(max_examples=50, deadline=None)
def test_a_separable_convolution_is_a_depthwise_one_and_a_convolution_of_1x1(
    window, stride, channels, multiplier, filters
):
    size, config = window + 2, {"kernel_size": window, "strides": stride, "filters": filters}
    config |= {"depth_multiplier": multiplier}
    shape = image("channels_last", size, channels)
    depthwise = sum(channels * multiplier for _ in sweep(size, window, stride))
    cells = len({place[:2] for place in sweep(size, window, stride)})
    assert cost("DepthwiseConv2D", config, shape) == depthwise
    pointwise = cells * channels * multiplier * filters
    assert cost("SeparableConv2D", config, shape) == depthwise + pointwise


@given(few, few, few, few, st.sampled_from(["valid", "same"]))
@settings(max_examples=30, deadline=None)
def test_a_transposed_convolution_spreads_every_input_cell(
    window, stride, channels, filters, padding
):
    config = {"kernel_size": window, "strides": stride, "filters": filters, "padding": padding}
    shape = image("channels_last", 3, channels)
    count = 0
    for _input_cell in itertools.product(range(3), range(4)):
        for _kernel_cell in itertools.product(range(window), range(window)):
            count += channels * filters
    assert cost("Conv2DTranspose", config, shape) == count


@given(few, few, few, few, st.booleans())
@settings(max_examples=20, deadline=None)
def test_a_flattened_dense_costs_what_its_convolution_costs(
    height, width, channels, units, use_bias
):
    dense = {"units": units, "use_bias": use_bias}
    conv = {"filters": units, "kernel_size": (height, width), "use_bias": use_bias}
    vector, shape = (None, height * width * channels), (None, height, width, channels)
    assert cost("Dense", dense, vector) == cost("Conv2D", conv, shape)
    before, after = (
        weight_shapes("Dense", dense, [vector]),
        weight_shapes("Conv2D", conv, [shape]),
    )
    assert parameters(before) == parameters(after)


def test_a_dense_on_a_map_is_paid_for_every_cell():
    assert cost("Dense", {"units": 5}, (None, 2, 3, 4)) == 2 * 3 * 4 * 5


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("BatchNormalization", {}),
        ("LayerNormalization", {}),
        ("Normalization", {"axis": -1}),
        ("Rescaling", {"scale": 2.0}),
        ("LayerScale", {"projection_dim": 4}),
        ("ops.Multiply", {}),
        ("ops.TrueDivide", {}),
    ],
)
def test_a_scaling_multiplies_every_value_once(kind, config):
    assert cost(kind, config, (None, 2, 3, 4)) == 2 * 3 * 4


def test_a_product_of_three_maps_multiplies_every_value_twice():
    shape = (None, 2, 3, 4)
    assert cost("Multiply", {}, shape, shape) == 2 * 3 * 4
    assert cost("Multiply", {}, shape, shape, (None, 1, 1, 4)) == 2 * (2 * 3 * 4)


@pytest.mark.parametrize(
    ("kind", "config", "inputs"),
    [
        ("MaxPooling2D", {"pool_size": 2}, 1),
        ("AveragePooling2D", {"pool_size": 2}, 1),
        ("GlobalAveragePooling2D", {}, 1),
        ("Activation", {"activation": "softmax"}, 1),
        ("Flatten", {}, 1),
        ("Add", {}, 2),
        ("Concatenate", {}, 2),
        ("ops.Add", {}, 2),
    ],
)
def test_pools_activations_sums_and_reshapes_multiply_nothing(kind, config, inputs):
    assert cost(kind, config, *[(None, 4, 4, 3)] * inputs) == 0
    assert cost(kind, config, *[(None, None, None, 3)] * inputs) == 0


def test_the_batch_does_not_count():
    config = {"kernel_size": 3, "filters": 8}
    assert cost("Conv2D", config, (7, 5, 5, 3)) == cost("Conv2D", config, (None, 5, 5, 3))


def test_what_is_not_known_is_none_and_not_a_guess():
    config = {"kernel_size": 3, "filters": 8}
    assert cost("Conv2D", config, (None, None, 5, 3)) is None
    assert cost("Conv2DTranspose", config, (None, None, 5, 3)) is None
    assert cost("BatchNormalization", {}, (None, None, 5, 3)) is None
    assert multiply_accumulates("LSTM", {}, [(None, 4, 4)], (None, 4), {"kernel": (4, 4)}) is None
    assert multiply_accumulates("Conv2D", config, [None], None, {"kernel": (3, 3, 3, 8)}) is None
    assert multiply_accumulates("Conv2D", config, [(None, 5, 5, 3)], (None, 3, 3, 8), None) is None


@given(st.dictionaries(st.sampled_from("abc"), st.lists(few, max_size=4)))
@settings(max_examples=30, deadline=None)
def test_parameters_and_bytes_count_every_value(weights):
    values = [
        place for shape in weights.values() for place in itertools.product(*map(range, shape))
    ]
    assert parameters(weights) == len(values)
    assert weight_bytes(weights) == 4 * len(values)
    assert weight_bytes(weights, itemsize=2) == 2 * len(values)


def vgg19():
    """Class name, configuration and input shape of every layer (Simonyan & Zisserman 2014)."""
    stages = [(64, 2), (128, 2), (256, 4), (512, 4), (512, 4)]
    for filters, depth in stages:
        conv = {"kernel_size": 3, "padding": "same", "filters": filters}
        yield from [("Conv2D", conv)] * depth
        yield "MaxPooling2D", {"pool_size": 2}
    yield "Flatten", {}
    yield from (("Dense", {"units": units}) for units in (4096, 4096, 1000))


def test_vgg19_has_the_parameters_and_the_cost_that_are_published():
    shape, values, total = (None, 224, 224, 3), 0, 0
    for kind, config in vgg19():
        values += parameters(weight_shapes(kind, config, [shape]))
        total += cost(kind, config, shape)
        shape = output_shape(kind, config, [shape])
    assert values == 143_667_240  # keras.applications.VGG19().count_params()
    assert round(total / 1e9, 1) == 19.6  # He et al. 2015, arXiv 1512.03385, section 4.1


def test_the_example_in_the_docstring_is_true():
    assert doctest.testmod(costs).failed == 0
