"""The columns that the tables of a report share, and the words in their cells."""

from __future__ import annotations

from allconv.reporting.facts import Facts
from allconv.reporting.rows import Row
from allconv.reporting.text_table import Column, Styled, count_words, shape_words
from allconv.reporting.totals import before_and_after
from allconv.reporting.words import becomes_words, class_words

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
"""Two tables for a terminal: one that holds both would be too wide."""

ONE_TABLE = (
    *LAYER_COLUMNS[:-1],
    Column("output after"),
    Column("parameters", right=True),
    Column("parameters after", right=True),
    Column("MACs", right=True),
    Column("MACs after", right=True),
)
"""Both in one, with no title twice."""


def layer_cells(row: Row) -> list[str]:
    """Say of a layer its number, name, class, output, what it becomes and the output after."""
    same = not row.changed and row.output_shape_after == row.output_shape
    after = "" if same or not row.becomes else shape_words(row.output_shape_after)
    words = [row.layer, class_words(row), shape_words(row.output_shape), becomes_words(row), after]
    return [str(row.position), *words]


def counts(row: Row) -> list[int | None]:
    """Parameters before and after, multiply-accumulates before and after."""
    return [
        row.parameters,
        row.parameters_after,
        row.multiply_accumulates,
        row.multiply_accumulates_after,
    ]


def count_cells(row: Row) -> list[str]:
    """Say the same in words."""
    return list(map(count_words, counts(row)))


def total_cells(report: Facts) -> list[Styled]:
    """Sum these over all layers."""
    amounts = (report.totals.parameters, report.totals.multiply_accumulates)
    return [cell for amount in amounts for cell in before_and_after(amount.before, amount.after)]
