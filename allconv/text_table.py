"""Plain text tables for terminals of 80 columns, and the words for shapes and counts in them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from allconv.shapes import Shape

WIDTH = 80
NARROWEST = 12
"""A column that gives way keeps this many characters: enough for both ends of a name."""

GAP = "  "
UNKNOWN = "--"


@dataclass(frozen=True)
class Column:
    """How the cells of a column are set.

    Attributes:
        title: What stands above them.
        right: Whether they end, not begin, on one line; for numbers.
        fit: What becomes of a cell where the table is too wide: it stays `"whole"`, loses its
            middle (`"elide"`) or takes more lines (`"wrap"`).
    """

    title: str
    right: bool = False
    fit: Literal["whole", "elide", "wrap"] = "whole"


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, total: bool = False) -> str:
    """Set rows under titles; with `total` the last row stands under a line of its own.

    Example:
        >>> print(table([Column("layer"), Column("weights", right=True)], [["conv", "1,280"]]))
        layer  weights
        -----  -------
        conv     1,280
    """
    titles = [column.title for column in columns]
    widths = _widths(columns, [titles, *rows])
    lines = [_line(columns, widths, row) for row in [titles, *rows]]
    ruler = GAP.join("-" * width for width in widths)
    lines.insert(1, ruler)
    if total:
        lines.insert(-1, ruler)
    return "\n".join(lines)


def elide(text: str, width: int) -> str:
    """A text in at most `width` characters, shortened in its middle: both ends of a name matter.

    Example:
        >>> elide("block5_conv3_batch_normalization", 16)
        'block5...ization'
    """
    if len(text) <= width:
        return text
    left = max(width - 3, 0)
    return text[: left // 2] + "..."[:width] + text[len(text) - (left - left // 2) :]


def paragraph(text: str, indent: str = "", hang: str = "") -> str:
    """A text in lines of 80 columns, all but the first indented by `hang` more."""
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + hang,
        break_on_hyphens=False,
        break_long_words=False,
    )


def shape_words(shape: Shape | None) -> str:
    """A shape without its batch: `28x28x16`, `?x?x3` where sizes are free, `--` where unknown."""
    if shape is None:
        return UNKNOWN
    return "x".join("?" if size is None else str(size) for size in shape[1:]) or "1"


def count_words(count: int | None) -> str:
    """A number with commas, `--` where it is unknown."""
    return UNKNOWN if count is None else f"{count:,}"


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    """The widths of the columns; while they are too wide together, the widest gives way."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    flexible = [index for index, column in enumerate(columns) if column.fit != "whole"]
    while sum(widths) + len(GAP) * (len(widths) - 1) > WIDTH:
        widest = max(flexible, key=lambda index: widths[index], default=None)
        if widest is None or widths[widest] <= NARROWEST:
            break
        widths[widest] -= 1
    return widths


def _line(columns: Sequence[Column], widths: Sequence[int], row: Sequence[str]) -> str:
    cells = [_cell(*parts) for parts in zip(columns, widths, row, strict=True)]
    height = max(map(len, cells))
    padded = [cell + [" " * len(cell[0])] * (height - len(cell)) for cell in cells]
    return "\n".join(GAP.join(line).rstrip() for line in zip(*padded, strict=True))


def _cell(column: Column, width: int, text: str) -> list[str]:
    """The lines of a cell, all as wide as the column."""
    lines = textwrap.wrap(text, width) if column.fit == "wrap" else [text]
    if column.fit == "elide":
        lines = [elide(text, width)]
    return [line.rjust(width) if column.right else line.ljust(width) for line in lines or [""]]
