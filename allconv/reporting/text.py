"""The looks of a report: text for a terminal, and Markdown. It knows no facts of its own."""

from __future__ import annotations

import html
import re
from collections.abc import Container, Iterable, Iterator

from allconv.reporting.facts import Facts
from allconv.reporting.rows import Row
from allconv.reporting.text_table import (
    PLAIN,
    Cell,
    Column,
    Page,
    Style,
    Styled,
    count_words,
    paragraph,
    printable,
    shape_words,
    table,
)
from allconv.reporting.totals import before_and_after, totals_table
from allconv.reporting.words import (
    BLOCKING,
    becomes_words,
    conclusions,
    in_the_way,
    legend,
    refusal,
    remarks,
    title,
)
from allconv.result import html_table

LAYER_COLUMNS = (
    Column("#", right=True),
    Column("layer", fit="elide"),
    Column("class", fit="elide"),
    Column("output"),
    Column("becomes", fit="wrap"),
    Column("output"),
)
COST_COLUMNS = (
    Column("#", right=True),
    Column("layer", fit="elide"),
    Column("parameters", right=True),
    Column("after", right=True),
    Column("MACs", right=True),
    Column("after", right=True),
)
MARKDOWN_COLUMNS = (
    *LAYER_COLUMNS,
    *COST_COLUMNS[2:],
    Column("rules"),
    Column("keeps"),
)


def as_text(report: Facts, page: Page = PLAIN) -> str:
    """Write the report as wide as the page; the second table omits layers that cost nothing."""
    layers = [
        [Styled(cell, _style(row, report.blocking)) for cell in _layer_cells(row)]
        for row in report.rows
    ]
    costs: list[list[Cell]] = [
        [str(row.position), row.layer, *_cost_cells(row)]
        for row in report.rows
        if _costs(row) != [0, 0, 0, 0]
    ]
    parts = [
        page.paint(printable(title(report)), "title"),
        *_refusal(report, page),
        table(LAYER_COLUMNS, layers, page=page),
        table(COST_COLUMNS, [*costs, ["", "total", *_total_cells(report)]], total=True, page=page),
        totals_table(report.totals, page),
        legend(report),
        *(_section(head, lines, page) for head, lines in remarks(report) if lines),
        "\n".join(paragraph(line, page=page) for line in conclusions(report)),
    ]
    return "\n\n".join(filter(None, parts))


def as_markdown(report: Facts) -> str:
    """Write the report as Markdown."""
    head = [column.title for column in MARKDOWN_COLUMNS]
    ruler = ["---:" if column.right else "---" for column in MARKDOWN_COLUMNS]
    rows = [_markdown_cells(row) for row in report.rows]
    totals = [cell.text for cell in _total_cells(report)]
    last = ["", "total", "", "", "", "", *totals, "", ""]
    lines = [f"| {' | '.join(cells)} |" for cells in [head, ruler, *rows, last]]
    parts = [f"## {_escaped(title(report))}", *_markdown_refusal(report), "\n".join(lines)]
    for section, lines in remarks(report):
        if lines:
            parts += [f"**{section}**", _markdown_list(lines)]
    return "\n\n".join([*parts, *map(_escaped, conclusions(report))])


def as_html_table(report: Facts) -> str:
    """Write the report as one table for a notebook, between its title and its conclusions."""
    rows = [[*_layer_cells(row), *map(count_words, _costs(row))] for row in report.rows]
    totals = [cell.text for cell in _total_cells(report)]
    heads = [column.title for column in (*LAYER_COLUMNS, *COST_COLUMNS[2:])]
    shown = html_table(heads, [*rows, ["", "total", "", "", "", "", *totals]])
    first = [title(report), *refusal(report), *in_the_way(report)]
    return "\n".join([*_html_paragraphs(first), shown, *_html_paragraphs(conclusions(report))])


def _layer_cells(row: Row) -> list[str]:
    same = not row.changed and row.output_shape_after == row.output_shape
    after = "" if same or not row.becomes else shape_words(row.output_shape_after)
    words = [row.layer, row.kind, shape_words(row.output_shape), becomes_words(row), after]
    return [str(row.position), *words]


def _style(row: Row, blocking: Container[str]) -> Style:
    """Say how the row of a layer looks."""
    return "warning" if row.layer in blocking else "changed" if row.changed else ""


def _costs(row: Row) -> list[int | None]:
    """Return parameters before and after, multiply-accumulates before and after."""
    return [
        row.parameters,
        row.parameters_after,
        row.multiply_accumulates,
        row.multiply_accumulates_after,
    ]


def _cost_cells(row: Row) -> list[Styled]:
    parameters, parameters_after, accumulates, accumulates_after = _costs(row)
    return [
        *before_and_after(parameters, parameters_after),
        *before_and_after(accumulates, accumulates_after),
    ]


def _total_cells(report: Facts) -> list[Styled]:
    amounts = (report.totals.parameters, report.totals.multiply_accumulates)
    return [cell for amount in amounts for cell in before_and_after(amount.before, amount.after)]


def _markdown_cells(row: Row) -> list[str]:
    position, layer, *rest = _layer_cells(row)
    cells = [*rest, *map(count_words, _costs(row)), ", ".join(row.rules), row.keeps or ""]
    return [position, _code(layer), *map(_escaped, cells)]


def _refusal(report: Facts, page: Page) -> list[str]:
    """That the model is refused, and why."""
    if not report.refused:
        return []
    said = "\n".join(paragraph(line, page=page) for line in refusal(report))
    return [said, *(_section(BLOCKING, lines, page) for lines in [in_the_way(report)] if lines)]


def _markdown_refusal(report: Facts) -> list[str]:
    if not report.refused:
        return []
    reasons = in_the_way(report)
    listed = [f"**{BLOCKING}**", _markdown_list(reasons)] if reasons else []
    return [*map(_escaped, refusal(report)), *listed]


def _markdown_list(lines: list[str]) -> str:
    return "\n".join(f"- {_escaped(line)}" for line in lines)


def _html_paragraphs(texts: Iterable[str]) -> Iterator[str]:
    return (f"<p>{html.escape(printable(text))}</p>" for text in texts)


def _section(name: str, lines: list[str], page: Page) -> str:
    head = page.paint(name, "warning" if name == BLOCKING else "title")
    return "\n".join([head, *(paragraph(line, "  ", "    ", page=page) for line in lines)])


def _escaped(text: str) -> str:
    """Escape a text, so that nothing of it is taken for Markdown, or for HTML in it."""
    return re.sub(r"[|*`]|](?=\()", r"\\\g<0>", printable(text)).replace("<", "&lt;")


def _code(text: str) -> str:
    """Write a text as Markdown's code, in a cell of a table."""
    words = printable(text).replace("`", "'").replace("|", r"\|")
    return f"`{words}`"
