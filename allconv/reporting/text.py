"""The looks of a report: text for a terminal, a table for a notebook. It knows no facts."""

from __future__ import annotations

import html
from collections.abc import Container, Iterable, Iterator

from allconv.reporting.columns import (
    COST_COLUMNS,
    LAYER_COLUMNS,
    ONE_TABLE,
    count_cells,
    counts,
    layer_cells,
    total_cells,
)
from allconv.reporting.facts import Facts
from allconv.reporting.rows import Row
from allconv.reporting.text_table import (
    PLAIN,
    Cell,
    Page,
    Style,
    Styled,
    paragraph,
    printable,
    table,
)
from allconv.reporting.totals import before_and_after, totals_table
from allconv.reporting.words import (
    BLOCKING,
    conclusions,
    in_the_way,
    legend,
    refusal,
    remarks,
    title,
)
from allconv.result import html_table


def as_text(report: Facts, page: Page = PLAIN) -> str:
    """Write the report as wide as the page; the second table omits layers that cost nothing."""
    layers = [
        [Styled(cell, _style(row, report.blocking)) for cell in layer_cells(row)]
        for row in report.rows
    ]
    costs: list[list[Cell]] = [
        [str(row.position), row.layer, *_cost_cells(row)]
        for row in report.rows
        if counts(row) != [0, 0, 0, 0]
    ]
    parts = [
        page.paint(printable(title(report)), "title"),
        *_refusal(report, page),
        table(LAYER_COLUMNS, layers, page=page),
        table(COST_COLUMNS, [*costs, ["", "total", *total_cells(report)]], total=True, page=page),
        totals_table(report.totals, page),
        legend(report),
        *(_section(head, lines, page) for head, lines in remarks(report) if lines),
        "\n".join(paragraph(line, page=page) for line in conclusions(report)),
    ]
    return "\n\n".join(filter(None, parts))


def as_html_table(report: Facts) -> str:
    """Write the report as one table for a notebook, between its title and its conclusions."""
    rows = [[*layer_cells(row), *count_cells(row)] for row in report.rows]
    totals = [cell.text for cell in total_cells(report)]
    heads = [column.title for column in ONE_TABLE]
    shown = html_table(heads, [*rows, ["", "total", "", "", "", "", *totals]])
    reasons = in_the_way(report) if report.refused else []
    first = [title(report), *refusal(report), *reasons]
    return "\n".join([*_html_paragraphs(first), shown, *_html_paragraphs(conclusions(report))])


def _style(row: Row, blocking: Container[str]) -> Style:
    """Say how the row of a layer looks."""
    return "warning" if row.layer in blocking else "changed" if row.changed else ""


def _cost_cells(row: Row) -> list[Styled]:
    parameters, parameters_after, accumulates, accumulates_after = counts(row)
    return [
        *before_and_after(parameters, parameters_after),
        *before_and_after(accumulates, accumulates_after),
    ]


def _refusal(report: Facts, page: Page) -> list[str]:
    """Say that the model is refused, and why."""
    if not report.refused:
        return []
    said = "\n".join(paragraph(line, page=page) for line in refusal(report))
    return [said, *(_section(BLOCKING, lines, page) for lines in [in_the_way(report)] if lines)]


def _html_paragraphs(texts: Iterable[str]) -> Iterator[str]:
    return (f"<p>{html.escape(printable(text))}</p>" for text in texts)


def _section(name: str, lines: list[str], page: Page) -> str:
    head = page.paint(name, "warning" if name == BLOCKING else "title")
    return "\n".join([head, *(paragraph(line, "  ", "    ", page=page) for line in lines)])
