"""Several tensors brought to lie alike, so that an operator may take them together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from allconv.export.operations.graph_writer import Value, Writer
from allconv.export.operations.tensor_view import View


def aligned(writer: Writer, values: Sequence[Value | None]) -> tuple[list[str | np.ndarray], View]:
    """Align the tensors to the widest of them as it lies, and say how that one is seen.

    The others are broadcast as NumPy does it: axes of size 1 in front are as good as none.
    """
    present = [value for value in values if value is not None]
    rank = max(_rank(value) for value in present)
    views = [value.of_rank(rank) for value in present if isinstance(value, View)]
    widest = max(views, key=_width)
    if _others_are_wider(present, widest):
        widest = View(writer.plain(widest), rank, tuple(range(rank)), widest.shape)
    names: list[str | np.ndarray] = []
    for value in values:
        if value is None:
            names.append("")
        elif isinstance(value, View):
            names.append(_alike(writer, value.of_rank(rank), widest))
        else:
            names.append(_constant_alike(value, widest))
    return names, widest


def _width(view: View) -> tuple[int, int]:
    return sum(size != 1 for size in view.shape), len(view.order())


def _rank(value: Value) -> int:
    return len(value.shape)


def _others_are_wider(values: Sequence[Value], widest: View) -> bool:
    """Tell whether one has several cells along an axis that the widest is only seen to have."""
    rank = len(widest.axes)
    for value in values:
        shape = (1,) * (rank - len(value.shape)) + tuple(value.shape)
        if any(axis is None and size != 1 for axis, size in zip(widest.axes, shape, strict=True)):
            return True
    return False


def _places(like: View) -> list[int | None]:
    """Find the place where each axis of a tensor is seen; None for nowhere."""
    return [like.axes.index(axis) if axis in like.axes else None for axis in range(like.rank)]


def _alike(writer: Writer, view: View, like: View) -> str:
    if (view.axes, view.rank) == (like.axes, like.rank):
        return view.base
    places = _places(like)
    seen = View(
        view.base,
        view.rank,
        tuple(None if place is None else view.axes[place] for place in places),
        tuple(1 if place is None else view.shape[place] for place in places),
    )
    return writer.plain(seen)


def _constant_alike(values: np.ndarray, like: View) -> np.ndarray:
    if values.size == 1:
        return values.reshape(())
    shape = (1,) * (len(like.axes) - values.ndim) + values.shape
    order = [place for place in _places(like) if place is not None]
    unseen = [place for place in range(len(shape)) if place not in order]
    moved = values.reshape(shape).transpose(*order, *unseen)
    sizes = iter(moved.shape)
    return moved.reshape([1 if place is None else next(sizes) for place in _places(like)])
