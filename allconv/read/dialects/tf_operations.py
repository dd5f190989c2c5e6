"""TensorFlow's functions in models of tf.keras, as operations and layers of Keras 3.

`tf.nn.relu(x)` and `x + 1.0` were layers of the class `TFOpLambda` from TensorFlow 2.4 on, and
`TensorFlowOpLayer` with a graph node inside before. Those that are one of Keras' own operations are
written as such; any other becomes an opaque layer of the kind `tf>nn.crelu`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from allconv.read.dialects.class_names import module_of_operation

CLASSES = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "ClassMethod", "InstanceMethod")

Arguments = dict[str, Any]
"""Of a function of TensorFlow, by their names there; the first one by `FIRST`."""
Translated = tuple[str, str, dict[str, Any], list[Any]]
"""Module, class name and settings of an operation or layer of Keras, and what it is called on."""

FIRST = "x"

BINARY = {
    "__operators__.add": "Add",
    "math.add": "Add",
    "math.divide": "TrueDivide",
    "math.maximum": "Maximum",
    "math.minimum": "Minimum",
    "math.multiply": "Multiply",
    "math.pow": "Power",
    "math.subtract": "Subtract",
    "math.truediv": "TrueDivide",
}

Unary = tuple[str, dict[str, tuple[str, Any]]]
UNARY: dict[str, Unary] = {
    "cast": ("Cast", {"dtype": ("dtype", None)}),
    "clip_by_value": (
        "Clip",
        {"x_min": ("clip_value_min", None), "x_max": ("clip_value_max", None)},
    ),
    "math.abs": ("Absolute", {}),
    "math.erf": ("Erf", {}),
    "math.exp": ("Exp", {}),
    "math.log": ("Log", {}),
    "math.negative": ("Negative", {}),
    "math.sigmoid": ("Sigmoid", {}),
    "math.softplus": ("Softplus", {}),
    "math.sqrt": ("Sqrt", {}),
    "math.square": ("Square", {}),
    "math.tanh": ("Tanh", {}),
    "nn.elu": ("Elu", {}),
    "nn.gelu": ("Gelu", {"approximate": ("approximate", False)}),
    "nn.leaky_relu": ("LeakyRelu", {"negative_slope": ("alpha", 0.2)}),
    "nn.log_softmax": ("LogSoftmax", {"axis": ("axis", -1)}),
    "nn.relu": ("Relu", {}),
    "nn.relu6": ("Relu6", {}),
    "nn.selu": ("Selu", {}),
    "nn.silu": ("Silu", {}),
    "nn.softmax": ("Softmax", {"axis": ("axis", -1)}),
    "nn.softsign": ("Softsign", {}),
    "stop_gradient": ("StopGradient", {}),
}
"""Class in Keras, and for each setting TensorFlow's name and default."""

RAW = {
    "Add": "math.add",
    "AddV2": "math.add",
    "Sub": "math.subtract",
    "Mul": "math.multiply",
    "RealDiv": "math.truediv",
    "Maximum": "math.maximum",
    "Minimum": "math.minimum",
    "Pow": "math.pow",
    "Abs": "math.abs",
    "Elu": "nn.elu",
    "Erf": "math.erf",
    "Exp": "math.exp",
    "Identity": "identity",
    "Log": "math.log",
    "LogSoftmax": "nn.log_softmax",
    "Neg": "math.negative",
    "Relu": "nn.relu",
    "Relu6": "nn.relu6",
    "Selu": "nn.selu",
    "Sigmoid": "math.sigmoid",
    "Softmax": "nn.softmax",
    "Softplus": "math.softplus",
    "Softsign": "nn.softsign",
    "Sqrt": "math.sqrt",
    "Square": "math.square",
    "StopGradient": "stop_gradient",
    "Tanh": "math.tanh",
}
"""The nodes of TensorFlow's graphs that compute the same as such a function."""

BY_POSITION = {"ConcatV2": "concat", "Reshape": "reshape", "Transpose": "transpose"}
"""Those whose last operand is a setting."""
SECOND = {
    "compat.v1.transpose": "perm",
    "concat": "axis",
    "math.reduce_mean": "axis",
    "reshape": "shape",
    "transpose": "perm",
}
"""What the second argument of a function is called."""


def is_function(data: Mapping[str, Any]) -> bool:
    """Tell whether a described layer stands for a function of TensorFlow."""
    package = str(data.get("module") or "keras").partition(".")[0]
    return data.get("class_name") in CLASSES and package in ("keras", "tf_keras", "tensorflow")


def in_keras_words(
    name: str, config: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Find the operation or layer of Keras that a function of TensorFlow is, and its calls.

    Args:
        name: Of the layer in the model.
        config: Its configuration.
        nodes: Its calls, in Keras 3's form.
    """
    function = str(config.get("function") or raw_operation(config))
    found = [_translated(config, node) for node in nodes]
    known = [translated for translated in found if translated is not None]
    if not known or len(known) < len(nodes) or any(one[:3] != known[0][:3] for one in known):
        opaque = {"module": "tf", "class_name": function, "config": {**config, "name": name}}
        return {**opaque, "registered_name": None}, [dict(node) for node in nodes]
    module, class_name, settings, _ = known[0]
    layer = {"module": module, "class_name": class_name, "registered_name": None}
    calls = [{"args": operands, "kwargs": {}} for *_, operands in known]
    return {**layer, "config": {**settings, "name": name}}, calls


def _translated(config: Mapping[str, Any], node: Mapping[str, Any]) -> Translated | None:
    function, arguments = _function_of(config, node)
    if function in BINARY:
        return _binary(BINARY[function], arguments)
    if function in UNARY:
        return _unary(UNARY[function], arguments)
    if function in _OTHERS and set(arguments) <= {FIRST, SECOND.get(function), "keepdims"}:
        return _OTHERS[function](arguments)
    return None


def _function_of(config: Mapping[str, Any], node: Mapping[str, Any]) -> tuple[str, Arguments]:
    """Find the function that a layer calls and the arguments that are given, by name."""
    first = next(iter(node["args"]), None)
    if "node_def" not in config:
        given = {key: value for key, value in node["kwargs"].items() if value is not None}
        given = {key: value for key, value in given.items() if not _is_idle(key, value)}
        return str(config.get("function")), {FIRST: first, **given}
    operation, operands = raw_operation(config), _operands(config, first)
    if operation in BY_POSITION and len(operands) > 1:
        function, last = BY_POSITION[operation], operands[-1]
        first = operands[:-1] if function == "concat" else operands[0]
        return function, {FIRST: first, SECOND[function]: last}
    names = (FIRST, "y", "more")
    return RAW.get(operation, ""), dict(zip(names, operands, strict=False))


def _is_idle(key: str, value: Any) -> bool:
    return key == "name" or (key == "conjugate" and value is False)


def _operands(config: Mapping[str, Any], first: Any) -> list[Any]:
    """List what a node of a graph takes: the tensors, and the constants at their positions."""
    operands = list(first) if isinstance(first, list) else [first]
    constants = config.get("constants")
    if isinstance(constants, Mapping):
        for position in sorted(constants, key=str):
            if str(position).isdecimal():
                operands.insert(int(position), constants[position])
    return operands


def raw_operation(config: Mapping[str, Any]) -> str:
    """Read the class of the graph node in a `TensorFlowOpLayer`; "" where it is not plain."""
    node = config.get("node_def")
    try:
        node = json.loads(node) if isinstance(node, str) else node
    except (ValueError, RecursionError):
        return ""
    return str(node.get("op") or "") if isinstance(node, Mapping) else ""


def _binary(class_name: str, arguments: Arguments) -> Translated | None:
    """Read two tensors, or a tensor and a number; an array would bring a shape along."""
    if set(arguments) != {FIRST, "y"} or not any(map(_is_tensor, arguments.values())):
        return None
    if not all(_is_tensor(value) or _is_number(value) for value in arguments.values()):
        return None
    return module_of_operation(class_name), class_name, {}, list(arguments.values())


def _unary(known: Unary, arguments: Arguments) -> Translated | None:
    class_name, settings = known
    named = {theirs for theirs, _ in settings.values()}
    if not set(arguments) <= {FIRST} | named or not _is_tensor(arguments[FIRST]):
        return None
    values = {ours: arguments.get(theirs, left) for ours, (theirs, left) in settings.items()}
    if not all(isinstance(value, (bool, int, float, str)) for value in values.values()):
        return None
    return module_of_operation(class_name), class_name, values, [arguments[FIRST]]


def _concatenate(arguments: Arguments) -> Translated | None:
    tensors, axis = arguments[FIRST], arguments.get("axis")
    if not _are_tensors(tensors) or not isinstance(axis, int) or axis == 0:
        return None
    return "keras.layers", "Concatenate", {"axis": axis}, [tensors]


def _identity(arguments: Arguments) -> Translated | None:
    if set(arguments) != {FIRST} or not _is_tensor(arguments[FIRST]):
        return None
    return "keras.layers", "Identity", {}, [arguments[FIRST]]


def _add_all(arguments: Arguments) -> Translated | None:
    if set(arguments) != {FIRST} or not _are_tensors(arguments[FIRST]):
        return None
    return "keras.layers", "Add", {}, [arguments[FIRST]]


def _reshape(arguments: Arguments) -> Translated | None:
    """Read Keras' Reshape where the batch is what is left over."""
    shape = _integers(arguments.get("shape"))
    if not _is_tensor(arguments[FIRST]) or len(shape) < 2 or shape[0] != -1 or min(shape[1:]) < 1:
        return None
    return "keras.layers", "Reshape", {"target_shape": shape[1:]}, [arguments[FIRST]]


def _transpose(arguments: Arguments) -> Translated | None:
    order = _integers(arguments.get("perm"))
    if not _is_tensor(arguments[FIRST]) or len(order) < 2 or order[0] != 0:
        return None
    return "keras.layers", "Permute", {"dims": order[1:]}, [arguments[FIRST]]


def _mean(arguments: Arguments) -> Translated | None:
    """Take the mean over a map's sizes; on a tensor of other axes, Keras' pool is an error."""
    formats = {(1, 2): "channels_last", (2, 3): "channels_first"}
    axes, keepdims = tuple(_integers(arguments.get("axis"))), arguments.get("keepdims", False)
    if not _is_tensor(arguments[FIRST]) or axes not in formats:
        return None
    settings = {"data_format": formats[axes], "keepdims": bool(keepdims)}
    return "keras.layers", "GlobalAveragePooling2D", settings, [arguments[FIRST]]


_OTHERS: dict[str, Callable[[Arguments], Translated | None]] = {
    "concat": _concatenate,
    "identity": _identity,
    "math.add_n": _add_all,
    "math.reduce_mean": _mean,
    "reshape": _reshape,
    "transpose": _transpose,
    "compat.v1.transpose": _transpose,
}


def _is_tensor(data: Any) -> bool:
    return isinstance(data, Mapping) and data.get("class_name") == "__keras_tensor__"


def _are_tensors(data: Any) -> bool:
    return isinstance(data, list) and len(data) > 1 and all(map(_is_tensor, data))


def _is_number(data: Any) -> bool:
    return isinstance(data, (int, float)) and not isinstance(data, bool)


def _integers(data: Any) -> list[int]:
    """Read a list of integers, empty where the data is none."""
    whole = isinstance(data, list) and all(type(item) is int for item in data)
    return list(data) if whole else []
