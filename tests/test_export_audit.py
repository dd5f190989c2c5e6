"""What the graph of an all-convolutional network may hold, and what is refused by its name."""

from __future__ import annotations

import keras
import onnx
import pytest
from keras import layers

import allconv
from allconv.errors import ExportError
from allconv.export.file.audit import operator_counts, refuse_others
from allconv.graph import Graph, Spec, call
from tests.helpers.onnx_drafts import onnx_model
from tests.helpers.onnx_files import exported, on_tensorflow, operators
from tests.helpers.randomized import randomize


def graph(*relabels: str) -> Graph:
    """A network whose layers of these names are Flattens."""
    shape = (None, 4, 4, 2)
    image = call(Spec("InputLayer", "image", {"batch_shape": shape}), [], shape=shape)
    nodes = [image]
    for name in relabels:
        nodes.append(call(Spec("Flatten", name), [nodes[-1]], shape=(None, 32)))
    return Graph("small", tuple(nodes), (image,), (nodes[-1],))


def refusal_of(model: onnx.ModelProto, data_format: str = "channels_first", *relabels: str) -> str:
    with pytest.raises(ExportError) as caught:
        refuse_others(model, graph(*relabels), data_format)
    return str(caught.value)


def test_the_operators_are_counted_with_the_most_frequent_first():
    model = onnx_model({}, "Abs image", "Relu layer0/Abs", "Relu layer1/Relu")
    assert list(operator_counts(model).items()) == [("Relu", 2), ("Abs", 1)]


@pytest.mark.parametrize("kind", ["MaxPool", "GlobalAveragePool", "Flatten", "Gemm", "MatMul"])
def test_pools_and_matrix_products_are_refused_by_name(kind):
    model = onnx_model({}, "Relu image", "Relu layer0/Relu", "Abs layer1/Relu")
    model.graph.node[1].op_type = kind
    assert refusal_of(model) == (
        "model 'small' is all-convolutional, but its ONNX graph would hold "
        f"{kind} 'layer1/Relu'; please report this with the model's configuration"
    )


def test_a_transpose_is_refused_but_at_an_end_of_channels_last():
    first = onnx_model({}, "Transpose image", "Relu layer0/Transpose")
    last = onnx_model({}, "Relu image", "Transpose layer0/Relu")
    between = onnx_model({}, "Relu image", "Transpose layer0/Relu", "Relu layer1/Transpose")
    for model in (first, last):
        refuse_others(model, graph(), "channels_last")
        assert "Transpose 'layer" in refusal_of(model, "channels_first")
    assert "Transpose 'layer1/Transpose'" in refusal_of(between, "channels_last")


def test_a_layer_that_gives_values_other_places_may_do_so():
    model = onnx_model({}, "Relu image", "Transpose layer0/Relu", "Reshape layer1/Transpose shape")
    assert "Transpose 'layer1/Transpose'" in refusal_of(model, "channels_first", "layer2")
    refuse_others(model, graph("layer1", "layer2"), "channels_first")


@on_tensorflow
def test_a_permute_or_reshape_at_an_end_is_exported_with_its_transpose(tmp_path):
    image = keras.Input((4, 6, 3), name="image")
    for layer in (layers.Permute((2, 1, 3)), layers.Reshape((6, 12)), layers.Flatten()):
        model = randomize(keras.Model(image, layer(layers.Conv2D(3, 3, padding="same")(image))))
        report, model = exported(model, tmp_path)
        assert report.parity.passed and report.all_convolutional
        assert operators(model)[0] == "Conv" and set(operators(model)[1:]) <= {
            "Transpose",
            "Reshape",
        }


@on_tensorflow
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize(
    "shape, front",
    [
        ((64,), [layers.Reshape((8, 8, 1))]),
        ((128,), [layers.Reshape((8, 8, 2))]),
        ((8, 8), [layers.Reshape((8, 8, 1))]),
        ((8, 16), [layers.Reshape((8, 8, 2))]),
        ((3, 8, 8), [layers.Permute((2, 3, 1))]),
        ((64,), [layers.Reshape((8, 8, 1)), layers.Rescaling(0.5)]),
        ((64,), [layers.Rescaling(0.5), layers.Reshape((8, 8, 1))]),
        ((4, 16), [layers.Permute((2, 1))]),
        ((128,), [layers.Reshape((4, 4, 4, 2))]),
    ],
)
def test_a_reshape_or_permute_at_an_input_is_exported(shape, front, data_format, tmp_path):
    tensor = image = keras.Input(shape)
    for layer in front:
        tensor = layer(tensor)
    conv = getattr(layers, f"Conv{len(tensor.shape) - 2}D")(3, 2)
    model = randomize(keras.Model(image, layers.Dense(2)(layers.Flatten()(conv(tensor)))))
    report, _ = exported(allconv.convert(model), tmp_path, data_format=data_format)
    assert report.parity.passed and report.all_convolutional


@on_tensorflow
def test_a_reshaped_vector_may_meet_a_map(tmp_path):
    vector, image = keras.Input((64,)), keras.Input((8, 8, 1))
    x = layers.Add()([layers.Reshape((8, 8, 1))(vector), image])
    x = layers.Flatten()(layers.Conv2D(2, 3)(x))
    model = randomize(keras.Model([vector, image], layers.Dense(2)(x)))
    report, _ = exported(allconv.convert(model), tmp_path)
    assert report.parity.passed and report.all_convolutional


def test_behind_a_convolution_nothing_is_of_a_reshape_at_an_input():
    model = onnx_model({}, "Reshape image shape", "Relu layer0/Reshape", "Abs layer1/Relu")
    refuse_others(model, graph("first", "last"), "channels_first")
    model.graph.node[1].op_type = "Conv"
    model.graph.node[2].op_type = "Transpose"
    model.graph.node.append(onnx.helper.make_node("Abs", ["layer2/Transpose"], ["end"], "end/Abs"))
    assert "Transpose 'layer2/" in refusal_of(model, "channels_first", "first", "last")
