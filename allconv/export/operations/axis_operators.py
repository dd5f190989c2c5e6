"""Operators that name axes: along these they work on the tensor as it lies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from allconv.export.operations.broadcasting import aligned
from allconv.export.operations.graph_writer import Inputs, Value, Writer, constant, seen
from allconv.export.operations.onnx_graph import Operation
from allconv.export.operations.tensor_view import View
from allconv.shapes import Shape


def along_axis(
    writer: Writer, operation: Operation, inputs: Inputs, shapes: Sequence[Shape]
) -> list[Value] | None:
    """Move the one axis of Softmax and its like, Concat, Split and TopK to where it lies."""
    alone = operation.kind in ("Split", "TopK")
    names, lying = aligned(writer, inputs[:1] if alone else inputs)
    axis = lying.axes[operation.attributes.get("axis", -1) % len(lying.axes)]
    if axis is None:
        return None
    names += [constant(value) for value in inputs[1:] if alone]
    attributes = {**operation.attributes, "axis": axis}
    outputs = writer.write(operation.kind, names, attributes, len(shapes))
    return [
        View(name, lying.rank, lying.axes, shape)
        for name, shape in zip(outputs, shapes, strict=True)
    ]


def along_named_axis(
    writer: Writer, operation: Operation, inputs: Inputs, shapes: Sequence[Shape]
) -> list[Value] | None:
    """Run CumSum along an axis that is its second input."""
    view, axis = seen(inputs[0]), view_axis(inputs)
    if axis is None:
        return None
    named = np.array(axis, "int64")
    (name,) = writer.write(operation.kind, [view.base, named], operation.attributes)
    return [View(name, view.rank, view.axes, shapes[0])]


def view_axis(inputs: Inputs) -> int | None:
    """Find the axis of the tensor as it lies for an axis that an input names as it is seen."""
    return seen(inputs[0]).axes[int(constant(inputs[1]))] if len(inputs) > 1 else None


def reduction(
    writer: Writer, operation: Operation, inputs: Inputs, shapes: Sequence[Shape]
) -> list[Value] | None:
    """Reduce (mean, sum, maximum) along some axes, which stay with size 1 in what is written."""
    view, attributes = seen(inputs[0]), dict(operation.attributes)
    axes = attributes.pop("axes", None)
    if len(inputs) > 1 and inputs[1] is not None:
        axes = constant(inputs[1]).tolist()
    places = [axis % len(view.axes) for axis in (range(len(view.axes)) if axes is None else axes)]
    lying = [axis for place in places if (axis := view.axes[place]) is not None]
    shape = tuple(1 if place in places else size for place, size in enumerate(view.shape))
    kept = View(view.base, view.rank, view.axes, shape)
    if lying:
        by_input = writer.opset >= 18 or operation.kind == "ReduceSum"
        settings = {**attributes, "keepdims": 1} | ({} if by_input else {"axes": lying})
        also = [np.array(lying, "int64")] if by_input else []
        (name,) = writer.write(operation.kind, [view.base, *also], settings)
        kept = View(name, view.rank, view.axes, shape)
    return [kept if attributes.get("keepdims", 1) else kept.without(places)]


def pad(
    writer: Writer, operation: Operation, inputs: Inputs, shapes: Sequence[Shape]
) -> list[Value] | None:
    """List the pads of each axis as it lies; None where an axis is padded that is only seen."""
    view, pads = seen(inputs[0]), constant(inputs[1]).reshape(2, -1)
    if len(inputs) > 3 and inputs[3] is not None:
        return None
    lying = np.zeros((2, view.rank), "int64")
    for place, axis in enumerate(view.axes):
        if axis is not None:
            lying[:, axis] = pads[:, place]
        elif pads[:, place].any():
            return None
    further = [constant(value) for value in inputs[2:3] if value is not None]
    (name,) = writer.write("Pad", [view.base, lying.reshape(-1), *further], operation.attributes)
    return [View(name, view.rank, view.axes, shapes[0])]


def cut(
    writer: Writer, operation: Operation, inputs: Inputs, shapes: Sequence[Shape]
) -> list[Value] | None:
    """Slice along the axes that are named."""
    view = seen(inputs[0])
    if any(isinstance(value, View) for value in inputs[1:]):
        return None
    cuts = [(view.axes[place], rest) for place, *rest in _cuts(view.shape, shapes[0], inputs[1:])]
    if any(axis is None for axis, _ in cuts):
        return None
    kept = [(axis, *rest) for axis, rest in cuts if not _takes_all(*rest)]
    if not kept:
        return [view]
    axes, starts, ends, steps = np.array(kept, "int64").T
    (name,) = writer.write("Slice", [view.base, starts, ends, axes, steps])
    return [View(name, view.rank, view.axes, shapes[0])]


def _cuts(old: Shape, new: Shape, settings: Inputs) -> Iterator[tuple[int, ...]]:
    """List axis, start, end and step of each axis that a Slice does not leave as it is."""
    starts, ends, axes, steps = [
        None if value is None else constant(value) for value in (*settings, None, None)[:4]
    ]
    assert starts is not None and ends is not None
    steps = np.ones_like(starts) if steps is None else steps
    places = range(len(starts)) if axes is None else axes.tolist()
    for place, *each in zip(places, starts, ends, steps, strict=True):
        if old[place] != new[place] or new[place] is None or each[-1] != 1:
            yield place, *each


def _takes_all(start: int, end: int, step: int) -> bool:
    return start == 0 and end >= np.iinfo("int32").max and step == 1
