"""Operators that give the same values other places: most of them only change what is seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from allconv.export.operations.graph_writer import Inputs, Value, Writer, constant, plain_view, seen
from allconv.export.operations.onnx_graph import Operation
from allconv.shapes import Shape


def transpose(
    writer: Writer, operation: Operation, inputs: Inputs, shapes: Sequence[Shape]
) -> list[Value] | None:
    """See the tensor from elsewhere only."""
    order = operation.attributes.get("perm") or range(len(shapes[0]))[::-1]
    return [seen(inputs[0]).permuted(order)]


def same(
    writer: Writer, operation: Operation, inputs: Inputs, shapes: Sequence[Shape]
) -> list[Value] | None:
    """Skip an Identity."""
    return [seen(inputs[0])]


def squeeze(
    writer: Writer, operation: Operation, inputs: Inputs, shapes: Sequence[Shape]
) -> list[Value] | None:
    """See the tensor without axes of size 1."""
    view = seen(inputs[0])
    axes = [place for place, size in enumerate(view.shape) if size == 1]
    if len(inputs) > 1:
        axes = [place % len(view.axes) for place in constant(inputs[1]).tolist()]
    return [view.without(axes)]


def unsqueeze(
    writer: Writer, operation: Operation, inputs: Inputs, shapes: Sequence[Shape]
) -> list[Value] | None:
    """See the tensor with more axes of size 1."""
    axes = [place % len(shapes[0]) for place in constant(inputs[1]).tolist()]
    return [seen(inputs[0]).with_ones(axes)]


def reshape(
    writer: Writer, operation: Operation, inputs: Inputs, shapes: Sequence[Shape]
) -> list[Value] | None:
    """View a Reshape or Flatten under its shape, where axes of size 1 come and go."""
    view = seen(inputs[0])
    if (other := view.reshaped(shapes[0])) is not None:
        return [other]
    last = [*range(2, view.rank), 1]
    if view.axes == (0, *last) and len(shapes[0]) > 2 and view.shape[-1] == shapes[0][-1]:
        # cells are counted anew, each with its channels; so they may stay first
        shape = (shapes[0][0], shapes[0][-1], *shapes[0][1:-1])
        name = _reshaped(writer, view.base, view.base_shape, shape)
        order = [0, *range(2, len(shape)), 1]
        return [plain_view(name, shape).permuted(order)] if name else None
    name = _reshaped(writer, writer.plain(view), view.shape, shapes[0])
    return [plain_view(name, shapes[0])] if name else None


def _reshaped(writer: Writer, name: str, before: Shape, shape: Shape) -> str:
    """Give a tensor another shape; "" where two of its sizes are free that 0 cannot stand for."""
    target = [-1 if size is None else size for size in shape]
    if before[:1] == (None,) and shape[:1] == (None,):
        target[0] = 0  # as it is
    if target.count(-1) > 1:
        return ""
    return writer.write("Reshape", [name, np.array(target, "int64")])[0]
