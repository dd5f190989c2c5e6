"""Where the pixels of an image lie along one axis of a tensor, as fractions."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Position:
    """Where what lies at position `x` of the image lies along one axis of a tensor.

    Attributes:
        scale: Cells of the tensor to one pixel of the image.
        shift: The position of pixel 0 in the tensor: what lies at `x` lies at `scale * x + shift`.
    """

    scale: Fraction = Fraction(1)
    shift: Fraction = Fraction(0)

    def moved(self, cells: Fraction | int) -> Position:
        """Find the positions in the same tensor with so many cells more before it."""
        return Position(self.scale, self.shift + cells)

    def through(self, window: int, stride: int, before: int) -> Position:
        """Find the positions behind a window over the tensor, padded by `before` cells."""
        middle = self.moved(before - Fraction(window - 1, 2))
        return Position(middle.scale / stride, middle.shift / stride)

    def spread(self, factor: int, centre: Fraction) -> Position:
        """Find the positions where each cell makes `factor`, the first one around `centre`."""
        return Position(self.scale * factor, self.shift * factor + centre)


Positions = tuple[Position, ...]
"""One for each axis."""


def crop_between(tensor: Position, other: Position) -> int | None:
    """Count the cells to leave out before a tensor, so that its cells lie as those of another.

    A negative number says how many to leave out before the other one.

    Returns:
        None where the cells of the two never lie in the same places: their scales differ, or their
        shifts by a part of a cell.
    """
    cells = tensor.shift - other.shift
    is_whole = tensor.scale == other.scale and cells.denominator == 1
    return int(cells) if is_whole else None
