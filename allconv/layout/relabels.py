"""Where the values of a map lie behind a Reshape, a Permute or a Flatten.

An axis of a tensor is written as the axes of the map that lie along it, one inside the other: a
Reshape of (height, width, channels) to (cells, channels) has ((0, 1), (CHANNELS,)). Axes of one
cell are left out, since no value is moved where they come and go.
"""

from __future__ import annotations

from collections.abc import Sequence

from allconv.graph import Node
from allconv.layers.kinds import RELABELS
from allconv.layout import is_map, layout
from allconv.shapes import Size

CHANNELS = -1
Part = tuple[int, Size]
"""An axis of a map, its number or `CHANNELS`, and its size."""
Axes = tuple[tuple[Part, ...], ...]
"""For each axis of a tensor the axes of the map along it."""


def map_before(node: Node) -> Node:
    """Find the map whose values a chain of Flatten, Reshape and Permute puts in other places."""
    while node.kind in RELABELS:
        node = node.inputs[0]
    return node


def map_axes(node: Node) -> Axes | None:
    """Say what lies along the axes of a map's values behind such a chain.

    Returns:
        None where the values are those of no map, or an axis of it was cut in parts.
    """
    if node.kind not in RELABELS:
        return _own_axes(node) if is_map(node) else None
    before = map_axes(node.inputs[0])
    return None if before is None else _moved(node, before)


def _own_axes(tensor: Node) -> Axes:
    lies = layout(tensor)
    axes: list[Part] = [*enumerate(lies.sizes)]
    axes.insert(0 if lies.channels_first else lies.rank, (CHANNELS, lies.channels))
    return tuple(() if axis[1] == 1 else (axis,) for axis in axes)


def _moved(node: Node, axes: Axes) -> Axes | None:
    if node.kind == "Permute":
        return tuple(axes[place - 1] for place in node.config["dims"])
    if node.kind == "Flatten" and node.config.get("data_format") == "channels_first":
        axes = (*axes[1:], *axes[:1])
    return _regrouped([part for axis in axes for part in axis], (node.shape or ())[1:])


def _regrouped(parts: Sequence[Part], shape: Sequence[Size]) -> Axes | None:
    """Give the same values, row by row, another shape; None where an axis is cut in parts."""
    left, axes = list(parts), list[tuple[Part, ...]]()
    for place in reversed(range(len(shape))):
        size, axis, found = shape[place], list[Part](), 1
        while left and (size is None or found < size):
            number, length = left.pop()
            if size is not None:
                if length is None:
                    return None
                found *= length
            axis.insert(0, (number, length))
        if size is not None and found != size:
            return None
        axes.insert(0, tuple(axis))
    return None if left else tuple(axes)


def is_list(node: Node) -> bool:
    """Tell whether a node gives the values of a map row by row, none of its axes cut in parts."""
    axes = map_axes(node)
    if node.kind not in RELABELS or axes is None or len(axes) > 2:
        return False
    order = [number for axis in axes for number, _ in axis]
    return [number for number in order if number != CHANNELS] == sorted(set(order) - {CHANNELS})


def lies_along(node: Node, axis: int) -> bool:
    """Tell whether a map's channels, and nothing else, lie along an axis behind such a chain."""
    axes, count = map_axes(node), len(node.shape or ())
    if node.kind not in RELABELS or axes is None or axis % count == 0:
        return False
    return axes[axis % count - 1] == ((CHANNELS, layout(map_before(node)).channels),)


def moves_ones_only(node: Node) -> bool:
    """Tell whether a Reshape or a Permute of a map only drops or adds axes of one cell."""
    return axis_origins(node) is not None


def axis_origins(node: Node) -> list[int | None] | None:
    """Say which axis of the map before each axis is, None for one that is added.

    Returns:
        None where a node moves a value to another cell or channel.
    """
    if node.kind not in ("Reshape", "Permute") or not is_map(node) or not is_map(node.inputs[0]):
        return None
    source, lies = layout(node.inputs[0]), layout(node)
    own = _own_axes(node.inputs[0])
    axes = _moved(node, own)
    same = axes is not None and [axis for axis in axes if axis] == [axis for axis in own if axis]
    if not same or lies.channels != source.channels:
        return None
    long = iter([number for number, size in enumerate(source.sizes) if size != 1])
    ones = iter([number for number, size in enumerate(source.sizes) if size == 1])
    return [next(ones, None) if size == 1 else next(long) for size in lies.sizes]
