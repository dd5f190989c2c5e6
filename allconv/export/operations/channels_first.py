"""The graph written again with channels first throughout, as ONNX' convolutions take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from allconv.export.operations.graph_writer import Value, Writer, plain_view
from allconv.export.operations.onnx_graph import Operation, Operations, Tensor
from allconv.export.operations.operators import rewritten
from allconv.export.operations.resize_operators import Repeated, merged, resized, settled, tiled
from allconv.export.operations.simplifying import worked_out
from allconv.export.operations.tensor_view import View
from allconv.export.options import DataFormat
from allconv.graph import Graph, Node
from allconv.rules.lists import output_formats
from allconv.shape_walk import images
from allconv.shapes import Shape


def channels_first(
    found: Operations, graph: Graph, opset: int, file_format: DataFormat
) -> Operations:
    """Rewrite a computation with channels first, constants worked out and nothing idle.

    Args:
        found: What tf2onnx has written.
        graph: The network, whose calls of layers the operations are parts of.
        opset: Version of ONNX' operators.
        file_format: How maps lie at the file's inputs and outputs: `"channels_first"` or
            `"channels_last"`.
    """
    return _Rewriter(found, graph, opset, file_format).rewritten()


class _Rewriter:
    """What the tensors that tf2onnx has named are in the new graph."""

    def __init__(
        self, found: Operations, graph: Graph, opset: int, file_format: DataFormat
    ) -> None:
        self.found, self.graph, self.file_format = found, graph, file_format
        self.writer = Writer(opset)
        self.values: dict[str, Value] = dict(found.constants)
        self.known: dict[object, list[np.ndarray]] = {}
        self.kept: list[np.ndarray] = []
        self.measured: dict[str, Shape] = {}

    def rewritten(self) -> Operations:
        """Return the new graph."""
        formats = {image.node: image.data_format for image in images(self.graph)}
        inputs = [
            self.entered(node, tensor, formats.get(node))
            for node, tensor in zip(self.graph.inputs, self.found.inputs, strict=True)
        ]
        for operation in self.found.operations:
            self.writer.call = operation.call
            results = self.results(operation)
            self.values |= dict(zip(operation.outputs, results, strict=False))
        outputs = [
            self.given(node, tensor, data_format)
            for node, tensor, data_format in zip(
                self.graph.outputs, self.found.outputs, output_formats(self.graph), strict=True
            )
        ]
        operations, constants = tuple(self.writer.operations), self.writer.constants
        return Operations(operations, constants, tuple(inputs), tuple(outputs))

    def entered(self, node: Node, tensor: Tensor, data_format: str | None) -> Tensor:
        """Enter an input as the file has it; behind it, it is seen as TensorFlow has it."""
        rank = len(tensor.shape)
        if data_format is None:
            self.values[tensor.name] = plain_view(tensor.name, tensor.shape)
            return tensor
        first, last = _channels_first_order(rank), _channels_last_order(rank)
        shape = tensor.shape
        if data_format == "channels_last":
            shape = tuple(shape[axis] for axis in first)
        name = tensor.name
        if self.file_format == "channels_last":
            self.writer.call = self.graph.nodes.index(node)
            (name,) = self.writer.write("Transpose", [name], {"perm": first})
        seen = plain_view(name, shape)
        last_seen = data_format == "channels_last"
        self.values[tensor.name] = seen.permuted(last) if last_seen else seen
        lying = (
            tuple(shape[axis] for axis in last) if self.file_format == "channels_last" else shape
        )
        return replace(tensor, shape=lying)

    def given(self, node: Node, tensor: Tensor, data_format: str) -> Tensor:
        """Give an output as the file is to have it."""
        value, rank = settled(self.writer, self.values[tensor.name]), len(tensor.shape)
        if not isinstance(value, View):
            return replace(tensor, name=self.writer.constant(value))
        if node.shape is not None and len(node.shape) == rank:  # Keras may know more than tf2onnx
            sizes = [found or own for own, found in zip(node.shape, value.shape, strict=True)]
            value = replace(value, shape=tuple(sizes))
        self.writer.call = self.graph.nodes.index(node)
        if rank > 2 and self.file_format == "channels_first" and data_format == "channels_last":
            value = value.permuted(_channels_first_order(rank))
        if rank > 2 and self.file_format == "channels_last" and data_format == "channels_first":
            value = value.permuted(_channels_last_order(rank))
        return replace(tensor, name=self.writer.plain(value), shape=value.shape)

    def results(self, operation: Operation) -> Sequence[Value]:
        """Return the values that an operation gives; write it where that has to be."""
        inputs = [self.values[name] if name else None for name in operation.inputs]
        if not any(isinstance(value, View) for value in inputs):
            return self.on_constants(operation, inputs)
        shapes = [self.found.shapes.get(name, ()) for name in operation.outputs]
        special = self.special(operation, inputs, shapes)
        if special is not None:
            return special
        settled_inputs = [settled(self.writer, value) for value in inputs]
        return rewritten(self.writer, operation, settled_inputs, shapes)

    def on_constants(
        self, operation: Operation, inputs: Sequence[Value | None]
    ) -> list[np.ndarray]:
        """Work out an operation on constants; of the same ones return the same arrays."""
        values = [value for value in inputs if not isinstance(value, View)]
        key = (operation.kind, tuple(map(id, values)), repr(sorted(operation.attributes.items())))
        if key not in self.known:
            self.known[key] = worked_out(operation, values, self.writer.opset)
            self.kept += [value for value in values if value is not None]  # an id is taken once
        return self.known[key]

    def special(
        self, operation: Operation, inputs: Sequence[Value | None], shapes: Sequence[Shape]
    ) -> Sequence[Value] | None:
        """Rewrite operators that mean more than they say; return None for all others."""
        value = inputs[0]
        if operation.kind == "Shape" and isinstance(value, View):
            self.measured[operation.outputs[0]] = value.shape
            return self.sizes(value.shape, operation)
        if operation.inputs[0] in self.measured:
            return self.of_measured(operation, inputs)
        if operation.kind == "Cast" and isinstance(value, View):
            return [value] if self.is_idle_cast(operation) else None
        if operation.kind == "Tile":
            view = tiled(self.writer, operation, inputs)
            return None if view is None else [view]
        if operation.kind == "Reshape" and isinstance(value, Repeated):
            view = merged(self.writer, value, shapes[0])
            return None if view is None else [view]
        if operation.kind == "Resize":
            return self.resized(operation, inputs, shapes)
        return None

    def resized(
        self, operation: Operation, inputs: Sequence[Value | None], shapes: Sequence[Shape]
    ) -> Sequence[Value] | None:
        """Resize to the size that the layer says; tf2onnx may be one cell short of that."""
        layer = self.graph.nodes[operation.call]
        if layer.kind == "Resizing":
            shapes = [(*shapes[0][:2], layer.config["height"], layer.config["width"])]
        factors = layer.config["size"] if layer.kind.startswith("UpSampling") else None
        return resized(self.writer, operation, inputs, shapes, factors)

    def of_measured(
        self, operation: Operation, inputs: Sequence[Value | None]
    ) -> Sequence[Value] | None:
        """Return the sizes picked out of a shape, where those that are picked are known."""
        shape = self.measured[operation.inputs[0]]
        if operation.kind == "Cast":
            self.measured[operation.outputs[0]] = shape
            return None
        if operation.kind != "Slice" or any(isinstance(value, View) for value in inputs[1:]):
            return None
        numbered = [np.arange(len(shape)), *inputs[1:]]
        picked = self.on_constants(operation, numbered)[0]
        return self.sizes([shape[place] for place in picked], operation)

    def sizes(self, shape: Sequence[int | None], operation: Operation) -> list[np.ndarray] | None:
        """Return the sizes as the constant that an operation gives; None where one is free."""
        dtype = self.found.dtypes[operation.outputs[0]]
        return None if None in shape else [np.array(shape, dtype)]

    def is_idle_cast(self, operation: Operation) -> bool:
        """Tell whether a tensor has the type already that a Cast is to give it."""
        source, result = operation.inputs[0], operation.outputs[0]
        inputs = {tensor.name: tensor.dtype for tensor in self.found.inputs}
        before = inputs.get(source) or self.found.dtypes.get(source)
        return bool(before) and before == self.found.dtypes.get(result)


def _channels_first_order(rank: int) -> list[int]:
    return [0, rank - 1, *range(1, rank - 1)]


def _channels_last_order(rank: int) -> list[int]:
    return [0, *range(2, rank), 1]
