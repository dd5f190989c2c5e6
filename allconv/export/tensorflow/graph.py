"""A model as a TensorFlow graph in which nothing is a constant but what is one in the code.

Each layer is called in the graph's own order under a scope that says which call it is, so that
names can be found again whatever they are. Weights are inputs like any other: so nothing has to be
frozen, TensorFlow and tf2onnx handle no large arrays, and one copy of them is all that is needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from allconv.errors import ExportError
from allconv.export.foreign_errors import reason
from allconv.export.tensorflow.traced_layers import traced_directly
from allconv.graph import ITEM, Graph, Node, map_slots

_SCOPE = re.compile(r"call(\d+)(?:/|$)")


@dataclass(frozen=True)
class Traced:
    """A model as TensorFlow's operations.

    Attributes:
        definition: TensorFlow's GraphDef.
        inputs: Names of the tensors that the model takes, in its order.
        outputs: Names of those that it returns.
        weights: The values of all other inputs of the graph, by name.
    """

    definition: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: Mapping[str, np.ndarray]


def call_of(name: str) -> int | None:
    """Find the call that an operation's name tells, as its place among the graph's nodes."""
    found = _SCOPE.match(name)
    return int(found[1]) if found else None


def traced(graph: Graph, model: Any) -> Traced:
    """Call the layers of a model built from `graph` on symbolic tensors, one after the other.

    Raises:
        ExportError: A layer cannot be called on these.
    """
    import tensorflow as tf

    variables = model.variables
    shapes = [
        tf.TensorSpec(node.shape, node.config.get("dtype") or "float32", name=f"input{number}")
        for number, node in enumerate(graph.inputs)
    ]
    shapes += [
        tf.TensorSpec(variable.shape, variable.dtype, name=f"weight{number}")
        for number, variable in enumerate(variables)
    ]

    def run(*tensors: Any) -> list[Any]:
        images, values = tensors[: len(graph.inputs)], tensors[len(graph.inputs) :]
        return _called(graph, model, images, list(zip(variables, values, strict=True)))

    function = tf.function(run, autograph=False).get_concrete_function(*shapes)
    names = [tensor.name for tensor in function.inputs]
    weights = [np.asarray(variable) for variable in variables]
    weights += [tensor.numpy() for tensor, _ in function.graph.captures]
    taken = len(graph.inputs)
    return Traced(
        definition=function.graph.as_graph_def(),
        inputs=tuple(names[:taken]),
        outputs=tuple(tensor.name for tensor in function.outputs),
        weights=dict(zip(names[taken:], weights, strict=True)),
    )


def _called(graph: Graph, model: Any, images: Any, values: list[tuple[Any, Any]]) -> list[Any]:
    """Call the model on symbolic tensors, its variables having symbolic values."""
    import keras
    import tensorflow as tf

    layers = {layer.name: layer for layer in model.operations}
    tensors: dict[Node, list[Any]] = {
        node: [image] for node, image in zip(graph.inputs, images, strict=True)
    }
    with keras.StatelessScope(state_mapping=values):
        for number, node in enumerate(graph.nodes):
            if node not in tensors:
                with tf.name_scope(f"call{number}"), _refusals_named(graph, node):
                    tensors[node] = _tensors(node, layers, tensors)
    return [tf.identity(tensors[node][0]) for node in graph.outputs]


@contextmanager
def _refusals_named(graph: Graph, node: Node) -> Iterator[None]:
    """Raise what goes wrong in a layer, whatever its kind, as an ExportError that names it."""
    try:
        yield
    except Exception as error:
        free = None in (node.inputs[0].shape or ())[1:] if node.inputs else False
        way_out = "export it for one size of image" if free else "see whether Keras can run it"
        raise ExportError(
            f"model '{graph.name}': TensorFlow cannot trace {node.spec!r} "
            f"({type(error).__name__}: {reason(error)}); {way_out}"
        ) from error


def _tensors(node: Node, layers: Mapping[str, Any], tensors: Mapping[Node, list[Any]]) -> list[Any]:
    import keras

    if node.kind == ITEM:
        return [tensors[node.inputs[0]][node.config["index"]]]
    sources = [tensors[source][0] for source in node.inputs]
    if sources:
        direct = traced_directly(layers[node.name], node.kind, sources[0])
        if direct is not None:
            return [direct]
    args, kwargs = (map_slots(part, sources.__getitem__) for part in (node.args, node.kwargs))
    if "training" in kwargs:
        kwargs = {**kwargs, "training": False}  # True by default for images; `predict` says False
    return list(keras.tree.flatten(layers[node.name](*args, **kwargs)))
