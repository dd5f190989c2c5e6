"""What an ONNX file holds, and whether an all-convolutional network's holds nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from allconv.errors import ExportError
from allconv.export.operations.operators import ELEMENTWISE
from allconv.graph import Graph, Node
from allconv.layers.kinds import POOLS, RELABELS
from allconv.layout.relabels import moves_ones_only
from allconv.rules.lists import lists

ANYWHERE = ELEMENTWISE | {"Conv", "ConvTranspose", "Concat", "Pad", "Resize", "Slice"}
"""Operators that an all-convolutional graph may have anywhere."""

OF_POOLS = frozenset({"AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"})
"""Those of pools, where the network has any: a fully convolutional one."""

PER_CELL = frozenset(
    [
        "CumSum",
        "LogSoftmax",
        "ReduceL2",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceSum",
        "ReduceSumSquare",
        "Softmax",
        "Split",
        "TopK",
    ]
)
"""Operators that look along the channels of a cell: of softmax, glu, LayerNormalization."""

AT_AN_END = frozenset({"Identity", "Reshape", "Transpose"})
"""Operators that only say how the numbers at an input or an output lie."""

OF_ONES = frozenset({"Reshape", "Squeeze", "Unsqueeze"})
"""Operators that may drop an axis of one cell, or add one."""

OF_RELABELS = AT_AN_END | OF_ONES
"""Those of a Flatten, Reshape or Permute, and of what stands behind one at an output."""


def operator_counts(model: Any) -> dict[str, int]:
    """Say how many nodes of each operator an ONNX model has, the most frequent first."""
    return dict(Counter(node.op_type for node in model.graph.node).most_common())


def refuse_others(model: Any, graph: Graph, data_format: str) -> None:
    """Hold the ONNX model of an all- or fully convolutional network to what such one may have.

    Args:
        model: The ONNX model.
        graph: The network.
        data_format: How maps lie at its inputs and outputs.

    Raises:
        ExportError: It has another operator, or one that has no place between layers.
    """
    found = list(_others(model, graph, data_format))
    if found:
        raise ExportError(
            f"model '{graph.name}' is {_kind(graph)}, but its ONNX graph would hold "
            f"{', '.join(found)}; please report this with the model's configuration"
        )


def _has_pools(graph: Graph) -> bool:
    return any(node.kind in POOLS for node in graph.nodes)


def _kind(graph: Graph) -> str:
    return "fully convolutional" if _has_pools(graph) else "all-convolutional"


def _of_relabels_at_inputs(model: Any, graph: Graph) -> set[str]:
    """List the operators of a Reshape or Permute at an input, where the network has one.

    What such a layer gives may be another view of its input until a layer behind it, past others
    that act element by element, needs a tensor; the operator that makes it is that layer's.
    """
    users = graph.users()
    if not any(node.kind in RELABELS and users[node] for node in graph.nodes):
        return set()
    reached, found = {value.name for value in model.graph.input}, set()
    for node in model.graph.node:
        if node.op_type in ELEMENTWISE | OF_RELABELS and not reached.isdisjoint(node.input):
            reached |= set(node.output)
            found.add(node.name)
    return found


def _relabels(graph: Graph) -> set[str]:
    """List the layers that only say how values lie, and those of lists at outputs."""
    relabels = {node for node in graph.nodes if node.kind in RELABELS}
    return {node.name for node in relabels | lists(graph)}


def _behind_ones(graph: Graph) -> set[str]:
    """List the layers behind an axis of one cell that comes or goes: one of them writes it."""
    behind = set[Node]()
    for node in graph.nodes:
        if moves_ones_only(node) or any(source in behind for source in node.inputs):
            behind.add(node)
    return {node.name for node in behind}


def _others(model: Any, graph: Graph, data_format: str) -> Iterator[str]:
    relabels, behind_ones = _relabels(graph), _behind_ones(graph)
    ends = {value.name for value in (*model.graph.input, *model.graph.output)}
    at_relabels = _of_relabels_at_inputs(model, graph)
    anywhere = ANYWHERE | PER_CELL | (OF_POOLS if _has_pools(graph) else frozenset())
    for node in model.graph.node:
        kind, layer = node.op_type, node.name.rpartition("/")[0]
        touched = ends & {*node.input[:1], *node.output}
        if kind in anywhere or (kind in OF_RELABELS and layer in relabels):
            continue
        if node.name in at_relabels or (kind in OF_ONES and layer in behind_ones):
            continue
        if (
            kind not in AT_AN_END
            or not touched
            or (kind == "Transpose" and data_format == "channels_first")
        ):
            yield f"{kind} '{node.name}'"
