"""Plain text tables for terminals of 80 columns, and the words for shapes and counts in them."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from allconv.shapes import Shape

WIDTH = 80
NARROWEST = 12
"""A column that gives way keeps this many characters: enough for both ends of a name."""

GAP = 2
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
    lines = [[column.title for column in columns], *rows]
    ruler = [Rule(characters="-")] * len(columns)
    body: list[Sequence[RenderableType]] = [list(map(_cell, columns, line)) for line in lines]
    body.insert(1, ruler)
    if total:
        body.insert(-1, ruler)
    grid = _empty_grid(columns, lines)
    for row in body:
        grid.add_row(*row)
    return _printed(grid)


def elide(text: str, width: int) -> str:
    """A text on at most `width` >= 3 places, shortened in its middle: both ends of a name matter.

    Example:
        >>> elide("block5_conv3_batch_normalization", 16)
        'block5...ization'
    """
    if cell_len(text) <= width:
        return text
    left = (width - 3) // 2
    right = width - 3 - left
    return f"{set_cell_size(text, left)}...{set_cell_size(text[::-1], right)[::-1]}"


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


@dataclass(frozen=True)
class _Elided:
    """A cell that loses its middle where its column is narrow; rich itself only cuts ends."""

    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(elide(self.text, options.max_width))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, Text(self.text))


def _empty_grid(columns: Sequence[Column], lines: Sequence[Sequence[str]]) -> Table:
    grid = Table.grid(padding=(0, GAP, 0, 0), collapse_padding=False, pad_edge=True)
    for column, cells in zip(columns, zip(*lines, strict=True), strict=True):
        grid.add_column(
            justify="right" if column.right else "left",
            no_wrap=column.fit == "whole",
            min_width=_floor(column, cells),
        )
    return grid


def _cell(column: Column, text: str) -> Text | _Elided:
    """A cell for rich; a bare string it would search for markup such as `[bold]`."""
    return _Elided(text) if column.fit == "elide" else Text(text)


def _floor(column: Column, cells: Sequence[str]) -> int:
    """The width that a column keeps, even where the table gets wider than the terminal."""
    widest = max(map(cell_len, cells))
    return widest if column.fit == "whole" else min(widest, NARROWEST)


def _printed(grid: Table) -> str:
    """The lines that a console prints; the same wherever it runs, in a notebook too."""
    page = io.StringIO()
    width = WIDTH + GAP  # there is a gap behind the last column too, and it is stripped
    console = Console(
        file=page, width=width, color_system=None, force_jupyter=False, legacy_windows=False
    )
    console.print(grid, crop=False)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())
