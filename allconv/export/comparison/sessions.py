"""ONNX Runtime, ready to run a file, on arrays that Keras and the file lay out differently."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from allconv.errors import ExportError
from allconv.export.foreign_errors import reason
from allconv.graph import Graph
from allconv.rules.lists import output_formats
from allconv.shape_walk import images

Run = Callable[[Sequence[np.ndarray]], list[np.ndarray]]

INSIDE = "inside.draft"
"""The name of a copy of a file that also gives tensors inside it."""

AS_WRITTEN = {"session.disable_quant_qdq": "1"}
"""Has int8 computed as the file says it, in float32 between the pairs.

By default ONNX Runtime takes whole numbers' own instructions. Those of x86 processors without VNNI
add two products in 16 bits and cut off what does not fit (docstring of
`onnxruntime.quantization.quantize_static`); other processors do not.
"""


def file_runner(
    file: Path, taken: Sequence[str] | None = None, settings: Mapping[str, str] | None = None
) -> Run:
    """Make a function from arrays as the file takes them to arrays as it gives them.

    Args:
        file: An ONNX file.
        taken: Names of the outputs that are wanted; by default all.
        settings: ONNX Runtime's session options, by their keys.

    Raises:
        ExportError: ONNX Runtime refuses the file.
    """
    session = _session(file, settings or {})
    names = [value.name for value in session.get_inputs()]

    def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        found: list[np.ndarray] = session.run(taken, dict(zip(names, inputs, strict=True)))
        return found

    return run


def _session(file: Path, settings: Mapping[str, str]) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it logs it raises as well
    for key, value in settings.items():
        options.add_session_config_entry(key, value)
    try:
        providers = ["CPUExecutionProvider"]
        return onnxruntime.InferenceSession(str(file), options, providers=providers)
    except Exception as error:  # its own kinds have no common name
        raise ExportError(f"{file.name}: ONNX Runtime refuses it: {reason(error)}") from error


SATURATING_OPERATORS = frozenset({"Softmax", "Sigmoid", "HardSigmoid", "Tanh"})
"""What the activations of `logits.SATURATING` are in ONNX."""

CARRYING = frozenset({"Cast", "DequantizeLinear", "Identity", "QuantizeLinear"})
CARRYING |= {"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten"}
"""Operators that only carry values on, in another type or under another shape."""


def before_activation(model: Any, output: str) -> str:
    """Find the tensor that an output's saturating final activation takes; "" where it ends in none.

    Args:
        model: An ONNX model.
        output: The output's name.
    """
    node = final_activation(model, output)
    return str(node.input[0]) if node is not None else ""


def final_activation(model: Any, output: str) -> Any:
    """Find the saturating operator that an output ends in, behind which values are only carried.

    None where it ends in another one, and where that operator takes an input of the file.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    node = producers.get(output)
    while node is not None and node.op_type in CARRYING:
        node = producers.get(node.input[0])
    if node is None or node.op_type not in SATURATING_OPERATORS or node.input[0] not in producers:
        return None
    return node


def looked_into(file: Path, model: Any, names: Sequence[str]) -> Path:
    """Copy a file, beside it, so that these tensors inside it are its outputs, too.

    Args:
        file: An ONNX file; weights that lie outside it are the copy's, too.
        model: What it holds.
        names: Of the tensors.
    """
    import onnx

    outputs, count = model.graph.output, len(model.graph.output)
    further = dict.fromkeys(names).keys() - {value.name for value in outputs}
    outputs.extend(onnx.helper.make_empty_tensor_value_info(name) for name in further)
    copy = file.with_name(INSIDE)
    try:
        copy.write_bytes(model.SerializeToString())
    finally:
        del outputs[count:]
    return copy


def as_the_file_takes(
    inputs: Sequence[np.ndarray], graph: Graph, file_format: str
) -> list[np.ndarray]:
    """Lay out inputs as the file takes them, their channels where the file has them."""
    formats = {image.node: image.data_format for image in images(graph)}
    moves = [move(formats.get(node, ""), file_format) for node in graph.inputs]
    return [moved(values, *way) for values, way in zip(inputs, moves, strict=True)]


def with_classes_last(
    outputs: Sequence[np.ndarray], graph: Graph, file_format: str
) -> list[np.ndarray]:
    """Lay out outputs of the file with the channels of maps last."""
    return [
        moved(values, 1, -1) if file_format == "channels_first" and data_format else values
        for data_format, values in zip(output_formats(graph), outputs, strict=True)
    ]


def move(data_format: str, file_format: str) -> tuple[int, int]:
    """Say from where in Keras' tensors to where in the file's the channels' axis goes."""
    if data_format == "channels_last" and file_format == "channels_first":
        return -1, 1
    return (1, -1) if data_format == "channels_first" and file_format == "channels_last" else (0, 0)


def moved(values: np.ndarray, source: int, target: int) -> np.ndarray:
    """Move an axis of a map; leave a vector as it is."""
    return np.moveaxis(values, source, target) if values.ndim > 2 else values
