"""Keras and an ONNX file, ready to be given the same arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from allconv.export.comparison.last_activation import only_arranges, scale, scale_before
from allconv.export.comparison.sessions import (
    Run,
    as_the_file_takes,
    file_runner,
    final_activation,
    looked_into,
    move,
    moved,
)
from allconv.export.tensorflow.recurrent import recurrent_layers
from allconv.graph import Graph, Node
from allconv.rules.lists import lists, output_formats
from allconv.verification.logits import Ending, endings, runner

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
        scales: For each array what rounding is relative to, where its own spread is less.
    """

    in_keras: Run
    in_onnx: Run
    telling: Sequence[int]
    scales: Sequence[float]


def both(model: Any, file: Path, onnx_model: Any, graph: Graph, file_format: str) -> Both:
    """Make a Keras model and a file ready; the arguments are those of `parity`.

    Raises:
        ExportError: ONNX Runtime refuses the file.
    """
    numbers = range(len(graph.outputs))
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
        [*map(scale, graph.outputs), *(scale_before(graph.outputs[n]) for n in inner)],
    )


def _keras_runner(model: Any, ends: Sequence[Ending]) -> Run:
    whole, inside = runner(model), runner(model, ends) if ends else None
    return lambda inputs: whole(inputs) + (inside(inputs) if inside else [])


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
    while only_arranges(node):
        behind.append(node)
        (node,) = node.inputs
    if node in lists(graph):
        return _moved_from("channels_first", data_format)
    move_map = _moved_from("channels_first", node.data_format)
    return lambda values: reduce(_arranged, reversed(behind), move_map(values))


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
    node = final_activation(onnx_model, onnx_model.graph.output[number].name)
    if node is None or node.op_type != ONE_OPERATOR.get(end.activation or ""):
        return ""
    return str(node.input[0])
