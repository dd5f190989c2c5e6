"""The larger of two maps, `relu(a - b) + b`, without its subtraction.

ONNX Runtime computes a convolution, the Add behind it and the Relu behind that in one go, on
channels in blocks; for a Sub it puts the channels back in order. So `a - b` becomes a depthwise
convolution of b by -1, to which a is added: the same numbers to the last bit, and sooner
(`benchmarks/onnx_latency.py --forms`). Some targets have no Sub, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from allconv.export.operations.onnx_graph import Operation, Operations


def maxima_without_sub(graph: Operations) -> Operations:
    """Remove Sub from the maxima of maps that convolutions give."""
    users, shapes = graph.users(), _kernel_shapes(graph)
    constants = dict(graph.constants)

    def written(operation: Operation) -> Iterator[Operation]:
        first, second, *_ = (*operation.inputs, "", "")
        is_of_maps = second in shapes and shapes.get(first) == shapes[second]
        if not (is_of_maps and _is_difference_of_a_maximum(operation, users)):
            yield operation
            return
        channels, axes = shapes[second]
        negative, weights = f"{operation.outputs[0]}_negative", f"{operation.outputs[0]}_minus_one"
        constants[weights] = np.full((channels, 1, *[1] * axes), -1.0, "float32")
        attributes = {"kernel_shape": [1] * axes, "group": channels}
        yield Operation("Conv", (second, weights), (negative,), attributes, operation.call)
        yield replace(operation, kind="Add", inputs=(negative, first))

    operations = tuple(part for operation in graph.operations for part in written(operation))
    return replace(graph, operations=operations, constants=constants)


def _kernel_shapes(graph: Operations) -> dict[str, tuple[int, int]]:
    """Return channels and number of axes of convolutions' maps, and of their maxima."""
    shapes: dict[str, tuple[int, int]] = {}
    for operation in graph.operations:
        if operation.kind == "Conv" and operation.inputs[1] in graph.constants:
            kernel = graph.constants[operation.inputs[1]]
            shapes[operation.outputs[0]] = kernel.shape[0], kernel.ndim - 2
        elif operation.kind in ("Add", "Relu", "Sub"):
            given = {shapes.get(name) for name in operation.inputs}
            if len(given) == 1 and (shape := given.pop()) is not None:
                shapes[operation.outputs[0]] = shape
    return shapes


def _is_difference_of_a_maximum(sub: Operation, users: Mapping[str, list[Operation]]) -> bool:
    """Tell whether a Sub is that of `relu(a - b) + b`."""
    if sub.kind != "Sub":
        return False
    rises = users.get(sub.outputs[0], [])
    if [rise.kind for rise in rises] != ["Relu"]:
        return False
    sums = users.get(rises[0].outputs[0], [])
    return [(end.kind, sub.inputs[1] in end.inputs) for end in sums] == [("Add", True)]
