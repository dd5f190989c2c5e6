"""What the two models of a report cost in all, and the table of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from allconv.reporting.rows import Row, total, weight_bytes
from allconv.reporting.text_table import (
    PLAIN,
    UNKNOWN,
    Column,
    Page,
    Style,
    Styled,
    count_words,
    table,
)
from allconv.rewrite import Plan

TOTAL_COLUMNS = (
    Column(""),
    Column("before", right=True),
    Column("after", right=True),
    Column("ratio", right=True),
)


@dataclass(frozen=True)
class Amount:
    """A number before and after the conversion; None where it is unknown."""

    before: int | None
    after: int | None

    @property
    def ratio(self) -> float | None:
        """After / before; None where one of them is unknown or before is nothing."""
        return self.after / self.before if self.before and self.after is not None else None


@dataclass(frozen=True)
class Totals:
    """What the two models cost.

    Attributes:
        parameters: Values in all weights, as Keras' `count_params` counts them.
        multiply_accumulates: For one image; `allconv.layers.costs` says what is counted.
        weight_bytes: Bytes of all weights.
    """

    parameters: Amount
    multiply_accumulates: Amount
    weight_bytes: Amount

    def __str__(self) -> str:
        return totals_table(self)


def totals_of(plan: Plan, rows: Sequence[Row]) -> Totals:
    """Sum up the rows of a plan."""
    return Totals(
        parameters=Amount(
            total(row.parameters for row in rows), total(row.parameters_after for row in rows)
        ),
        multiply_accumulates=Amount(
            total(row.multiply_accumulates for row in rows),
            total(row.multiply_accumulates_after for row in rows),
        ),
        weight_bytes=Amount(weight_bytes(plan.before.specs()), weight_bytes(plan.after.specs())),
    )


def totals_table(totals: Totals, page: Page = PLAIN) -> str:
    """Write the totals as a small table."""
    amounts = {
        "parameters": totals.parameters,
        "multiply-accumulates": totals.multiply_accumulates,
        "bytes of weights": totals.weight_bytes,
    }
    return table(
        TOTAL_COLUMNS,
        [[name, *_amount_cells(amount)] for name, amount in amounts.items()],
        page=page,
    )


def _amount_cells(amount: Amount) -> list[Styled]:
    ratio = UNKNOWN if amount.ratio is None else f"{amount.ratio:.2f}x"
    style = _growth(amount.before, amount.after)
    return [*before_and_after(amount.before, amount.after), Styled(ratio, style)]


def before_and_after(before: int | None, after: int | None) -> list[Styled]:
    """Return two cells, of which the second is marked where it is larger."""
    return [Styled(count_words(before), ""), Styled(count_words(after), _growth(before, after))]


def _growth(before: int | None, after: int | None) -> Style:
    return "grew" if before is not None and after is not None and after > before else ""
