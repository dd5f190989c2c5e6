"""The rows of a report for other programs: CSV, and a table of pandas."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from allconv.errors import OptionError, lacking
from allconv.reporting.facts import Facts
from allconv.reporting.rows import Row
from allconv.reporting.text_table import printable, shape_words

if TYPE_CHECKING:
    import pandas

NAMES = tuple(field.name for field in fields(Row))
SHAPES = ("output_shape", "output_shape_after")
FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def as_csv(report: Facts) -> str:
    """Write the rows as CSV: a line for each layer, under the names of their attributes."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(NAMES)
    for row in report.rows:
        lines.writerow(_field(name, getattr(row, name)) for name in NAMES)
    return text.getvalue()


def as_dataframe(report: Facts) -> pandas.DataFrame:
    """Return the rows as a table of pandas, as they are; unknown counts are `<NA>`."""
    try:
        import pandas
    except ImportError as error:
        raise OptionError(
            f"{lacking('pandas', error)}, and to_dict() and to_csv() need no package"
        ) from error
    table = pandas.DataFrame([asdict(row) for row in report.rows], columns=list(NAMES))
    counts = [name for name in NAMES if name.startswith(("parameters", "multiply"))]
    return table.astype(dict.fromkeys(counts, "Int64"))


def _field(name: str, value: Any) -> str:
    """Write a value for CSV: shapes as `28x28x16`, several words as one, unknown ones empty."""
    if value is None:
        return ""
    if name in SHAPES:
        return shape_words(value)
    text = printable("; ".join(value) if isinstance(value, tuple) else str(value))
    return f"'{text}" if text.startswith(FORMULAS) else text
