"""A network in float16: weights of half the size, inputs and outputs in float32 as before.

ONNX Runtime's own converter (`onnxruntime.transformers.float16`) turns numbers beyond 65504 into
65504 without a word, takes the values of weights that lie outside the file for none, and calls its
Casts after no layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from allconv.errors import ExportError
from allconv.export.file.external_data import TensorsOf

LARGEST = float(np.finfo("float16").max)
"""The largest number of float16, 65504."""

FLOAT, HALF = 1, 10
"""ONNX' numbers for float32 and float16 (`TensorProto.DataType`)."""

STAYS_FLOAT = {"Resize": (1, 2)}
"""Inputs that an operator takes in float32 whatever the map is: region and scales of a Resize."""


def in_half(model: Any, folder: Path, tensors: TensorsOf) -> Any:
    """Make the same model compute in float16; a program that runs the one runs the other.

    Args:
        model: An ONNX model in float32.
        folder: Where its weights lie if they lie outside.
        tensors: Makes ONNX' messages of the new model's weights.

    Raises:
        ExportError: A weight is beyond float16's range; all of them are named.
    """
    import onnx

    halving = _Halving(model)
    nodes = halving.nodes()
    half = onnx.ModelProto()
    half.CopyFrom(_without_weights(model))
    del half.graph.node[:]
    half.graph.node.extend(nodes)
    half.graph.initializer.extend(tensors(halving.weights(model, folder)))
    return half


class _Halving:
    """The float32 tensors and weights of a model under names for their float16 selves."""

    def __init__(self, model: Any) -> None:
        self.graph = model.graph
        made = {name for node in self.graph.node for name in node.output}
        self.inputs = [value.name for value in self.graph.input if _is_float(value)]
        self.outputs = [
            value.name for value in self.graph.output if _is_float(value) and value.name in made
        ]
        self.floats = {tensor.name for tensor in self.graph.initializer if _holds_floats(tensor)}
        self.kept: set[str] = set()
        self.halved: set[str] = set()

    def nodes(self) -> list[Any]:
        """List what the float16 model computes."""
        return [*self._at_inputs(), *map(self._in_half, self.graph.node), *self._at_outputs()]

    def weights(self, model: Any, folder: Path) -> dict[str, np.ndarray]:
        """Return the weights that `nodes` asks for.

        Raises:
            ExportError: Some are beyond float16's range.
        """
        from onnx.numpy_helper import to_array

        found: dict[str, np.ndarray] = {}
        large: dict[str, float] = {}
        for tensor in self.graph.initializer:
            values = to_array(tensor, str(folder))
            if tensor.name in self.halved:
                most = float(np.abs(values).max(initial=0.0))
                if most > LARGEST:
                    large[tensor.name] = most
                with np.errstate(over="ignore"):  # refused below
                    found[_half(tensor.name)] = values.astype("float16")
            if tensor.name in self.kept:
                found[tensor.name] = values
        _refuse(large, model.graph.name)
        return found

    def _at_inputs(self) -> Iterator[Any]:
        for name in self.inputs:
            yield _cast(name, _half(name), HALF, f"{name}/to_float16")

    def _at_outputs(self) -> Iterator[Any]:
        for name in self.outputs:
            yield _cast(_half(name), name, FLOAT, f"{name}/to_float32")

    def _in_half(self, old: Any) -> Any:
        import onnx

        node = onnx.NodeProto()
        node.CopyFrom(old)
        stays = STAYS_FLOAT.get(node.op_type, ())
        for place, name in enumerate(old.input):
            node.input[place] = self._taken(name, place in stays)
        for place, name in enumerate(old.output):
            node.output[place] = _half(name) if name in self.outputs else name
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == FLOAT:
                attribute.i = HALF
        return node

    def _taken(self, name: str, stays: bool) -> str:
        if name in self.floats and not stays:
            self.halved.add(name)
            return _half(name)
        self.kept.add(name)
        return _half(name) if name in self.inputs or name in self.outputs else name


def _half(name: str) -> str:
    return f"{name}/float16"


def _is_float(value: Any) -> bool:
    return bool(value.type.tensor_type.elem_type == FLOAT)


def _holds_floats(tensor: Any) -> bool:
    return bool(tensor.data_type == FLOAT)


def _cast(source: str, target: str, dtype: int, name: str) -> Any:
    import onnx

    return onnx.helper.make_node("Cast", [source], [target], name, to=dtype)


def _without_weights(model: Any) -> Any:
    """Take the weights out of a model; they would be copied for nothing."""
    import onnx

    graph = onnx.GraphProto(name=model.graph.name)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    bare = onnx.ModelProto(
        ir_version=model.ir_version,
        producer_name=model.producer_name,
        producer_version=model.producer_version,
        opset_import=model.opset_import,
        metadata_props=model.metadata_props,
    )
    bare.graph.CopyFrom(graph)
    return bare


def _refuse(large: Mapping[str, float], model: str) -> None:
    if large:
        found = ", ".join(f"'{name}' (up to {most:.3g})" for name, most in large.items())
        raise ExportError(
            f"model '{model}' has weights beyond {LARGEST:.0f}, the largest number of float16: "
            f"{found}; export it in float32, or scale these layers down"
        )
