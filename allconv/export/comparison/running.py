"""Keras and an ONNX file, ready to be given the same arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import Any

import numpy as np

from allconv.export.comparison.sessions import (
    Run,
    as_the_file_takes,
    file_runner,
    looked_into,
    move,
    moved,
)
from allconv.export.tensorflow.recurrent import recurrent_layers
from allconv.graph import Graph, Node
from allconv.rules.lists import lists, output_formats
from allconv.verification.compiled import by_xla, layers_of, needs_xla
from allconv.verification.logits import PASSED, Ending, endings, runner

Arrange = Callable[[np.ndarray], np.ndarray]

ONE_OPERATOR = {"softmax": "Softmax", "sigmoid": "Sigmoid", "tanh": "Tanh"}
"""Final activations before which an ONNX graph can be looked into."""


@dataclass(frozen=True)
class Both:
    """Functions from inputs as Keras takes them to arrays that differ by rounding only.

    These are the outputs, and of each that ends in a softmax, sigmoid or tanh what is before that.

    Attributes:
        in_keras: Runs the Keras model.
        in_onnx: Runs the file.
        telling: For each output the number of the array that tells whether it depends on the
            input; a softmax may be saturated.
    """

    in_keras: Run
    in_onnx: Run
    telling: Sequence[int]


def both(model: Any, file: Path, onnx_model: Any, graph: Graph, file_format: str) -> Both:
    """Make a Keras model and a file ready; the arguments are those of `parity`.

    Raises:
        ExportError: ONNX Runtime refuses the file.
    """
    numbers = range(len(graph.outputs))
    if needs_xla(layers_of(model)):
        return Both(_compiled(model), _file_runner(file, None, graph, file_format), numbers)
    ends = endings(model)
    before = {number: _before(onnx_model, number, end) for number, end in enumerate(ends)}
    if recurrent_layers(graph):  # of maps nobody knows there how they lie inside
        before = {n: name for n, name in before.items() if len(model.outputs[n].shape) == 2}
    inner = {number: name for number, name in before.items() if name}
    in_keras = _keras_runner(model, [ends[number] for number in inner])
    taken = [value.name for value in onnx_model.graph.output] + list(inner.values())
    copy = looked_into(file, onnx_model, taken)
    place = {number: len(numbers) + behind for behind, number in enumerate(inner)}
    return Both(
        in_keras,
        _file_runner(copy, taken, graph, file_format, list(inner)),
        [place.get(number, number) for number in numbers],
    )


def _keras_runner(model: Any, ends: Sequence[Ending]) -> Run:
    whole, inside = runner(model), runner(model, ends) if ends else None
    return lambda inputs: whole(inputs) + (inside(inputs) if inside else [])


def _compiled(model: Any) -> Run:
    import keras

    function = by_xla(partial(model, training=False))

    def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        results = function(list(inputs) if len(inputs) > 1 else inputs[0])
        return [keras.ops.convert_to_numpy(result) for result in keras.tree.flatten(results)]

    return run


def _file_runner(
    file: Path,
    taken: Sequence[str] | None,
    graph: Graph,
    file_format: str,
    inner: Sequence[int] = (),
) -> Run:
    """Make a function that runs a file on arrays laid out as Keras has them.

    Args:
        file: The ONNX file.
        taken: Names of what is wanted: all outputs, and for some what is before their activation.
        graph: The network that it is made from.
        file_format: How maps lie at the file's inputs and outputs.
        inner: Numbers of these outputs. What is before them lies with channels first wherever the
            file has them.
    """
    run_file = file_runner(file, taken)
    formats = output_formats(graph)
    as_keras = [_moved_from(file_format, data_format) for data_format in formats]
    as_keras += [_before_activation(graph, number, formats[number]) for number in inner]

    def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        found = run_file(as_the_file_takes(inputs, graph, file_format))
        return [lay(values) for values, lay in zip(found, as_keras, strict=True)]

    return run


def _moved_from(file_format: str, data_format: str) -> Arrange:
    return lambda values: moved(values, *move(data_format, file_format)[::-1])


def _before_activation(graph: Graph, number: int, data_format: str) -> Arrange:
    """Arrange the input of an output's final activation as the layers behind that activation do."""
    behind, node = [], graph.outputs[number]
    while _only_arranges(node):
        behind.append(node)
        (node,) = node.inputs
    if node in lists(graph):
        return _moved_from("channels_first", data_format)
    move_map = _moved_from("channels_first", node.data_format)
    return lambda values: reduce(_arranged, reversed(behind), move_map(values))


def _only_arranges(node: Node) -> bool:
    """Tell whether a node only says how values lie, or does nothing at inference."""
    is_linear = node.kind == "Activation" and node.config.get("activation") == "linear"
    return bool(node.inputs) and (node.kind in PASSED or is_linear)


def _arranged(values: np.ndarray, node: Node) -> np.ndarray:
    """Arrange values as a node does that does nothing else."""
    if node.kind == "Permute":
        return values.transpose(0, *node.config["dims"])
    if node.kind == "Reshape":
        return values.reshape(len(values), *node.config["target_shape"])
    if node.kind == "Flatten":
        first = node.config.get("data_format") == "channels_first" and values.ndim > 2
        return (np.moveaxis(values, 1, -1) if first else values).reshape(len(values), -1)
    return values


def _before(onnx_model: Any, number: int, end: Ending) -> str:
    """Find the tensor that an output's final activation takes; "" if that is not one operator."""
    producers = {name: node for node in onnx_model.graph.node for name in node.output}
    node = producers.get(onnx_model.graph.output[number].name)
    while node is not None and node.op_type in ("Identity", "Reshape", "Transpose"):
        node = producers.get(node.input[0])
    if node is None or node.op_type != ONE_OPERATOR.get(end.activation or ""):
        return ""
    return str(node.input[0]) if node.input[0] in producers else ""
