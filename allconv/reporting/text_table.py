"""Plain text tables and paragraphs for terminals, and the words for shapes and counts in them.

They are set by hand, not by rich: to import its tables takes a tenth of the time of a whole report.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Literal, NamedTuple

from allconv.shapes import Shape

WIDTH = 80
NARROWEST = 12
"""A column that gives way keeps this many characters: enough for both ends of a name."""

GAP = 2
UNKNOWN = "--"

Fit = Literal["whole", "elide", "wrap"]

Style = Literal["", "title", "changed", "grew", "warning"]

STYLES: dict[Style, str] = {"title": "1", "changed": "36", "grew": "33", "warning": "31"}
"""As a terminal knows them (ECMA-48, SGR): bold, cyan, yellow, red. None says what no word says."""


class Styled(NamedTuple):
    """A text, and how it looks on a page in colour."""

    text: str
    style: Style


Cell = str | Styled


@dataclass(frozen=True)
class Page:
    """What text is set on.

    Attributes:
        width: Of a line, in characters.
        color: Whether styles are shown.
        whole: Whether names are whole in tables too wide for it; for what no window has to hold.
    """

    width: int = WIDTH
    color: bool = False
    whole: bool = False

    def paint(self, text: str, style: Style) -> str:
        """Paint a text in a style; leave it as it is on a page without colours."""
        return f"\033[{STYLES[style]}m{text}\033[0m" if self.color and style and text else text


PLAIN = Page()


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
    fit: Fit = "whole"


_UNCUT: dict[Fit, Fit] = {"elide": "whole"}
"""What becomes of columns on a page that cuts no name; words go on in further lines still."""


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    *,
    total: bool = False,
    page: Page = PLAIN,
) -> str:
    """Set rows under titles; with `total` the last row stands under a line of its own.

    Example:
        >>> print(table([Column("layer"), Column("weights", right=True)], [["conv", "1,280"]]))
        layer  weights
        -----  -------
        conv     1,280
    """
    titles = [Styled(column.title, "title") for column in columns]
    cells = [titles, *([_styled(cell) for cell in row] for row in rows)]
    if page.whole:
        columns = [replace(each, fit=_UNCUT.get(each.fit, each.fit)) for each in columns]
    widths = _widths(columns, cells, page.width)
    lines = [list(_lines(row, columns, widths, page)) for row in cells]
    ruler = [(" " * GAP).join("-" * width for width in widths)]
    lines.insert(1, ruler)
    if total:
        lines.insert(-1, ruler)
    return "\n".join(line for block in lines for line in block)


def elide(text: str, width: int) -> str:
    """Shorten a text to `width` >= 3 places, in its middle: both ends of a name matter.

    Example:
        >>> elide("block5_conv3_batch_normalization", 16)
        'block5...ization'
    """
    if _places(text) <= width:
        return text
    left = (width - 3) // 2
    right = width - 3 - left
    return f"{_start(text, left)}...{_start(text[::-1], right)[::-1]}"


def paragraph(text: str, indent: str = "", hang: str = "", *, page: Page = PLAIN) -> str:
    """Wrap a text in lines as wide as the page, all but the first indented by `hang` more."""
    return textwrap.fill(
        printable(text),
        page.width,
        initial_indent=indent,
        subsequent_indent=indent + hang,
        break_on_hyphens=False,
        break_long_words=False,
    )


def printable(text: str) -> str:
    r"""Remove from a text what moves a cursor, changes colours or turns lines around.

    The names in a file are a stranger's: some terminals can be told to do things by what they show.

    Example:
        >>> printable("conv\033[2J")
        'conv\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shape_words(shape: Shape | None) -> str:
    """Write a shape without its batch: `28x28x16`, `?x?x3` with free sizes, `--` if unknown."""
    if shape is None:
        return UNKNOWN
    return "x".join("?" if size is None else str(size) for size in shape[1:]) or "1"


def count_words(count: int | None) -> str:
    """Write a number with commas, `--` where it is unknown."""
    return UNKNOWN if count is None else f"{count:,}"


def _styled(cell: Cell) -> Styled:
    text, style = cell if isinstance(cell, Styled) else Styled(cell, "")
    return Styled(printable(text), style)


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[Styled]], width: int) -> list[int]:
    """Say how wide each column is: of those that give way, the widest do, all down to one width."""
    natural = [max(_places(cell.text) for cell in cells) for cells in zip(*rows, strict=True)]
    floors = [
        wide if column.fit == "whole" else min(wide, NARROWEST)
        for column, wide in zip(columns, natural, strict=True)
    ]
    free = width - GAP * (len(columns) - 1)
    for most in range(width, NARROWEST, -1):
        widths = [max(floor, min(wide, most)) for floor, wide in zip(floors, natural, strict=True)]
        if sum(widths) <= free:
            return widths
    return floors


def _lines(
    row: Sequence[Styled], columns: Sequence[Column], widths: Sequence[int], page: Page
) -> Iterator[str]:
    """Yield the lines of one row: as many as its tallest cell takes."""
    blocks = map(_block, row, columns, widths)
    for parts in zip_longest(*blocks, fillvalue=""):
        line = []
        for part, cell, column, width in zip(parts, row, columns, widths, strict=True):
            space = " " * (width - _places(part))
            shown = page.paint(part, cell.style)
            line.append(space + shown if column.right else shown + space)
        yield (" " * GAP).join(line).rstrip()


def _block(cell: Styled, column: Column, width: int) -> list[str]:
    """Write the lines of one cell."""
    if column.fit == "wrap":
        return _wrapped(cell.text, width)
    return [elide(cell.text, width) if column.fit == "elide" else cell.text]


def _wrapped(text: str, width: int) -> list[str]:
    """Wrap the words of a text in lines of `width` places; a wider word goes on in the next."""
    lines = [""]
    for word in text.split():
        if lines[-1] and _places(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
            continue
        while _places(word) > width:
            part = _start(word, width).rstrip()
            lines.append(part)
            word = word[len(part) :]
        lines.append(word)
    return lines[1:] or lines


def _places(text: str) -> int:
    """Say how many places of a terminal a text takes: some characters two, some none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # it knows Unicode's tables; to import it takes time

    return cell_len(text)


def _start(text: str, places: int) -> str:
    """Cut a text to so many places, with a space where half a character would be."""
    if text.isascii():
        return text[:places]
    from rich.cells import set_cell_size

    return set_cell_size(text, places)
