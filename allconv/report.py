"""`report`: what a conversion would change, layer by layer, what it keeps and what it costs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from allconv.building.untrusted import not_made
from allconv.dense_maps.dense_plan import at_output_stride, maps_of
from allconv.dense_maps.strides import OutputStride
from allconv.geometry import graph_geometry
from allconv.graph import Graph
from allconv.obstacles import obstacles
from allconv.plan import plan_conversion, verify_plan
from allconv.read import is_live, read
from allconv.read.file import ModelFile
from allconv.reporting import text
from allconv.reporting.facts import Facts
from allconv.reporting.markdown import as_markdown
from allconv.reporting.rows import rows_of
from allconv.reporting.text_table import WIDTH, Page
from allconv.reporting.totals import totals_of
from allconv.resize import InputSize, at_own_size
from allconv.result import Result, plain
from allconv.rewrite import Plan
from allconv.rule import Rule
from allconv.rules import Head
from allconv.sizes.map_geometry import Geometry
from allconv.strategies import Pooling

if TYPE_CHECKING:
    import keras
    import pandas


class Report(Facts, Result):
    """A planned conversion made readable: `print(report)`, `report.to_markdown()`.

    Attributes:
        plan: What the report is about, for images of `input_size`.
        own_plan: The same for images of the model's own size, at which the two are compared.
        strict: Whether `convert` was to refuse a model in which layers stand in the way.
        rows: One for each layer of the model, in order.
        totals: Parameters, multiply-accumulates and bytes of weights, before and after.
        obstacles: What stands between the result and an all-convolutional network, by cause.
        input_size: The size of the images that the result is to take; None for the model's own. For
            `"any"`, the rows and totals are those of the model's own size.
        geometry: Where the cells of the result's map look; None where it takes or gives no single
            map, or there are obstacles.
        verification: How the two models compare, where that was asked for; else None.
    """

    def __str__(self) -> str:
        return text.as_text(self)

    def to_text(self, width: int = WIDTH, color: bool = False, whole: bool = False) -> str:
        """Write the report on lines of `width` characters; `print` shows 80, without colours.

        With `whole` no name is cut, however wide the tables get.
        """
        return text.as_text(self, Page(width, color, whole))

    def to_markdown(self) -> str:
        """Write the report as Markdown: one wide table, and what is to be said about it."""
        return as_markdown(self)

    def to_csv(self) -> str:
        """Write the rows as CSV, under the names that they have in `Row`: a line for each layer.

        Shapes are written as `28x28x16`, several words with "; " between them. What a spreadsheet
        would take for a formula begins with an apostrophe: names are a stranger's.
        """
        from allconv.reporting.records import as_csv

        return as_csv(self)

    def to_latex(self) -> str:
        r"""Write the rows as a LaTeX `tabular`, for documents with `\usepackage{booktabs}`."""
        from allconv.reporting.latex import as_latex

        return as_latex(self)

    def to_dataframe(self) -> pandas.DataFrame:
        """Return the rows as a table of pandas, which has to be installed.

        Raises:
            OptionError: pandas cannot be imported.
        """
        from allconv.reporting.records import as_dataframe

        return as_dataframe(self)

    def to_html(self) -> str:
        """Write the report as one HTML page to look at, complete in itself; it loads nothing."""
        from allconv.reporting.html.page import as_html  # only here: few reports are pages

        return as_html(self)

    def to_svg(self) -> str:
        """Draw the network before and after as an SVG picture, complete in itself.

        Raises:
            OptionError: The network is too large to draw.
        """
        from allconv.reporting.svg import as_svg

        return as_svg(self)

    def to_png(self) -> bytes:
        """Draw the same picture as a PNG file, painted by matplotlib.

        Raises:
            OptionError: matplotlib cannot be imported, or the network is too large to draw.
        """
        from allconv.reporting.painting import as_png

        return as_png(self)

    def to_pdf(self) -> bytes:
        """Draw the same picture as a PDF file, likewise; its lines stay sharp at any size.

        Raises:
            OptionError: As of `to_png`.
        """
        from allconv.reporting.painting import as_pdf

        return as_pdf(self)

    def _repr_html_(self) -> str:
        return text.as_html_table(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, ready for `json.dumps`."""
        totals = plain(self.totals)
        for name in totals:
            totals[name]["ratio"] = getattr(self.totals, name).ratio
        return {
            "model": self.plan.before.name,
            "refused": self.refused,
            "obstacles": plain(self.obstacles),
            "not_made": list(self.not_made),
            "input_size": plain(self.input_size),
            "output_stride": plain(self.plan.output_stride),
            "lossless": self.lossless,
            "rows": plain(self.rows),
            "totals": totals,
            "changes": plain(self.changes),
            "skips": plain(self.skips),
            "kept_pools": list(self.kept_pools),
            "geometry": plain(self.geometry),
            "fresh": list(self.plan.fresh),
            "unshared": list(self.plan.unshared),
            "fixed": list(self.fixed),
            "needs_set_weights": list(self.needs_set_weights),
            "verification": plain(self.verification),
        }


def report(
    model: keras.Model | str | os.PathLike[str] | ModelFile | Graph,
    *,
    pooling: Pooling = "exact",
    head: Head = "dense",
    strict: bool = True,
    input_size: InputSize | None = None,
    output_stride: OutputStride | None = None,
    fold_batchnorm: bool = False,
    rules: Sequence[Rule] = (),
    verify: bool = False,
) -> Report:
    """Say what `convert` would do with the same arguments; no weight is read and no layer made.

    A report is given for a model that `convert` refuses too; it says so first, and lists the
    obstacles.

    Args:
        model: As of `convert`.
        pooling: As of `convert`.
        head: As of `convert`.
        strict: As of `convert`.
        input_size: As of `convert`.
        output_stride: As of `convert`.
        fold_batchnorm: As of `convert`.
        rules: As of `convert`.
        verify: Make the conversion after all, where it is lossless, and add how the two compare.

    Raises:
        ConversionError: An `input_size` was given, but layers fit one size only; or an
            `output_stride`, but layers stand in its way.
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
        output_stride=output_stride,
    )
    found = obstacles(plan)
    result = shown = plan
    if input_size is not None and not (strict and found and output_stride is None):
        result = maps_of(plan, input_size, output_stride)
        # what a free size costs nobody can count: the rows are of the model's own size
        shown = _at_own_size(plan, output_stride) if input_size == "any" else result
    where = None if found else _geometry(plan, shown)
    verification = None
    if verify and plan.lossless and not (strict and found) and not not_made(plan.after):
        verification = verify_plan(plan, result, model if is_live(model) else None)
    rows = rows_of(shown)
    totals = totals_of(shown, rows)
    return Report(result, plan, strict, rows, totals, found, input_size, where, verification)


def _geometry(plan: Plan, shown: Plan) -> Geometry | None:
    """Work out where the cells look: of a finer map, or of the map at the model's own size."""
    if shown.output_stride is None:
        return graph_geometry(plan.after)
    return graph_geometry(shown.after, plan.after)


def _at_own_size(plan: Plan, output_stride: OutputStride | None) -> Plan:
    own = at_own_size(plan)
    return own if output_stride is None else at_output_stride(own, output_stride, free=True)
