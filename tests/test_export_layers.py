"""Every layer that allconv lists, in all its forms, exports and agrees with Keras."""

from __future__ import annotations

import keras
import numpy as np
import onnx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from keras import layers

import allconv
from allconv.errors import ExportError
from allconv.layers import kinds
from tests.helpers.drawn_layers import drawn_layer
from tests.helpers.drawn_networks import drawn_network, random_networks
from tests.helpers.keras_comparison import network
from tests.helpers.keras_versions import since_keras
from tests.helpers.onnx_files import TEMPORARY, exported, on_tensorflow, operators
from tests.helpers.randomized import randomize

pytestmark = on_tensorflow

HONEST = (
    "strides larger than their windows, which ONNX",
    "by a negative number of cells, as its strides",
    ": Keras fails: ",
)
"""Reasons not to export a layer: no runtime agrees with Keras on TensorFlow, or with any, or Keras
cannot run it (TensorFlow refuses some transposed convolutions with `output_padding`)."""

ACTIVATIONS = sorted(
    {
        *("celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu"),
        *("hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu"),
        *("relu6", "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign"),
        *("sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "tanh", "tanh_shrink"),
    }
)
SPATIAL = sorted(
    kinds.CONVOLUTIONS
    | kinds.MAX_POOLS
    | kinds.AVERAGE_POOLS
    | kinds.GLOBAL_AVERAGE_POOLS
    | kinds.GLOBAL_MAX_POOLS
    | kinds.SPATIAL
)


@pytest.mark.parametrize("kind", SPATIAL)
@random_networks(3)
@given(data=st.data())
def test_a_layer_exports_in_all_its_forms(kind, data, tmp_path):
    layer, (shape,) = drawn_layer(data.draw, kind)
    # On a CPU Keras cannot run every layer whose channels come first to compare with.
    assume(getattr(layer, "data_format", "channels_last") == "channels_last")
    image = keras.Input(shape[1:], name="image")
    try:
        tensor = layer(image)
    except ValueError:
        assume(False)
    assume(0 not in tensor.shape)
    model = randomize(keras.Model(image, tensor))
    try:
        report, onnx_model = exported(model, tmp_path)
    except ExportError as error:
        assert any(reason in str(error) for reason in HONEST), error
        return
    assert report.parity.max_error <= report.parity.tolerance
    assert "Transpose" not in operators(onnx_model)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_needs_no_transpose(name, tmp_path):
    image = keras.Input((4, 5, 4), name="image")
    tensor = layers.Conv2D(6, 2, activation=name)(image)
    report, onnx_model = exported(randomize(keras.Model(image, tensor)), tmp_path)
    assert report.parity.passed
    assert not {"Transpose", "Reshape", "Shape"} & set(operators(onnx_model))


@pytest.mark.parametrize(
    "layer",
    [
        layers.ReLU(max_value=4.0, negative_slope=0.1, threshold=0.2),
        layers.PReLU(),
        layers.PReLU(shared_axes=[1, 2]),
        layers.Softmax(axis=1),
        layers.LayerNormalization(),
        layers.RMSNormalization(),
        layers.UnitNormalization(),
        pytest.param(
            layers.Normalization(axis=(1, 2), mean=np.ones((4, 5)), variance=np.full((4, 5), 2.0)),
            marks=since_keras(3, 14, "numbers along axes that are not the last"),
        ),
        layers.Rescaling([1.0, 2.0, 3.0], [0.5, 0.0, -0.5]),
        layers.SpatialDropout2D(0.5),
        layers.UpSampling2D((2, 3), interpolation="bilinear"),
    ],
    ids=lambda layer: layer.name,
)
def test_a_cellwise_layer_needs_no_transpose(layer, tmp_path):
    image = keras.Input((4, 5, 3), name="image")
    model = randomize(keras.Model(image, layer(layers.Conv2D(3, 1)(image))))
    report, onnx_model = exported(model, tmp_path)
    assert report.parity.passed
    assert "Transpose" not in operators(onnx_model)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_maps_of_any_size_are_enlarged_by_the_factors_of_the_layer(interpolation, tmp_path):
    image = keras.Input((None, None, 2), name="image")
    tensor = layers.UpSampling2D((2, 3), interpolation=interpolation)(layers.Conv2D(3, 1)(image))
    report, onnx_model = exported(randomize(keras.Model(image, tensor)), tmp_path)
    assert report.parity.passed and operators(onnx_model) == ["Conv", "Resize"]


@pytest.mark.parametrize("size", [7, None])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_a_convolution_behind_an_enlarged_map_knows_its_channels(interpolation, size, tmp_path):
    enlarge = layers.UpSampling2D((2, 3), interpolation=interpolation)
    behind = layers.DepthwiseConv2D(3, padding="same"), layers.Conv2D(2, 3, strides=2)
    model = network((size, size, 2), layers.Conv2D(3, 1), enlarge, *behind)
    for each in (model, allconv.convert(model)):
        report, onnx_model = exported(each, tmp_path)
        assert report.parity.passed and operators(onnx_model) == ["Conv", "Resize", "Conv", "Conv"]


@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize(
    ("old", "new"), [((7, 9), (20, 41)), ((61, 13), (5, 29)), ((45, 3), (2, 1))]
)
def test_maps_are_resized_to_a_size_of_any_ratio(old, new, opset, tmp_path):
    model = network((*old, 2), layers.Conv2D(3, 1), layers.Resizing(*new), layers.Conv2D(2, 1))
    report, _ = exported(model, tmp_path, opset_version=opset)
    assert report.parity.passed and list(report.outputs.values()) == [("batch", 2, *new)]


def test_layers_that_change_images_in_training_only_are_left_out(tmp_path):
    changes = layers.RandomFlip(), layers.RandomRotation(0.1), layers.RandomContrast(0.2)
    model = network((8, 9, 3), *changes, layers.CenterCrop(6, 7), layers.Conv2D(4, 3))
    for source in (model, allconv.convert(model, strict=False)):
        report, onnx_model = exported(source, tmp_path)
        assert report.parity.passed and operators(onnx_model) == ["Slice", "Conv"]
    model.save(tmp_path / "model.keras")
    report, _ = exported(tmp_path / "model.keras", tmp_path)
    assert report.parity.passed


@pytest.mark.parametrize("size", [7, None])
@pytest.mark.parametrize("kind", ["DepthwiseConv2D", "SeparableConv2D"])
def test_depthwise_convolutions_whose_strides_differ_agree(kind, size, tmp_path):
    filters = {"filters": 3} if kind == "SeparableConv2D" else {}
    conv = getattr(layers, kind)(kernel_size=2, strides=(1, 2), depth_multiplier=2, **filters)
    report, onnx_model = exported(network((size, size, 2), conv), tmp_path)
    assert report.parity.passed and set(operators(onnx_model)) == {"Conv"}


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask:UserWarning")
@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize("behind", [layers.Conv1D(3, 2), layers.GlobalAveragePooling1D()])
def test_masked_steps_count_as_in_keras(behind, opset, tmp_path):
    # behind a relu, two channels are both zero in about every fourth step
    model = network((8, 2), layers.ReLU(), layers.Masking(), behind)
    report, _ = exported(model, tmp_path, opset_version=opset)
    assert report.parity.passed


@pytest.mark.parametrize("size", [9, None])
@pytest.mark.parametrize("dilations", [(1, 1, 3), (1, 2, 3), (3, 2, 1)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_conv3d_layers_whose_dilations_differ_agree(dilations, padding, size, tmp_path):
    conv = layers.Conv3D(3, (2, 3, 2), dilation_rate=dilations, padding=padding)
    model = network((9, size, size, 2), conv, layers.Conv3D(2, 1))
    report, onnx_model = exported(model, tmp_path)
    assert report.parity.passed and operators(onnx_model) == ["Conv", "Conv"]
    assert [*onnx.helper.get_node_attr_value(onnx_model.graph.node[0], "dilations")] == [*dilations]


@pytest.mark.parametrize("shape", [(3, 4, 3), (3, 4, None), (None, 4, 3), (None, None, None)])
def test_conv3d_dilations_that_only_just_fit_the_map_agree(shape, tmp_path):
    conv = layers.Conv3D(2, 2, dilation_rate=(2, 3, 2))
    report, _ = exported(network((*shape, 1), conv), tmp_path)
    assert report.parity.passed


def test_an_operation_that_tf2onnx_does_not_write_is_refused_by_name(tmp_path):
    image = keras.Input((4, 5, 3), name="image")
    tensor = keras.ops.erfinv(layers.Conv2D(3, 1, activation="tanh")(image))
    with pytest.raises(ExportError, match=r"cannot be written in opset 18: Erfinv of layer"):
        exported(keras.Model(image, tensor), tmp_path)
    assert not (tmp_path / TEMPORARY).exists()


@pytest.mark.parametrize("rank", [1, 2, 3])
@random_networks(4)
@given(data=st.data())
def test_a_random_network_exports_and_agrees(rank, data, tmp_path_factory):
    model = drawn_network(data.draw, "channels_last", rank)
    if data.draw(st.booleans()):
        model = allconv.convert(model)
    data_format = data.draw(st.sampled_from(["channels_first", "channels_last"]))
    try:
        report, _ = exported(model, tmp_path_factory.mktemp("onnx"), data_format=data_format)
    except ExportError as error:
        assert any(reason in str(error) for reason in HONEST), error
        return
    assert report.parity.passed or "constant" in report.parity.reason
