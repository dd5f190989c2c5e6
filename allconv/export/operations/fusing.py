"""Fuses operations into convolutions, by the rules of `fusion_rules.py`, until none applies."""

from __future__ import annotations

from dataclasses import replace

from allconv.export.operations.fusion_rules import RULES
from allconv.export.operations.maxima import maxima_without_sub
from allconv.export.operations.neighbours import Fusion, Neighbours
from allconv.export.operations.onnx_graph import Operation, Operations
from allconv.export.operations.simplifying import pruned, with_constants_once


def fused(graph: Operations) -> Operations:
    """Return the same computation in fewer operations, and without those that no output needs."""
    graph = pruned(graph)
    while fusions := _fusions(graph):
        graph = pruned(_applied(graph, fusions))
    return with_constants_once(maxima_without_sub(graph))


def _fusions(graph: Operations) -> list[Fusion]:
    """Find what can be fused in one pass, in which each operation changes once at most."""
    neighbours = Neighbours(graph)
    fusions = []
    for operation in graph.operations:
        fusion = _first_fusion(neighbours, operation)
        if fusion is not None:
            neighbours.changed.update(fusion.replaced)
            fusions.append(fusion)
    return fusions


def _first_fusion(neighbours: Neighbours, operation: Operation) -> Fusion | None:
    if operation in neighbours.changed:
        return None
    fusions = (rule(neighbours, operation) for rule in RULES)
    return next((fusion for fusion in fusions if fusion is not None), None)


def _applied(graph: Operations, fusions: list[Fusion]) -> Operations:
    replaced = {old: new for fusion in fusions for old, new in fusion.replaced.items()}
    constants = {name: values for fusion in fusions for name, values in fusion.constants.items()}
    same = {name: other for fusion in fusions for name, other in fusion.same.items()}
    changed = (replaced.get(operation, operation) for operation in graph.operations)
    operations = tuple(
        replace(operation, inputs=tuple(_standing_for(name, same) for name in operation.inputs))
        for operation in changed
        if operation is not None
    )
    return replace(graph, operations=operations, constants={**graph.constants, **constants})


def _standing_for(name: str, same: dict[str, str]) -> str:
    """Return the tensor that stands for one whose operation went without a trace."""
    while name in same:
        name = same[name]
    return name
