"""Write the report as Markdown: one wide table, and what is to be said about it."""

from __future__ import annotations

import re

from allconv.reporting.columns import ONE_TABLE, count_cells, layer_cells, total_cells
from allconv.reporting.facts import Facts
from allconv.reporting.rows import Row
from allconv.reporting.text_table import Column, printable
from allconv.reporting.words import (
    BLOCKING,
    conclusions,
    in_the_way,
    keeps_words,
    refusal,
    remarks,
    title,
)

COLUMNS = (*ONE_TABLE, Column("rules"), Column("keeps"))


def as_markdown(report: Facts) -> str:
    """Write the report as Markdown."""
    parts = [f"## {_escaped(title(report))}", *_refusal(report), _table(report)]
    for section, lines in remarks(report):
        if lines:
            parts += [f"**{section}**", _list(lines)]
    return "\n\n".join([*parts, *map(_escaped, conclusions(report))])


def _table(report: Facts) -> str:
    head = [column.title for column in COLUMNS]
    ruler = ["---:" if column.right else "---" for column in COLUMNS]
    totals = [cell.text for cell in total_cells(report)]
    last = ["", "total", "", "", "", "", *totals, "", ""]
    rows = [head, ruler, *map(_cells, report.rows), last]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _refusal(report: Facts) -> list[str]:
    """Say that the model is refused, and why."""
    if not report.refused:
        return []
    reasons = in_the_way(report)
    listed = [f"**{BLOCKING}**", _list(reasons)] if reasons else []
    return [*map(_escaped, refusal(report)), *listed]


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {_escaped(line)}" for line in lines)


def _cells(row: Row) -> list[str]:
    position, layer, *rest = layer_cells(row)
    cells = [*rest, *count_cells(row), ", ".join(row.rules), keeps_words(row)]
    return [position, _code(layer), *map(_escaped, cells)]


def _escaped(text: str) -> str:
    """Escape a text, so that nothing of it is taken for Markdown, or for HTML in it."""
    return re.sub(r"[|*`]|](?=\()", r"\\\g<0>", printable(text)).replace("<", "&lt;")


def _code(text: str) -> str:
    """Write a text as Markdown's code, in a cell of a table."""
    words = printable(text).replace("`", "'").replace("|", r"\|")
    return f"`{words}`"
