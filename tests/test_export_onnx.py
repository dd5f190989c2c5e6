"""What is in the files that `export_onnx` writes: operators, names, sizes, metadata."""

from __future__ import annotations

import json
import re

import keras
import numpy as np
import onnx
import pytest
from keras import layers

import allconv
from allconv.export_onnx import export_onnx
from tests.helpers.keras_comparison import network
from tests.helpers.networks import cifar10_cnn, mnist_cnn, of_any_size, on_signals, residual, twins
from tests.helpers.onnx_files import (
    TEMPORARY,
    attributes,
    dims,
    exported,
    node_names,
    on_tensorflow,
    operators,
    run,
)
from tests.helpers.randomized import randomize
from tests.helpers.small_applications import NETWORKS, squeeze_and_excitation, u_net

pytestmark = on_tensorflow

ALL = (*NETWORKS, mnist_cnn, cifar10_cnn, of_any_size, on_signals, residual, twins)
FEW = (mnist_cnn, of_any_size, residual, u_net, squeeze_and_excitation)

each_network = pytest.mark.parametrize(
    "build",
    [pytest.param(build, marks=[] if build in FEW else pytest.mark.slow) for build in ALL],
    ids=[build.__name__ for build in ALL],
)

ANYWHERE = {"Add", "Clip", "Concat", "Conv", "ConvTranspose", "Div", "LeakyRelu", "Max", "Min"}
ANYWHERE |= {"Mul", "Pad", "Relu", "Resize", "Sigmoid", "Slice", "Softmax", "Sub", "Tanh"}


@each_network
def test_every_network_exports_and_agrees(build, tmp_path):
    data_format = "channels_first" if ALL.index(build) % 2 else "channels_last"
    report, _ = exported(randomize(build()), tmp_path, data_format=data_format)
    assert report.parity.passed, report
    counts = {case.partition(" of ")[0] for case in report.parity.cases}
    assert counts == {"1", "3"}


@each_network
def test_a_converted_network_is_convolutions_and_cellwise_operators_only(build, tmp_path):
    report, model = exported(allconv.convert(randomize(build())), tmp_path)
    assert report.parity.passed, report
    takes, gives = (next(iter(side.values())) for side in (report.inputs, report.outputs))
    kinds = operators(model)
    if len(takes) == 2:
        assert kinds.pop(0) == "Reshape"
    if len(gives) == 2:
        assert kinds.pop() == "Reshape"
    assert set(kinds) <= ANYWHERE


@pytest.mark.parametrize("build", [mnist_cnn, of_any_size, on_signals])
def test_channels_last_cost_one_transpose_at_each_end(build, tmp_path):
    _, model = exported(allconv.convert(build()), tmp_path, data_format="channels_last")
    kinds = operators(model)
    assert kinds[0] == "Transpose" and kinds.count("Transpose") <= 2
    assert "Transpose" not in kinds[1:-1]


def test_nodes_begin_with_the_name_of_their_layer(tmp_path):
    converted = allconv.convert(randomize(mnist_cnn()))
    _, model = exported(converted, tmp_path)
    names = [name.split("/") for name in node_names(model)]
    assert {layer for layer, _ in names} <= {layer.name for layer in converted.layers}
    assert all(re.fullmatch(r"[A-Z]\w+", rest) for _, rest in names)
    assert names[:2] == [["conv1", "Conv"], ["conv1", "Relu"]]
    weights = [each.name for each in model.graph.initializer]
    assert weights[:2] == ["conv1/kernel", "conv1/bias"]


def test_the_calls_of_a_shared_layer_share_its_weights(tmp_path):
    _, model = exported(randomize(twins()), tmp_path)
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    assert [node.name for node in convs] == ["conv/Conv", "conv/Conv_1"]
    assert convs[0].input[1:] == convs[1].input[1:] == ["conv/kernel", "conv/bias"]


def test_inputs_and_outputs_have_the_names_of_keras(tmp_path):
    _, model = exported(twins(), tmp_path)
    assert list(dims(model.graph.input)) == ["left", "right"]
    assert list(dims(model.graph.output)) == ["difference"]


def test_an_output_that_is_an_input_has_another_name(tmp_path):
    image = keras.Input((8, 8, 1), name="image")
    model = keras.Model(image, [layers.Conv2D(1, 1, name="conv")(image), image])
    _, onnx_model = exported(model, tmp_path)
    assert list(dims(onnx_model.graph.output)) == ["conv", "image_1"]


@pytest.mark.parametrize(
    ("rank", "names"),
    [(1, ["length"]), (2, ["height", "width"]), (3, ["depth", "height", "width"])],
)
def test_free_sizes_have_names(rank, names, tmp_path):
    conv = getattr(layers, f"Conv{rank}D")(4, 3, name="conv")
    report, model = exported(network((*[None] * rank, 2), conv), tmp_path)
    assert dims(model.graph.input) == {"image": ["batch", 2, *names]}
    assert dims(model.graph.output) == {"conv": ["batch", 4, *[f"conv_{name}" for name in names]]}
    assert report.free_dimensions == ("batch", *names)
    assert len(report.parity.cases) >= 3


def test_free_sizes_of_two_images_are_told_apart(tmp_path):
    images = [keras.Input((None, None, 2), name=name) for name in ("left", "right")]
    ends = [layers.Conv2D(3, 3)(image) for image in images]
    report, _ = exported(randomize(keras.Model(images, ends)), tmp_path)
    assert report.inputs["left"] == ("batch", 2, "left_height", "left_width")
    assert report.inputs["right"] == ("batch", 2, "right_height", "right_width")


def test_a_model_for_one_size_is_exported_for_any(tmp_path):
    converted = allconv.convert(randomize(mnist_cnn()), input_size="any")
    report, model = exported(converted, tmp_path)
    assert report.inputs == {"image": ("batch", 1, "height", "width")}
    assert report.parity.passed and any("x" in case for case in report.parity.cases)
    image = np.zeros((2, 1, 45, 37), "float32")
    expected = converted(np.moveaxis(image, 1, -1)).shape
    assert run(model, image)[0].shape == (expected[0], expected[3], *expected[1:3])


def test_input_size_makes_a_class_map_of_a_converted_model(tmp_path):
    converted = allconv.convert(randomize(mnist_cnn(), seed=1))
    report, _ = exported(converted, tmp_path, input_size="any")
    assert report.inputs == {"image": ("batch", 1, "height", "width")}
    report, _ = exported(converted, tmp_path, input_size=(36, 44))
    assert report.inputs == {"image": ("batch", 1, 36, 44)}
    assert report.outputs == {"classes": ("batch", 10, 2, 3)}


def metadata_of(model):
    return {each.key: each.value for each in model.metadata_props}


def test_a_file_says_what_it_is(tmp_path):
    report, model = exported(allconv.convert(mnist_cnn()), tmp_path, verify=False)
    assert report.file_size == (tmp_path / TEMPORARY).stat().st_size
    said = metadata_of(model)
    assert said["allconv.version"] == allconv.__version__
    assert said["source"] == "mnist_cnn" and said["data_format"] == "channels_first"
    geometry = json.loads(said["geometry"])
    assert geometry["output_stride"] == [8, 8] and geometry["input_size"] == [28, 28]
    assert model.producer_name == "allconv"


@pytest.mark.parametrize(("pooling", "end"), [("exact", "same outputs"), ("conv", "to be trained")])
def test_a_converted_model_says_what_was_done_to_it(pooling, end, tmp_path):
    original = mnist_cnn()
    converted = allconv.convert(original, pooling=pooling)
    _, model = exported(converted, tmp_path, verify=False)
    plan = metadata_of(model)["plan"]
    changes = allconv.report(original, pooling=pooling).to_dict()["changes"]
    assert plan.endswith(f"; {end}")
    assert sum(map(int, re.findall(r"\d+(?= \w)", plan))) == len(changes)
    _, model = exported(original, tmp_path, verify=False)
    assert "plan" not in metadata_of(model)


def test_a_file_of_a_model_is_named_in_the_metadata(tmp_path):
    mnist_cnn().save(tmp_path / "digits.keras")
    report, model = exported(tmp_path / "digits.keras", tmp_path)
    assert metadata_of(model)["source"] == "digits.keras"
    assert report.parity.max_error <= report.parity.tolerance


@pytest.mark.parametrize("opset", [13, 15, 17, 18])
def test_every_opset_is_the_one_asked_for(opset, tmp_path):
    report, model = exported(
        allconv.convert(randomize(squeeze_and_excitation())), tmp_path, opset_version=opset
    )
    assert report.opset_version == model.opset_import[0].version == opset
    assert report.parity.passed


def test_batch_normalizations_are_folded_into_convolutions(tmp_path):
    conv, norm = layers.Conv2D(4, 3, use_bias=False), layers.BatchNormalization
    model = network((9, 9, 2), norm(), conv, norm(), layers.ReLU(), layers.Conv2D(3, 1))
    _, onnx_model = exported(model, tmp_path)
    assert operators(onnx_model) == ["Conv", "Relu", "Conv"]


def test_a_batch_normalization_before_a_convolution_that_pads_scales_and_shifts(tmp_path):
    model = network((9, 9, 2), layers.BatchNormalization(), layers.Conv2D(4, 3, padding="same"))
    report, onnx_model = exported(model, tmp_path)
    assert operators(onnx_model) == ["Mul", "Add", "Conv"] and report.parity.passed


@pytest.mark.parametrize("size", [8, None])
def test_padding_same_is_said_in_numbers_where_the_stride_is_one(size, tmp_path):
    conv = layers.Conv2D(3, (3, 4), dilation_rate=2, padding="same")
    _, model = exported(network((size, size, 2), conv), tmp_path)
    said = attributes(model.graph.node[0])
    assert said["pads"] == [2, 3, 2, 3] and "auto_pad" not in said


def test_padding_same_with_a_stride_on_any_size_is_left_to_the_runtime(tmp_path):
    model = network((None, None, 2), layers.Conv2D(3, 3, strides=2, padding="same"))
    report, onnx_model = exported(model, tmp_path)
    assert attributes(onnx_model.graph.node[0])["auto_pad"] == b"SAME_UPPER"
    assert report.parity.passed


def test_a_zero_padding_goes_into_the_convolution_behind_it(tmp_path):
    model = network((8, 8, 2), layers.ZeroPadding2D(((1, 2), (0, 3))), layers.Conv2D(3, 3))
    _, onnx_model = exported(model, tmp_path)
    assert operators(onnx_model) == ["Conv"]
    assert attributes(onnx_model.graph.node[0])["pads"] == [1, 0, 2, 3]


def test_a_convolution_along_one_axis_has_one_axis(tmp_path):
    model = network((20, 2), layers.Conv1D(3, 5, strides=2, padding="causal"))
    _, onnx_model = exported(model, tmp_path)
    assert operators(onnx_model) == ["Conv"]
    assert attributes(onnx_model.graph.node[0])["kernel_shape"] == [5]


def test_up_sampling_by_copies_is_one_resize(tmp_path):
    model = network((None, None, 2), layers.Conv2D(3, 1), layers.UpSampling2D((2, 3)))
    _, onnx_model = exported(model, tmp_path)
    assert operators(onnx_model) == ["Conv", "Resize"]
    scales = onnx.numpy_helper.to_array(onnx_model.graph.initializer[-1])
    assert scales.tolist() == [1, 1, 2, 3]


def test_grouped_convolutions_stay_one_convolution(tmp_path):
    model = network((8, 8, 6), layers.Conv2D(9, 3, groups=3, activation="gelu"))
    report, onnx_model = exported(model, tmp_path)
    assert attributes(onnx_model.graph.node[0])["group"] == 3
    assert operators(onnx_model).count("Conv") == 1 and report.parity.passed


def test_a_model_in_16_bits_is_exported_in_float32_and_says_so(tmp_path):
    model = network((8, 8, 2), layers.Conv2D(4, 3, dtype="mixed_float16"))
    report, onnx_model = exported(model, tmp_path)
    assert onnx_model.graph.initializer[0].data_type == onnx.TensorProto.FLOAT
    assert report.notes == ("computes in float32, on the weights of a model of another precision",)


def test_images_of_integers_stay_such(tmp_path):
    image = keras.Input((8, 8, 3), dtype="uint8", name="image")
    x = layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(image))
    report, model = exported(randomize(keras.Model(image, x)), tmp_path)
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert operators(model) == ["Cast", "Conv"] and report.parity.passed


def test_the_operators_of_a_layer_normalization_are_counted(tmp_path):
    model = network((8, 8, 4), layers.Conv2D(4, 3), layers.LayerNormalization())
    report, onnx_model = exported(model, tmp_path)
    written = sum(name.startswith("layer_normalization") for name in node_names(onnx_model))
    assert report.notes == (f"LayerNormalization: 1 written out in {written} operators",)


def test_channels_that_come_first_stay_first(tmp_path):
    conv = layers.Conv2D(5, 3, strides=2, data_format="channels_first", padding="same")
    model = network((2, 9, 8), conv, layers.ReLU())
    report, onnx_model = exported(model, tmp_path)
    assert operators(onnx_model) == ["Conv", "Relu"] and report.parity.passed
    report, onnx_model = exported(model, tmp_path, data_format="channels_last")
    assert report.inputs == {"image": ("batch", 9, 8, 2)} and report.parity.passed


def test_an_older_file_is_replaced_only_by_a_complete_one(tmp_path):
    place = tmp_path / "model.onnx"
    place.write_bytes(b"old")
    image = keras.Input((8, 8, 3))
    random = keras.Model(image, layers.Dropout(0.5)(image, training=True))
    with pytest.raises(allconv.errors.ExportError):
        export_onnx(random, place)
    assert place.read_bytes() == b"old" and list(tmp_path.iterdir()) == [place]
    export_onnx(mnist_cnn(), place)
    assert onnx.load(place).graph.name == "mnist_cnn" and list(tmp_path.iterdir()) == [place]
