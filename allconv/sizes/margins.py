"""Which cells of a map padding reaches: those at its borders, before and behind.

Along one axis of an image of `n` cells, a tensor of stride `s` has `(n + size) // s` cells. No
padding reaches those from number `first` to number `(n + clean) // s`. Floors nest, so that a layer
only adds to `size` and `clean`: a window with stride `t` gives

    (floor((n + size) / s) + added - span) // t + 1  =  (n + size + s (added - span + t)) // (s t)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from allconv.graph import Graph, Node
from allconv.layers import kinds
from allconv.layers.map_shapes import margins
from allconv.layout import layout
from allconv.shapes import span
from allconv.sizes.receptive_field import CELLWISE, fixed_taps
from allconv.sizes.windows import Margin, window_axes, window_padding


@dataclass(frozen=True)
class Extent:
    """The cells of a tensor along one axis, on images of any size.

    Attributes:
        stride: Cells of the image from one cell to the next.
        first: Number of the first cell that no padding reaches.
        size: What the number of cells is made of: `(image + size) // stride`.
        clean: What the number of the last cell is made of that no padding reaches.
    """

    stride: int = 1
    first: int = 0
    size: int = 0
    clean: int = -1

    def through(self, taps: tuple[int, int], cells: int, stride: int, added: Margin) -> Extent:
        """Find the cells after a window.

        Args:
            taps: The first and the last of its cells that count.
            cells: From its first cell to its last, both included.
            stride: From one window to the next.
            added: Cells of padding before and behind; negative where cells are cropped.
        """
        before, behind = added
        size = self.size + self.stride * (before + behind - cells + stride)
        clean = self.clean + self.stride * (before - taps[1])
        return Extent(
            stride=self.stride * stride,
            first=max(-(-(self.first + before - taps[0]) // stride), 0),
            size=size,
            clean=min(clean, size - self.stride * stride),
        )

    @property
    def margin(self) -> Margin:
        """The cells that padding reaches before and behind, at the size where it reaches most."""
        return self.first, max(-(-(self.size - self.clean) // self.stride) - 1, 0)

    def clean_cells(self, image: int) -> range:
        """Return the numbers of the cells that no padding reaches, on an image of this size."""
        return range(self.first, (image + self.clean) // self.stride + 1)


Extents = tuple[Extent, ...]
"""One for each axis."""


def extents(graph: Graph) -> dict[Node, Extents]:
    """Find the cells of every tensor made of images, except behind a layer that is not known."""
    found: dict[Node, Extents] = {}
    for node in graph.nodes:
        each = extents_of(node, found)
        if each is not None:
            found[node] = each
    return found


def extents_of(node: Node, found: Mapping[Node, Extents]) -> Extents | None:
    """Find the cells of a tensor by those that it is made of; None where not known."""
    if node.kind == "InputLayer":
        return (Extent(),) * layout(node).rank if len(node.shape or ()) > 2 else None
    sources = [found[source] for source in node.inputs if source in found]
    if not sources or any(len(each) != len(sources[0]) for each in sources):
        return None
    if node.kind in kinds.WINDOWS:
        return _through_window(node, sources[0])
    if node.kind in kinds.ZERO_PADDINGS | kinds.CROPPINGS:
        return _bordered(node, sources[0])
    return tuple(map(_met, zip(*sources, strict=True))) if node.kind in CELLWISE else None


def _through_window(node: Node, before: Extents) -> Extents:
    axes, pads = window_axes(node), window_padding(node)
    taps = fixed_taps(node) or [(0, cells - 1) for _, cells, _, _ in axes]
    return tuple(
        each.through((first * dilation, last * dilation), span(cells, dilation), stride, added)
        for each, (first, last), (_, cells, stride, dilation), added in zip(
            before, taps, axes, pads, strict=True
        )
    )


def _bordered(node: Node, before: Extents) -> Extents:
    pads = node.kind in kinds.ZERO_PADDINGS
    sign, setting = (1, "padding") if pads else (-1, "cropping")
    amounts = margins(node.config[setting], len(before))
    return tuple(
        each.through((0, 0), 1, 1, (sign * first, sign * last))
        for each, (first, last) in zip(before, amounts, strict=True)
    )


def _met(along: Sequence[Extent]) -> Extent:
    """Find the cells where tensors are laid on one another."""
    return Extent(
        stride=along[0].stride,
        first=max(each.first for each in along),
        size=min(each.size for each in along),
        clean=min(each.clean for each in along),
    )
