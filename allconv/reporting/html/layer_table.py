"""The table of layers as HTML, each row linked to its layer's box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from allconv.reporting.facts import Facts
from allconv.reporting.html.drawing import escaped
from allconv.reporting.rows import Row
from allconv.reporting.text_table import count_words, shape_words
from allconv.reporting.words import becomes_words, class_words, keeps_words


@dataclass(frozen=True)
class Column:
    """A column of the table of layers.

    Attributes:
        title: What stands above it.
        sort: How its cells compare: as `"text"`, as a `"number"` or as a `"shape"`, by its values.
    """

    title: str
    sort: str


COLUMNS = (
    Column("#", "number"),
    Column("layer", "text"),
    Column("class", "text"),
    Column("output", "shape"),
    Column("becomes", "text"),
    Column("output after", "shape"),
    Column("parameters", "number"),
    Column("parameters after", "number"),
    Column("MACs", "number"),
    Column("MACs after", "number"),
    Column("rules", "text"),
    Column("keeps", "text"),
)


def layer_table(report: Facts) -> str:
    """Write the table of layers: one row for each, with the `id` of its number, and the totals."""
    heads = "".join(
        f'<th scope="col" class="{column.sort}" data-sort="{column.sort}">{column.title}</th>'
        for column in COLUMNS
    )
    rows = "\n".join(_table_row(row, row.layer in report.blocking) for row in report.rows)
    return (
        '<div class="scroll rows" tabindex="0" role="region" aria-labelledby="layers"><table>\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n"
        f"<tfoot><tr>{_cells(_total_cells(report), '')}</tr></tfoot></table></div>"
    )


def _table_row(row: Row, blocks: bool) -> str:
    look = " ".join(["changed"] * row.changed + ["blocks"] * blocks)
    same = not row.changed and row.output_shape_after == row.output_shape
    cells = [
        str(row.position),
        row.layer,
        class_words(row),
        shape_words(row.output_shape),
        becomes_words(row),
        "" if same or not row.becomes else shape_words(row.output_shape_after),
        *map(count_words, (row.parameters, row.parameters_after)),
        *map(count_words, (row.multiply_accumulates, row.multiply_accumulates_after)),
        ", ".join(row.rules),
        keeps_words(row),
    ]
    mark = f' class="{look}"' if look else ""
    return f'<tr id="r{row.position}"{mark}>{_cells(cells, f"#b{row.position}")}</tr>'


def _total_cells(report: Facts) -> list[str]:
    counts = [
        number
        for amount in (report.totals.parameters, report.totals.multiply_accumulates)
        for number in (amount.before, amount.after)
    ]
    return ["", "total", "", "", "", "", *map(count_words, counts), "", ""]


def _cells(texts: Sequence[str], href: str) -> str:
    """Write the cells of a row; the layer's name heads it, and leads to its box."""
    return "".join(
        _heading(text, href)
        if column.title == "layer"
        else f'<td class="{column.sort}">{_breakable(text)}</td>'
        for column, text in zip(COLUMNS, texts, strict=True)
    )


def _heading(text: str, href: str) -> str:
    words = f'<a href="{href}">{_breakable(text)}</a>' if href else escaped(text)
    return f'<th scope="row">{words}</th>'


def _breakable(text: str) -> str:
    """Let long names in a text go on in the next line behind a `_` first."""
    return escaped(text).replace("_", "_<wbr>")
