"""Enlarging by whole factors, which TensorFlow writes as copies laid out side by side, as Resize.

`repeat` along an axis is an Unsqueeze behind it, a Tile along what that adds, and a Reshape which
takes both axes for one. Each cell stands where Resize puts the nearest one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from allconv.export.operations.graph_writer import Value, Writer
from allconv.export.operations.onnx_graph import Operation
from allconv.export.operations.tensor_view import View
from allconv.shapes import Shape

NEAREST = {
    "coordinate_transformation_mode": "asymmetric",
    "mode": "nearest",
    "nearest_mode": "floor",
}


@dataclass(frozen=True)
class Repeated(View):
    """A tensor seen `times` times along an axis, `place`, of which it has one cell."""

    place: int = 0
    times: int = 1


def tiled(writer: Writer, operation: Operation, inputs: Sequence[Value | None]) -> Value | None:
    """Repeat a tensor as a Tile does along one axis that is only seen; None elsewhere."""
    view, counts = inputs[0], inputs[1]
    if type(view) is not View or not isinstance(counts, np.ndarray):
        return None
    places = [place for place, count in enumerate(counts) if count != 1]
    if not places:
        return view
    if len(places) != 1 or view.axes[places[0]] is not None or not places[0]:
        return None
    place, times = places[0], int(counts[places[0]])
    shape = (*view.shape[:place], times, *view.shape[place + 1 :])
    return Repeated(view.base, view.rank, view.axes, shape, place, times)


def merged(writer: Writer, value: Repeated, shape: Shape) -> View | None:
    """Merge two axes of a repeated tensor that a Reshape takes for one; None elsewhere."""
    place, axis = value.place, value.axes[value.place - 1]
    size = value.shape[place - 1]
    wide = None if size is None else size * value.times
    if shape != (*value.shape[: place - 1], wide, *value.shape[place + 1 :]) or axis is None:
        return None
    scales = np.ones(value.rank, "float32")
    scales[axis] = value.times
    before = writer.producer(value.base)
    base = value.base
    if before and before.kind == "Resize" and before.attributes == NEAREST:
        scales = scales * writer.constants[before.inputs[2]]
        base = before.inputs[0]
    (name,) = writer.write("Resize", [base, "", scales], NEAREST)
    left = (*value.axes[:place], *value.axes[place + 1 :])
    return View(name, value.rank, left, shape)


def settled(writer: Writer, value: Any) -> Any:
    """Write out a repeated tensor; leave anything else as it is."""
    if not isinstance(value, Repeated):
        return value
    one = (*value.shape[: value.place], 1, *value.shape[value.place + 1 :])
    once = View(value.base, value.rank, value.axes, one)
    counts = np.ones(len(one), "int64")
    counts[value.place] = value.times
    (name,) = writer.write("Tile", [writer.plain(once), counts])
    return View(name, len(one), tuple(range(len(one))), value.shape)


def resized(
    writer: Writer,
    operation: Operation,
    inputs: Sequence[Value | None],
    shapes: Sequence[Shape],
    factors: Sequence[int] | None,
) -> list[Value] | None:
    """Resize by factors that a layer names, or to a known size; None for other operators.

    Args:
        writer: Where to write it.
        operation: As tf2onnx has written it, with a size worked out from the map's.
        inputs: What it takes.
        shapes: Of its result, as far as tf2onnx knows it.
        factors: By how much it enlarges each spatial axis; None where it makes one size.
    """
    view, shape = inputs[0], shapes[0]
    if not isinstance(view, View) or None in view.axes:
        return None
    if factors is not None:
        ratios = np.array([1, 1, *factors], "float32")
        further = [n and n * factor for n, factor in zip(view.shape[2:], factors, strict=True)]
        shape = (*view.shape[:2], *further)
    elif view.shape[0] is None and shape[1:] and None not in (*shape[1:], *view.shape[1:]):
        ratios = np.array([1, *map(_ratio, view.shape[1:], shape[1:])], "float32")
    else:
        return None
    scales = ratios[np.argsort(view.order())]
    (name,) = writer.write("Resize", [view.base, "", scales], operation.attributes)
    return [View(name, view.rank, view.axes, shape)]


def _ratio(old: int | None, new: int | None) -> np.float32:
    """Find the scale from `old` to `new` cells; not less, as their product is rounded down."""
    old, new = old or 1, new or 1
    ratio = np.float32(new / old)
    return ratio if float(ratio) * old >= new else np.nextafter(ratio, np.float32(np.inf))
