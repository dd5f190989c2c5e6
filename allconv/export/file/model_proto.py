"""The graph as ONNX' own message, under names that a reader of the Keras model knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from allconv.export.file.external_data import TensorsOf
from allconv.export.file.metadata import VERSION, encodable
from allconv.export.operations.onnx_graph import Operation, Operations, Tensor
from allconv.export.options import IR_VERSIONS, ExportOptions
from allconv.graph import Graph

SIZES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
"""Names of free sizes, by the number of a map's axes."""

ROLES = {
    "Clip": ("", "min", "max"),
    "Conv": ("", "kernel", "bias"),
    "ConvTranspose": ("", "kernel", "bias"),
    "MatMul": ("", "kernel"),
    "Pad": ("", "pads", "value"),
    "Reshape": ("", "shape"),
    "Resize": ("", "", "scales", "sizes"),
    "Slice": ("", "starts", "ends", "axes", "steps"),
}
"""What the constants that an operator takes are called, by their places; others `constant`."""


def model_proto(
    operations: Operations,
    graph: Graph,
    options: ExportOptions,
    metadata: Mapping[str, str],
    tensors: TensorsOf,
) -> Any:
    """Make the ONNX model.

    Args:
        operations: What it computes.
        graph: The network whose layers the operations are parts of.
        options: Its opset, and how maps lie at its inputs and outputs.
        metadata: What the file says of itself.
        tensors: Makes ONNX' messages of its weights.
    """
    import onnx

    named, node_names = _named(operations, graph)
    nodes = [
        onnx.helper.make_node(each.kind, each.inputs, each.outputs, name, **each.attributes)
        for each, name in zip(named.operations, node_names, strict=True)
    ]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            nodes,
            encodable(graph.name),
            *ends(named.inputs, named.outputs, options.data_format),
            tensors(named.constants),
        ),
        producer_name="allconv",
        producer_version=metadata[VERSION],
        opset_imports=[onnx.helper.make_opsetid("", options.opset_version)],
        ir_version=IR_VERSIONS[options.opset_version],
    )
    onnx.helper.set_model_props(model, dict(metadata))
    return model


def ends(
    inputs: Sequence[Tensor], outputs: Sequence[Tensor], data_format: str
) -> tuple[list[Any], list[Any]]:
    """Describe inputs and outputs; free sizes of one of several images have its name in theirs."""
    several = sum(None in tensor.shape[1:] for tensor in inputs) > 1
    entering = [_value_info(each, data_format, each.name if several else "") for each in inputs]
    return entering, [_value_info(each, data_format, each.name) for each in outputs]


UNNAMED = "unnamed"
"""In the place of a name that is empty, which in ONNX means that there is nothing."""


class Names:
    """Gives each name once."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def free(self, name: str) -> str:
        """Return the name, or the first of `name_1`, `name_2`, ... that is free."""
        name = found = encodable(name) or UNNAMED
        while found in self.counts:
            self.counts[name] += 1
            found = f"{name}_{self.counts[name]}"
        self.counts[found] = 0
        return found


def _named(operations: Operations, graph: Graph) -> tuple[Operations, list[str]]:
    """Give the graph names for readers, and each of its nodes a name.

    Inputs and outputs are called as in Keras, nodes and what they give `<layer>/<operator>`, and
    weights after the first layer that takes them.
    """
    operations = _with_own_outputs(operations, graph)
    tensors, node_names = Names(), Names()
    inputs = {
        tensor.name: tensors.free(node.name)
        for node, tensor in zip(graph.inputs, operations.inputs, strict=True)
    }
    outputs = {
        tensor.name: tensors.free(name)
        for name, tensor in zip(graph.names_of_outputs(), operations.outputs, strict=True)
    }
    new = {**inputs, **outputs, "": ""}
    nodes = []
    for operation in operations.operations:
        layer = graph.nodes[max(operation.call, 0)].name
        nodes.append(node_names.free(f"{layer}/{operation.kind}"))
        for name in operation.outputs:
            if name not in new:
                new[name] = tensors.free(nodes[-1])
        for place, name in enumerate(operation.inputs):
            if name not in new:
                new[name] = tensors.free(f"{layer}/{_role(operation.kind, place)}")
    return _renamed(operations, new), nodes


def _role(kind: str, place: int) -> str:
    roles = ROLES.get(kind, ())
    return (roles[place] if place < len(roles) else "") or "constant"


def _renamed(graph: Operations, new: Mapping[str, str]) -> Operations:
    def under(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(new[name] for name in names)

    return replace(
        graph,
        operations=tuple(
            replace(each, inputs=under(each.inputs), outputs=under(each.outputs))
            for each in graph.operations
        ),
        constants={new[name]: graph.constants[name] for name in new if name in graph.constants},
        inputs=tuple(replace(tensor, name=new[tensor.name]) for tensor in graph.inputs),
        outputs=tuple(replace(tensor, name=new[tensor.name]) for tensor in graph.outputs),
    )


def _with_own_outputs(graph: Operations, network: Graph) -> Operations:
    """Give each output a tensor of its own: one that is also an input needs another name."""
    taken = {tensor.name for tensor in graph.inputs} | set(graph.constants)
    operations, outputs = list(graph.operations), []
    for number, tensor in enumerate(graph.outputs):
        name = tensor.name
        if name in taken:
            name = f"output{number}"
            call = network.nodes.index(network.outputs[number])
            operations.append(Operation("Identity", (tensor.name,), (name,), call=call))
        taken.add(name)
        outputs.append(replace(tensor, name=name))
    return replace(graph, operations=tuple(operations), outputs=tuple(outputs))


def _value_info(tensor: Tensor, data_format: str, prefix: str) -> Any:
    """Describe an input or output, its free sizes by names; `prefix` tells them from others."""
    import onnx

    rank = len(tensor.shape) - 2
    sizes = SIZES.get(rank, tuple(f"size{axis}" for axis in range(rank + 1)))
    names = (
        ["batch", "channels", *sizes]
        if data_format == "channels_first"
        else ["batch", *sizes, "channels"]
    )
    dims = [
        name
        if size is None and name == "batch"
        else f"{prefix}_{name}".strip("_")
        if size is None
        else size
        for name, size in zip(names, tensor.shape, strict=False)
    ]
    dtype = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
    return onnx.helper.make_tensor_value_info(tensor.name, dtype, dims)
