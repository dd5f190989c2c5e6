"""`report`: what a conversion would change, layer by layer, what it keeps and what it costs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from allconv.build import build
from allconv.convert import plan_conversion
from allconv.fixed_kernels import is_fixed, needs_set_weights
from allconv.geometry import Geometry, graph_geometry
from allconv.graph import Graph
from allconv.input_size import InputSize, at_own_size, resized
from allconv.obstacles import Obstacle, obstacles
from allconv.read import is_live, read
from allconv.read.file import ModelFile
from allconv.reporting import report_text
from allconv.reporting.report_rows import Row, rows_of, total, weight_bytes
from allconv.reporting.text_table import WIDTH, Page
from allconv.rewrite import Change, Plan, Skipped
from allconv.rule import Rule
from allconv.rules import Head
from allconv.strategies import Pooling
from allconv.untrusted import not_made
from allconv.verify import Verification
from allconv.verify import verify as run_verification

if TYPE_CHECKING:
    import keras


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
        return report_text.totals_text(self)


@dataclass(frozen=True)
class Report:
    """A planned conversion made readable: `print(report)`, `report.to_markdown()`.

    Attributes:
        plan: What the report is about.
        strict: Whether `convert` was to refuse a model in which layers stand in the way.
        rows: One for each layer of the model, in order.
        totals: Parameters, multiply-accumulates and bytes of weights, before and after.
        obstacles: The layers that stand between the result and an all-convolutional network.
        input_size: The size of the images that the result is to take; None for the model's own. For
            `"any"`, the rows and totals are those of the model's own size.
        geometry: Where the cells of the result's map look; None where it takes or gives no single
            map, or there are obstacles.
        verification: How the two models compare, where that was asked for; else None.
    """

    plan: Plan = field(repr=False)
    strict: bool
    rows: tuple[Row, ...] = field(repr=False)
    totals: Totals
    obstacles: tuple[Obstacle, ...]
    input_size: InputSize | None = None
    geometry: Geometry | None = None
    verification: Verification | None = None

    @property
    def changes(self) -> tuple[Change, ...]:
        """The rules that are applied, in order."""
        return self.plan.changes

    @cached_property
    def skips(self) -> tuple[Skipped, ...]:
        """The rules that were tried and do not apply, each with its reason, in order."""
        found = [skip for skips in self.plan.skips.values() for skip in skips]
        return tuple(dict.fromkeys(skip for skip in found if not skip.absent))

    @property
    def lossless(self) -> bool:
        """Whether the result computes the same numbers, up to rounding."""
        return self.plan.lossless

    @cached_property
    def fixed(self) -> tuple[str, ...]:
        """The layers of the result with fixed kernels, which training is to leave as they are."""
        return tuple(spec.name for spec in self.plan.after.specs() if is_fixed(spec))

    @cached_property
    def needs_set_weights(self) -> tuple[str, ...]:
        """Those whose kernels are not in their configuration: a clone needs `set_weights`."""
        return tuple(spec.name for spec in self.plan.after.specs() if needs_set_weights(spec))

    @cached_property
    def not_made(self) -> tuple[str, ...]:
        """What `convert` does not make from the file that the model comes from, in words."""
        return not_made(self.plan.after)

    @property
    def refused(self) -> bool:
        """Whether `convert` would refuse the model."""
        return bool(self.not_made) or (self.strict and bool(self.obstacles))

    def __str__(self) -> str:
        return report_text.as_text(self)

    def to_text(self, width: int = WIDTH, color: bool = False) -> str:
        """The report on lines of `width` characters: at 80, without colours, what `print` shows."""
        return report_text.as_text(self, Page(width, color))

    def to_markdown(self) -> str:
        """The report as Markdown: one wide table, and what is to be said about it."""
        return report_text.as_markdown(self)

    def to_html(self) -> str:
        """The report as one HTML page to look at, complete in itself; it loads nothing."""
        from allconv.reporting.report_html import as_html  # only here: few reports are pages

        return as_html(self)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data, ready for `json.dumps`."""
        return {
            "model": self.plan.before.name,
            "input_size": self.input_size,
            "lossless": self.lossless,
            "refused": self.refused,
            "rows": [_plain(row) for row in self.rows],
            "totals": {
                name: {**amount, "ratio": getattr(self.totals, name).ratio}
                for name, amount in asdict(self.totals).items()
            },
            "changes": [_plain(change) for change in self.changes],
            "skips": [_plain(skip) for skip in self.skips],
            "obstacles": [_plain(obstacle) for obstacle in self.obstacles],
            "not_made": list(self.not_made),
            "geometry": None if self.geometry is None else _plain(self.geometry),
            "fresh": list(self.plan.fresh),
            "unshared": list(self.plan.unshared),
            "fixed": list(self.fixed),
            "needs_set_weights": list(self.needs_set_weights),
            "verification": None if self.verification is None else _plain(self.verification),
        }


def report(
    model: keras.Model | str | os.PathLike[str] | ModelFile | Graph,
    *,
    pooling: Pooling = "exact",
    head: Head = "dense",
    strict: bool = True,
    input_size: InputSize | None = None,
    fold_batchnorm: bool = False,
    rules: Sequence[Rule] = (),
    verify: bool = False,
) -> Report:
    """Say what `convert` would do with the same arguments; no weight is read and no layer made.

    A report is given for a model that `convert` refuses too; it says so and lists the obstacles.

    Args:
        model: As of `convert`.
        pooling: As of `convert`.
        head: As of `convert`.
        strict: As of `convert`.
        input_size: As of `convert`.
        fold_batchnorm: As of `convert`.
        rules: As of `convert`.
        verify: Make the conversion after all, where it is lossless, and add how the two compare.

    Raises:
        ConversionError: An `input_size` was given, and layers fit one size only.
        FileError: The file cannot be opened.
        ModelError: The model is not built, empty or subclassed.
        OptionError: A choice is unknown.
        ShapeError: Maps no longer fit after a choice that shrinks them.

    Example:
        >>> import allconv, keras
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 1)),
        ...     keras.layers.Conv2D(4, 3, activation="relu"),
        ...     keras.layers.Flatten(),
        ...     keras.layers.Dense(3, activation="softmax"),
        ... ])
        >>> allconv.report(model).rows[-1].becomes
        ('Conv2D 6x6',)
    """
    graph = read(model)
    plan = plan_conversion(
        graph,
        pooling=pooling,
        head=head,
        rules=rules,
        fold_batchnorm=fold_batchnorm,
        input_size=input_size,
    )
    found = obstacles(plan)
    where = None if found else graph_geometry(plan.after)
    verification = None
    if verify and plan.lossless and not (strict and found):
        original = model if is_live(model) else build(graph)
        verification = run_verification(original, build(plan.after))
    shown = plan
    if input_size is not None and not (strict and found):
        # what a free size costs nobody can count: the rows are of the model's own size
        shown = at_own_size(plan) if input_size == "any" else resized(plan, input_size)
        plan = resized(plan, input_size)
    rows = rows_of(shown)
    return Report(plan, strict, rows, _totals(shown, rows), found, input_size, where, verification)


def _totals(plan: Plan, rows: Sequence[Row]) -> Totals:
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


def _plain(fact: Any) -> dict[str, Any]:
    """A fact as JSON knows it: tuples as lists."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(fact).items()
    }
