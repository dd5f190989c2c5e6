"""Functions of TensorFlow in models of tf.keras compute as Keras' own operations."""

from __future__ import annotations

import json
import math

import keras
import numpy as np
import pytest

from allconv.layers.layer_shapes import KNOWN_KINDS
from allconv.read.dialects import in_keras_3_words
from tests.helpers.keras_comparison import assert_close, outputs
from tests.helpers.old_models import built, called, functional, graph_of, image, kinds_of, layer

SHAPE = (4, 5, 3)
IMAGES = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype("float32")
X = ["image", 0, 0]


def function(name, node, **config):
    """A model of one function; `node` is its call."""
    data = called(layer("TFOpLambda", name=f"tf.{name}", function=name, **config), node)
    return functional([image(shape=SHAPE), data], ["image"], [[f"tf.{name}", 0, 0]])


def on_image(**kwargs):
    return [*X, kwargs]


def on_number(number, **kwargs):
    return ["_CONSTANT_VALUE", -1, number, {"y": X, **kwargs}]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def selu(x):
    return 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))


def gelu(x):
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


FUNCTIONS = [
    ("__operators__.add", on_image(y=1.0, name=None), lambda x: x + 1),
    ("math.add", on_image(y=X), lambda x: 2 * x),
    ("math.subtract", on_image(y=2.5), lambda x: x - 2.5),
    ("math.subtract", on_number(1.0, name=None), lambda x: 1 - x),
    ("math.multiply", on_number(0.5), lambda x: x / 2),
    ("math.truediv", on_image(y=4.0), lambda x: x / 4),
    ("math.truediv", on_number(3.0), lambda x: 3 / x),
    ("math.divide", on_image(y=2), lambda x: x / 2),
    ("math.maximum", on_image(y=0.5), lambda x: np.maximum(x, 0.5)),
    ("math.minimum", on_image(y=0.5), lambda x: np.minimum(x, 0.5)),
    ("math.pow", on_image(y=2), np.square),
    ("math.abs", on_image(), np.abs),
    ("math.erf", on_image(), np.vectorize(math.erf)),
    ("math.exp", on_image(), np.exp),
    ("math.log", on_image(), np.log),
    ("math.negative", on_image(), np.negative),
    ("math.sigmoid", on_image(), sigmoid),
    ("math.softplus", on_image(), lambda x: np.log1p(np.exp(x))),
    ("math.sqrt", on_image(), np.sqrt),
    ("math.square", on_image(), np.square),
    ("math.tanh", on_image(), np.tanh),
    ("clip_by_value", on_image(clip_value_min=0.0, clip_value_max=0.9), lambda x: x.clip(0, 0.9)),
    ("identity", on_image(), lambda x: x),
    ("stop_gradient", on_image(), lambda x: x),
    ("cast", on_image(dtype="float16"), lambda x: x.astype("float16")),
    ("nn.elu", on_image(), lambda x: np.where(x > 0, x, np.expm1(x))),
    ("nn.gelu", on_image(), gelu),
    ("nn.leaky_relu", on_image(), lambda x: np.where(x > 0, x, 0.2 * x)),
    ("nn.leaky_relu", on_image(alpha=0.1), lambda x: np.where(x > 0, x, 0.1 * x)),
    ("nn.relu", on_image(name=None), lambda x: x.clip(0)),
    ("nn.relu6", on_image(), lambda x: x.clip(0, 6)),
    ("nn.selu", on_image(), selu),
    ("nn.silu", on_image(), lambda x: x * sigmoid(x)),
    ("nn.softmax", on_image(), softmax),
    ("nn.log_softmax", on_image(axis=-1), lambda x: np.log(softmax(x))),
    ("nn.softsign", on_image(), lambda x: x / (1 + np.abs(x))),
    ("concat", [on_image(axis=-1), on_image(axis=-1)], lambda x: np.concatenate([x, x], -1)),
    ("math.add_n", [on_image(), on_image()], lambda x: 2 * x),
    ("reshape", on_image(shape=[-1, 60]), lambda x: x.reshape(2, 60)),
    ("transpose", on_image(perm=[0, 2, 1, 3]), lambda x: x.transpose(0, 2, 1, 3)),
    (
        "compat.v1.transpose",
        on_image(perm=[0, 3, 1, 2], name="transpose", conjugate=False),
        lambda x: x.transpose(0, 3, 1, 2),
    ),
    ("math.reduce_mean", on_image(axis=[1, 2]), lambda x: x.mean((1, 2))),
    (
        "math.reduce_mean",
        on_image(axis=[2, 3], keepdims=True),
        lambda x: x.mean((2, 3), keepdims=True),
    ),
]


@pytest.mark.parametrize(
    ("name", "node", "expected"),
    FUNCTIONS,
    ids=[f"{case[0]}-{i}" for i, case in enumerate(FUNCTIONS)],
)
def test_a_function_becomes_an_operation_or_layer_that_computes_it(name, node, expected):
    model = function(name, node)
    images = np.abs(IMAGES) if name in ("math.log", "math.sqrt") else IMAGES
    (found,) = outputs(built(model, "2.8.0"), images)
    assert_close(found, expected(images).astype(found.dtype))
    graph = graph_of(model, "2.8.0")
    assert graph.nodes[-1].kind in KNOWN_KINDS
    assert graph.nodes[-1].shape == (None, *found.shape[1:])


OPAQUE = [
    ("nn.crelu", on_image(axis=-1)),
    ("math.add", on_image(y=[1.0, 2.0, 3.0])),
    ("math.add", on_image()),
    ("nn.silu", on_image(beta=2.0)),
    ("cast", on_image()),
    ("concat", [on_image(axis=0), on_image(axis=0)]),
    ("concat", [on_image(axis=-1)]),
    ("reshape", on_image(shape=[2, 60])),
    ("reshape", on_image(shape=[-1])),
    ("transpose", on_image(perm=[1, 0, 2, 3])),
    ("math.reduce_mean", on_image(axis=1)),
    ("math.reduce_mean", on_image(axis=[1, 2], weights=[1])),
    ("__operators__.getitem", on_image(slice_spec=[{"class_name": "__ellipsis__"}, 0])),
]


@pytest.mark.parametrize(("name", "node"), OPAQUE)
def test_a_function_that_is_no_operation_of_keras_is_opaque_under_its_name(name, node):
    assert kinds_of(function(name, node), "2.8.0")[-1] == f"tf>{name}"


def test_a_function_called_twice_is_one_operation_called_twice():
    relu = called(
        layer("TFOpLambda", name="relu", function="nn.relu"), on_image(), ["relu", 0, 0, {}]
    )
    model = functional([image(shape=SHAPE), relu], ["image"], [["relu", 1, 0]])
    first, second = graph_of(model, "2.8.0").nodes[1:]
    assert first.spec is second.spec
    assert first.kind == "ops.Relu"


def test_a_function_called_with_two_arguments_in_turn_is_opaque():
    data = layer("TFOpLambda", name="leaky", function="nn.leaky_relu")
    leaky = called(data, on_image(alpha=0.1), ["leaky", 0, 0, {"alpha": 0.2}])
    model = functional([image(shape=SHAPE), leaky], ["image"], [["leaky", 1, 0]])
    assert kinds_of(model, "2.8.0")[1:] == ["tf>nn.leaky_relu"] * 2


def graph_node(operation, constants, tensors=1, as_text=True):
    """A model of a `TensorFlowOpLayer`, as TensorFlow 2.0 to 2.3 wrote it."""
    node = {"name": "node", "op": operation, "input": ["image", "node/y"], "attr": {}}
    config = {"node_def": json.dumps(node) if as_text else node, "constants": constants}
    data = called(layer("TensorFlowOpLayer", name="node", **config), [on_image()] * tensors)
    data["name"] = "tf_op_layer_node"
    return functional([image(shape=SHAPE), data], ["image"], [["tf_op_layer_node", 0, 0]])


@pytest.mark.parametrize(
    ("operation", "constants", "tensors", "expected"),
    [
        ("AddV2", {"1": 1.0}, 1, lambda x: x + 1),
        ("Sub", {"0": 1.0}, 1, lambda x: 1 - x),
        ("Mul", {}, 2, np.square),
        ("Relu", {}, 1, lambda x: x.clip(0)),
        ("ConcatV2", {"2": -1}, 2, lambda x: np.concatenate([x, x], -1)),
        ("Reshape", {"1": [-1, 60]}, 1, lambda x: x.reshape(2, 60)),
        ("Transpose", {"1": [0, 2, 1, 3]}, 1, lambda x: x.transpose(0, 2, 1, 3)),
    ],
)
@pytest.mark.parametrize("as_text", [True, False])
def test_a_node_of_a_graph_is_read_with_its_constants_in_their_places(
    operation, constants, tensors, expected, as_text
):
    model = graph_node(operation, constants, tensors, as_text)
    (found,) = outputs(built(model, "2.3.0"), IMAGES)
    assert_close(found, expected(IMAGES))
    assert in_keras_3_words(model, "2.3.0")["config"]["layers"][1]["name"] == "tf_op_layer_node"


@pytest.mark.parametrize("node_def", ['{"op": ', "[" * 100_000, 5, None, '{"op": "Crop"}'])
def test_a_graph_node_that_cannot_be_read_is_opaque(node_def):
    model = graph_node("AddV2", {"1": 1.0})
    model["config"]["layers"][1]["config"]["node_def"] = node_def
    assert kinds_of(model, "2.3.0")[-1].startswith("tf>")


def test_operations_that_keras_3_wrote_into_hdf5_without_a_module_are_told_from_layers():
    x = keras.Input((4,))
    data = json.loads(keras.Model(x, keras.layers.Add()([x + 1.0, x])).to_json())
    for described in data["config"]["layers"]:
        del described["module"]
    assert kinds_of(data, "3.8.0") == ["InputLayer", "ops.Add", "Add"]
    assert built(data, "3.8.0").output_shape == (None, 4)
