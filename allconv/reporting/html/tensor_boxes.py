"""The tensor_boxes of a drawing: boxes to scale for the tensors of a network.

A box is as high as its map, as deep as the map is wide, and as thick as it has channels. All
edges are drawn as the square root of what they stand for: 224 cells are then 15 times as long as
one cell, and both can be seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from allconv.graph import Node
from allconv.layout import layout
from allconv.shapes import Shape

LONGEST = 116
"""Pixels of the longest edge of a map."""

THICKEST = 72
"""Pixels of the box with the most channels."""

LARGEST_CELL, THICKEST_CHANNEL = 11.0, 2.4
"""Pixels of one cell and of one channel where even the largest map is small."""

THINNEST = 2.5
NOMINAL = 36
"""Cells that stand for a size that is free or unknown; its box is dashed."""

LEAN = (0.36, 0.24)
"""Right and up: how far a box of depth 1 leans back."""


@dataclass(frozen=True)
class Item:
    """A node as it is drawn.

    Attributes:
        node: The node.
        shape: Of its tensor; None where unknown.
        row: Number of the layer that it belongs to.
        look: Classes of CSS, in words: `"conv changed"`.
        title: What is to be said of it.
    """

    node: Node
    shape: Shape | None
    row: int
    look: str
    title: str

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """Spatial sizes, None where free; none for a vector."""
        return self._lengths()[:-1]

    @property
    def cells(self) -> int:
        """Number of cells, a free size counted as `NOMINAL`."""
        return math.prod(size or NOMINAL for size in self.sizes)

    @property
    def edges(self) -> tuple[int | None, int | None, int | None]:
        """Height, width and channels; of three sizes the last two."""
        *sizes, channels = self._lengths()
        height = sizes[-2] if len(sizes) > 1 else sizes[0] if sizes else 1
        return height, sizes[-1] if len(sizes) > 1 else 1, channels

    def _lengths(self) -> tuple[int | None, ...]:
        if self.shape is None:
            return None, None, None
        if len(self.shape) < 3:
            return self.shape[-1:] if len(self.shape) == 2 else (1,)
        lies = layout(replace(self.node, shape=self.shape))
        return *lies.sizes, lies.channels or None


@dataclass(frozen=True)
class Scale:
    """Pixels for the square root of a number of cells, and of channels."""

    cells: float
    channels: float

    @classmethod
    def of(cls, items: Iterable[Item]) -> Scale:
        """Find the scale in which the largest of these boxes fits, one for all drawings."""
        edges = [[edge or NOMINAL for edge in item.edges] for item in items]
        longest = max((max(height, width) for height, width, _ in edges), default=1)
        thickest = max((channels for *_, channels in edges), default=1)
        cells, channels = LONGEST / math.sqrt(longest), THICKEST / math.sqrt(thickest)
        return cls(min(cells, LARGEST_CELL), min(channels, THICKEST_CHANNEL))


@dataclass(frozen=True)
class TensorBox:
    """The box of a tensor: sizes in pixels, before it has a place."""

    height: float
    thickness: float
    right: float
    up: float

    @property
    def box(self) -> tuple[float, float]:
        """Width and height of all of it."""
        return self.thickness + self.right, self.height + self.up

    def faces(self, x: float, y: float) -> str:
        """Draw its map (behind), its top and its front, with the left upper corner at `(x, y)`."""
        front, top = x + self.thickness, y + self.up
        lean, back = f"{px(self.right)} {px(-self.up)}", f"{px(-self.right)} {px(self.up)}"
        high, thick = px(self.height), px(self.thickness)
        return (
            f'<path class="m" d="M{px(front)} {px(top)}l{lean}v{high}l{back}z"/>'
            f'<path class="t" d="M{px(x)} {px(top)}l{lean}h{thick}l{back}z"/>'
            f'<path class="f" d="M{px(x)} {px(top)}h{thick}v{high}h-{thick}z"/>'
        )


def slab_of(item: Item, scale: Scale) -> TensorBox:
    """Make the box of a node's tensor."""
    height, width, channels = (math.sqrt(edge or NOMINAL) for edge in item.edges)
    right, up = (width * scale.cells * lean for lean in LEAN)
    return TensorBox(
        height * scale.cells, max(channels * scale.channels, THINNEST), max(right, 2), max(up, 1.5)
    )


def px(number: float) -> str:
    """Write pixels to a tenth: `12`, `3.5`."""
    return f"{number:.1f}".removesuffix(".0")
