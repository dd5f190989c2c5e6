"""Shapes and weights of every known layer class: against what Keras says of the same layer."""

from __future__ import annotations

import doctest
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allconv.dtypes import PICKS
from allconv.errors import ShapeError
from allconv.layers import kinds, layer_shapes
from allconv.layers.layer_shapes import KNOWN_KINDS, output_shape, weight_shapes
from tests.helpers.drawn_layers import DRAWN, drawn_layer
from tests.helpers.keras_versions import since_keras

keras = pytest.importorskip("keras")
layers = keras.layers

NOT_IN_KERAS_3 = {"ThresholdedReLU", "ops.Abs"}

NEW_IN_3_14 = {
    "Conv1DTranspose": "its shapes with dilation, and with output_padding",
    "Conv2DTranspose": "its shapes with dilation, and with output_padding",
    "Conv3DTranspose": "its shapes with dilation, and with output_padding",
    "RMSNormalization": "several axes",
}
DRAWN_HERE = [
    pytest.param(kind, marks=since_keras(3, 14, NEW_IN_3_14[kind]) if kind in NEW_IN_3_14 else ())
    for kind in sorted(DRAWN)
]


def by_keras(layer, shapes):
    """Output shape and weights that Keras gives this call, or None where it refuses it."""
    inputs = [keras.KerasTensor(shape) for shape in shapes]
    try:
        output = layer(inputs if len(inputs) > 1 else inputs[0])
    except ValueError:
        return None
    if 0 in output.shape:  # Keras lets a transposed convolution vanish; to us that is an error
        return None
    return tuple(output.shape), [(weight.name, tuple(weight.shape)) for weight in layer.weights]


def by_us(kind, config, shapes):
    """The same from our own tables; a list, because the order of weights matters."""
    try:
        output, weights = output_shape(kind, config, shapes), weight_shapes(kind, config, shapes)
    except ShapeError:
        return None
    return output, list(weights.items())


@pytest.mark.parametrize("kind", DRAWN_HERE)
@given(st.data())
@settings(max_examples=20, deadline=None)
def test_a_layer_has_the_shape_and_the_weights_that_keras_gives_it(kind, data):
    layer, shapes = drawn_layer(data.draw, kind)
    config = layer.get_config()
    from_file = json.loads(json.dumps(config))
    expected = by_keras(layer, shapes)
    assert by_us(kind, config, shapes) == expected
    assert by_us(kind, from_file, shapes) == expected


def snake_case(name):
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


OPERATIONS = {kind for kind in KNOWN_KINDS if kind.startswith("ops.")}


@pytest.mark.parametrize("kind", sorted(OPERATIONS - PICKS))
@given(st.data())
@settings(max_examples=3, deadline=None)
def test_an_operation_has_the_shape_that_keras_gives_it(kind, data):
    operation = getattr(keras.ops, snake_case(kind.removeprefix("ops.")))
    size = st.sampled_from([1, 3, None])
    shapes = [(None, data.draw(size), data.draw(size), 3) for _ in range(2)]
    arguments = {"ops.Clip": (0, 6), "ops.Cast": ("float32",), "ops.Threshold": (0.0, 1.0)}
    if kind in kinds.BINARY_OPS:
        expected = operation(*map(keras.KerasTensor, shapes))
        assert output_shape(kind, {}, shapes) == expected.shape
        with_a_constant = operation(keras.KerasTensor(shapes[0]), 2.0)
        assert output_shape(kind, {}, shapes[:1]) == with_a_constant.shape
    else:
        expected = operation(keras.KerasTensor(shapes[0]), *arguments.get(kind, ()))
        assert output_shape(kind, {}, shapes[:1]) == expected.shape
    assert weight_shapes(kind, {}, shapes) == {}


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_picked_has_the_shape_that_keras_gives_it(data):
    one, size = data.draw, st.sampled_from([2, 3, 4, None])
    x = keras.KerasTensor((None, one(size), one(size), 4))
    place = st.integers(-2, 1) | st.slices(4).filter(lambda part: len(range(4)[part]) > 0)
    axis = one(st.sampled_from([-1, 3]))
    picks = {
        "ops.GetItem": lambda: x[..., one(place)],
        "ops.Take": lambda: keras.ops.take(x, one(st.sampled_from([1, [0], [3, 1]])), axis),
        "ops.Flip": lambda: keras.ops.flip(x, axis),
        "ops.Stack": lambda: keras.ops.stack([x, x], one(st.integers(-4, 4))),
        "ops.Unstack": lambda: keras.ops.unstack(x, axis=axis)[0],
        "ops.Split": lambda: keras.ops.split(x, one(st.sampled_from([1, 2, 4])), axis)[0],
    }
    assert set(picks) == PICKS
    kind = one(st.sampled_from(sorted(PICKS)))
    tensor = picks[kind]()
    operation, index, _ = tensor._keras_history
    call = operation._inbound_nodes[index]
    shapes, operands = [given.shape for given in call.input_tensors], call.arguments.args
    found = output_shape(kind, operation.get_config(), shapes, operands)
    assert found == tensor.shape


def test_every_known_kind_is_compared_with_keras():
    elsewhere = {"InputLayer", "LayerScale", "CustomScaleLayer"}
    assert set(DRAWN) | elsewhere | OPERATIONS | NOT_IN_KERAS_3 == KNOWN_KINDS


@pytest.mark.parametrize("name", ["ConvNeXtTiny", "MobileNetV3Small"])
def test_every_layer_of_a_published_network_agrees_with_keras(name):
    model = getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3))
    for layer in (layer for layer in model.layers if not isinstance(layer, keras.Sequential)):
        call = layer._inbound_nodes[0]
        shapes = [tensor.shape for tensor in call.input_tensors]
        expected = call.output_tensors[0].shape, [weight.shape for weight in layer.weights]
        output, weights = by_us(type(layer).__name__, layer.get_config(), shapes)
        assert (output, [shape for _, shape in weights]) == expected, layer.name


def test_a_scale_layer_keeps_the_shape_of_its_first_input():
    residual = [(None, 8, 8, 3), (None, 8, 8, 3)]
    assert output_shape("CustomScaleLayer", {"scale": 0.1}, residual) == (None, 8, 8, 3)
    assert weight_shapes("LayerScale", {"projection_dim": 3}, residual[:1]) == {"gamma": (3,)}


def test_an_input_layer_has_the_shape_of_its_configuration():
    assert output_shape("InputLayer", {"batch_shape": [None, 28, 28, 1]}, []) == (None, 28, 28, 1)


@pytest.mark.parametrize("step", [{"strides": 3}, {"dilation_rate": 3}])
@pytest.mark.parametrize("length", [1, 4, 9])
def test_a_causal_convolution_keeps_every_stride_of_its_input(step, length):
    layer = layers.Conv1D(2, 4, padding="causal", **step)
    expected = by_keras(layer, [(None, length, 3)])
    assert expected[0] == (None, len(range(0, length, step.get("strides", 1))), 2)
    assert by_us("Conv1D", layer.get_config(), [(None, length, 3)]) == expected


@pytest.mark.parametrize("size", [2, 3])
def test_a_dilated_transposed_convolution_crops_by_the_cells_it_spans(size):
    layer = layers.Conv1DTranspose(2, size, padding="same", dilation_rate=2, output_padding=0)
    expected = by_keras(layer, [(None, 9, 3)])
    assert by_us("Conv1DTranspose", layer.get_config(), [(None, 9, 3)]) == expected


@since_keras(3, 14, "batch renormalization")
def test_batch_renormalization_has_three_weights_more():
    layer = layers.BatchNormalization(renorm=True)
    expected = by_keras(layer, [(None, 4, 4, 3)])
    assert by_us("BatchNormalization", layer.get_config(), [(None, 4, 4, 3)]) == expected


@since_keras(3, 14, "axes in their order")
def test_layer_normalization_over_several_axes_sorts_them_as_keras_does():
    for axis in ([3, 1], (1, 2, 3), [-1, -3]):
        layer = layers.LayerNormalization(axis=axis)
        config = layer.get_config()
        expected = by_keras(layer, [(None, 4, 5, 3)])
        assert by_us("LayerNormalization", config, [(None, 4, 5, 3)]) == expected


def test_what_is_not_known_is_none_and_not_a_guess():
    assert output_shape("Lambda", {}, [(None, 4)]) is None
    assert output_shape("ReLU", {}, [None]) is None
    assert output_shape("Add", {}, [(None, 4), None]) is None
    assert weight_shapes("LSTM", {"units": 4}, [(None, 4, 4)]) is None
    assert weight_shapes("Dense", {"units": 4}, [None]) is None


def test_weights_that_lora_or_quantization_changed_are_not_known():
    layer = layers.Dense(4)
    layer.build((None, 8))
    layer.enable_lora(2)
    assert weight_shapes("Dense", layer.get_config(), [(None, 8)]) is None
    layer = layers.Dense(4)
    layer.build((None, 8))
    layer.quantize("int8")
    assert weight_shapes("Dense", layer.get_config(), [(None, 8)]) is None


CONV = {"kernel_size": 5, "filters": 4}
IMAGE = (None, 9, 9, 6)


@pytest.mark.parametrize(
    ("kind", "config", "inputs", "message"),
    [
        (
            "Conv2D",
            CONV,
            [(None, 128)],
            "expects 4 axes (batch, height, width, channels), got (None, 128)",
        ),
        (
            "MaxPooling3D",
            {"pool_size": 2, "data_format": "channels_first"},
            [IMAGE],
            "expects 5 axes (batch, channels, depth, height, width), got (None, 9, 9, 6)",
        ),
        ("Conv2D", CONV, [(None, 9, 3, 6)], "a window of 5 does not fit a map of 3"),
        ("RepeatVector", {"n": 2}, [IMAGE], "expects 2 axes (batch, channels), got"),
        ("Dense", {"units": 2}, [(6,)], "expects at least 2 axes (batch, ..., channels), got (6,)"),
        (
            "Cropping1D",
            {"cropping": (2, 3)},
            [(None, 5, 1)],
            "cropping 2 + 3 leaves nothing of a map of 5",
        ),
        (
            "Reshape",
            {"target_shape": (4, -1)},
            [(None, 9)],
            "the 9 values of (None, 9) do not fill the target shape (4, -1)",
        ),
        (
            "Permute",
            {"dims": (2, 1)},
            [IMAGE],
            "the order (2, 1) is for 3 axes with batch, got (None, 9, 9, 6)",
        ),
        (
            "Add",
            {},
            [(None, 9, 9, 6), (None, 9, 8, 6)],
            "inputs (None, 9, 9, 6) and (None, 9, 8, 6) do not broadcast together",
        ),
        ("Add", {}, [(2, 6), (3, 6)], "inputs (2, 6) and (3, 6) have different batch sizes"),
        (
            "Concatenate",
            {"axis": -1},
            [(None, 9, 9, 6), (None, 9, 8, 6)],
            "inputs (None, 9, 9, 6) and (None, 9, 8, 6) differ outside of axis -1",
        ),
        (
            "Concatenate",
            {"axis": 1},
            [(None, 9), (None, 9, 8)],
            "inputs (None, 9) and (None, 9, 8) cannot be joined along axis 1",
        ),
    ],
)
def test_inputs_that_do_not_fit_are_an_error_that_says_what_was_found(
    kind, config, inputs, message
):
    with pytest.raises(ShapeError) as error:
        output_shape(kind, config, inputs)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("kind", "config", "shape", "message"),
    [
        (
            "Conv2D",
            {**CONV, "groups": 4},
            IMAGE,
            "6 channels cannot be divided into 4 groups",
        ),
        (
            "GroupNormalization",
            {"groups": 4},
            IMAGE,
            "6 channels cannot be divided into 4 groups",
        ),
        (
            "Conv2D",
            CONV,
            (None, 9, 9, None),
            "its weights need a known number of channels, got (None, 9, 9, None)",
        ),
        (
            "Dense",
            {"units": 4},
            (None, None),
            "its weights need a known size on axis -1, got (None, None)",
        ),
        (
            "BatchNormalization",
            {"axis": 4},
            IMAGE,
            "its weights lie along axis 4, got (None, 9, 9, 6)",
        ),
    ],
)
def test_weights_that_cannot_be_are_an_error_that_says_why(kind, config, shape, message):
    with pytest.raises(ShapeError) as error:
        weight_shapes(kind, config, [shape])
    assert str(error.value) == message


def test_the_examples_in_the_docstrings_are_true():
    assert doctest.testmod(layer_shapes).failed == 0
