"""The smallest image by arithmetic, where all maps of a network grow with the image alike.

Along one axis, behind windows, paddings and crops, a map of an image of `n` cells has

    floor((n + offset) / stride)

cells, since `floor((floor((n + c) / s) + q) / t) = floor((n + c + s q) / (s t))`. Such a map has at
least `k` cells from `n = stride k - offset` on. So each layer asks for an image of at least so many
cells, and where branches have the same offset and stride they meet at every size. Of any other
network nothing is said here; `smallest_size` tries its sizes.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from allconv.graph import Graph, Node
from allconv.layers import kinds
from allconv.layers.map_shapes import margins
from allconv.layout import is_map, layout
from allconv.shapes import padding_cells, span
from allconv.sizes.windows import window_axes

VAST = 1 << 40
"""Offsets and strides beyond it are left to those who count cells in 64 bits."""

CELLWISE = (
    kinds.NOISE
    | kinds.DROPOUTS_OF_MAPS
    | {"Identity", "ActivityRegularization"}
    | (kinds.ACTIVATION_LAYERS - {"PReLU"})
    | kinds.UNARY_OPS
    | kinds.SCALE_LAYERS
)
"""Layers that give maps of the size that they take, whatever it is."""

SPREADING = kinds.MERGES | kinds.BINARY_OPS
"""The same, of several maps, of which one cell is spread over the others."""


class Growth(NamedTuple):
    """How many cells a map has along an axis, `floor((n + offset) / stride)`."""

    offset: int = 0
    stride: int = 1

    def through(self, before: int, stride: int = 1) -> Growth:
        """Find the growth after `floor((cells + before) / stride)`."""
        return Growth(self.offset + self.stride * before, self.stride * stride)

    def image_for(self, cells: int) -> int:
        """Find the smallest image of which this map has so many cells."""
        return self.stride * cells - self.offset


class _Unlike(Exception):
    """A map whose size is not of this form."""


def smallest_by_arithmetic(maps: Graph, axis: int, varied: Collection[Node]) -> int | None:
    """Find the smallest size of the images along an axis, from which on all sizes fit.

    Args:
        maps: A network that fits its own images.
        axis: 0 for the first axis of the image.
        varied: The images whose size varies; all of them alike.

    Returns:
        The size; None where sizes are not of this form, so that nothing is known.
    """
    growths = dict.fromkeys(varied, Growth())
    smallest = 1
    try:
        for node in maps.nodes:
            if node not in growths and any(source in growths for source in node.inputs):
                growth, least = _step(node, axis, growths)
                smallest = max(smallest, least)
                if growth is not None:
                    growths[node] = growth
    except _Unlike:
        return None
    return smallest


def _step(node: Node, axis: int, growths: dict[Node, Growth]) -> tuple[Growth | None, int]:
    """Say how a layer's map grows, None where it does not; and the least image for it."""
    growth = _before(node, axis, growths)
    if node.kind in kinds.GLOBAL_POOLS:
        return None, 1
    if not all(map(is_map, (node, *node.inputs))) or not _have_one_rank(node):
        raise _Unlike
    if node.kind in kinds.WINDOWS:
        found, least = _window(node, axis, growth)
    elif node.kind in kinds.ZERO_PADDINGS | kinds.CROPPINGS:
        found, least = _border(node, axis, growth)
    elif node.kind in CELLWISE or _fits_all_sizes(node):
        found, least = growth, 1
    else:
        raise _Unlike
    if max(abs(found.offset), found.stride, least) > VAST:
        raise _Unlike
    return found, least


def _before(node: Node, axis: int, growths: dict[Node, Growth]) -> Growth:
    """Say how all maps grow that a layer takes, but for those of one cell, which it spreads."""
    found = {growths[source] for source in node.inputs if source in growths}
    spread = [source for source in node.inputs if source not in growths]
    if len(found) > 1 or (spread and node.kind not in SPREADING):
        raise _Unlike
    if not all(is_map(source) and _has_one_cell(source, axis) for source in spread):
        raise _Unlike
    return found.pop()


def _has_one_cell(tensor: Node, axis: int) -> bool:
    """Tell whether a map has the axis, and one cell along it."""
    sizes = layout(tensor).sizes
    return axis < len(sizes) and sizes[axis] == 1


def _window(node: Node, axis: int, growth: Growth) -> tuple[Growth, int]:
    """Count the places where the window of a convolution or pool fits."""
    _, cells, stride, dilation = window_axes(node)[axis]
    padding = node.config.get("padding", "valid")
    if padding == "same":
        return growth.through(stride - 1, stride), 1
    missing = span(cells, dilation) - sum(padding_cells(1, cells, stride, padding, dilation))
    return growth.through(stride - missing, stride), growth.image_for(missing)


def _border(node: Node, axis: int, growth: Growth) -> tuple[Growth, int]:
    """Count the cells behind a ZeroPadding, or a Cropping, which leaves at least one."""
    rank = layout(node).rank
    if node.kind in kinds.ZERO_PADDINGS:
        return growth.through(sum(margins(node.config["padding"], rank)[axis])), 1
    taken = sum(margins(node.config["cropping"], rank)[axis])
    return growth.through(-taken), growth.image_for(taken + 1)


def _have_one_rank(node: Node) -> bool:
    return {layout(each).rank for each in node.inputs} == {layout(node).rank}


def _fits_all_sizes(node: Node) -> bool:
    """Tell whether a layer works along the channels, or by element without an array."""
    axes = len(node.shape or ())
    channels = layout(node).channel_axis % axes
    if node.kind == "Concatenate":
        return bool(node.config["axis"] % axes == channels)
    if node.kind in kinds.NORMALIZATIONS:
        axis = node.config.get("axis", -1)
        along = axis if isinstance(axis, (list, tuple)) else [axis]
        return all(isinstance(each, int) and each % axes == channels for each in along)
    if node.kind in kinds.BINARY_OPS:
        return not any(hasattr(each, "shape") for each in (*node.args, *node.kwargs.values()))
    return node.kind in kinds.MERGES
