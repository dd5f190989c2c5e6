"""What a graph can do without.

Operations that no output needs, those on constants alone, and constants that are there twice.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from allconv.export.operations.onnx_graph import Operation, Operations


def pruned(graph: Operations) -> Operations:
    """Remove operations and constants that no output needs."""
    needed = {tensor.name for tensor in graph.outputs}
    kept = []
    for operation in reversed(graph.operations):
        if needed & set(operation.outputs):
            kept.append(operation)
            needed.update(operation.inputs)
    constants = {name: values for name, values in graph.constants.items() if name in needed}
    return replace(graph, operations=tuple(reversed(kept)), constants=constants)


def with_constants_once(graph: Operations) -> Operations:
    """Keep one constant for all that are equal, as a shared layer's are."""
    alike = Counter((values.shape, values.dtype) for values in graph.constants.values())
    first: dict[object, str] = {}
    instead: dict[str, str] = {}
    for name, values in graph.constants.items():
        single = alike[values.shape, values.dtype] == 1
        instead[name] = first.setdefault(name if single else _content(values), name)
    operations = tuple(
        replace(each, inputs=tuple(instead.get(name, name) for name in each.inputs))
        for each in graph.operations
    )
    outputs = {tensor.name for tensor in graph.outputs}
    kept = {name for name in graph.constants if instead[name] == name or name in outputs}
    constants = {name: graph.constants[name] for name in graph.constants if name in kept}
    return replace(graph, operations=operations, constants=constants)


def _content(values: np.ndarray) -> object:
    """Return what two constants have in common where they are equal bit by bit."""
    digest = hashlib.blake2b(np.ascontiguousarray(values).data).digest()
    return values.shape, values.dtype, digest


def worked_out(
    operation: Operation, inputs: Sequence[np.ndarray | None], opset: int
) -> list[np.ndarray]:
    """Work out an operation on constants by ONNX' own reference of what it means."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    names = [name if values is not None else "" for name, values in _named(inputs)]
    node = onnx.helper.make_node(
        operation.kind, names, list(operation.outputs), **operation.attributes
    )
    feeds = {name: values for name, values in _named(inputs) if values is not None}
    found = ReferenceEvaluator(node, opsets={"": opset}).run(None, feeds)
    return [np.asarray(values) for values in found]


def _named(inputs: Sequence[np.ndarray | None]) -> list[tuple[str, np.ndarray | None]]:
    return [(f"input{number}", values) for number, values in enumerate(inputs)]
