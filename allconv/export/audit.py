"""What an ONNX file holds, and whether an all-convolutional network's holds nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Set
from typing import Any

from allconv.errors import ExportError
from allconv.export.operators import ELEMENTWISE
from allconv.graph import Graph
from allconv.layers.kinds import RELABELS

ANYWHERE = ELEMENTWISE | {"Conv", "ConvTranspose", "Concat", "Pad", "Resize", "Slice"}
"""Operators that an all-convolutional graph may have anywhere."""

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

OF_RELABELS = AT_AN_END | {"Squeeze", "Unsqueeze"}
"""Those of a Flatten, Reshape or Permute, which such a network has at its ends only."""


def operator_counts(model: Any) -> dict[str, int]:
    """How many nodes of each operator an ONNX model has, the most frequent first."""
    return dict(Counter(node.op_type for node in model.graph.node).most_common())


def refuse_others(model: Any, graph: Graph, layout: str) -> None:
    """Hold the ONNX model of an all-convolutional network to what such a model may have.

    Args:
        model: The ONNX model.
        graph: The network.
        layout: How maps lie at its inputs and outputs.

    Raises:
        ExportError: It has another operator, or one that has no place between layers.
    """
    relabels = {node.name for node in graph.nodes if node.kind in RELABELS}
    found = list(_others(model, relabels, layout))
    if found:
        raise ExportError(
            f"model '{graph.name}' is all-convolutional, but its ONNX graph would hold "
            f"{', '.join(found)}; please report this with the model's configuration"
        )


def _others(model: Any, relabels: Set[str], layout: str) -> Iterator[str]:
    ends = {value.name for value in (*model.graph.input, *model.graph.output)}
    for node in model.graph.node:
        kind, layer = node.op_type, node.name.rpartition("/")[0]
        touched = ends & {*node.input[:1], *node.output}
        if kind in ANYWHERE | PER_CELL or (kind in OF_RELABELS and layer in relabels):
            continue
        if kind not in AT_AN_END or not touched or (kind == "Transpose" and layout == "nchw"):
            yield f"{kind} '{node.name}'"
