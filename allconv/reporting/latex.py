r"""The report as a table for LaTeX, set with booktabs; `\usepackage{booktabs}` is all it needs."""

from __future__ import annotations

import re

from allconv.reporting.columns import count_cells, layer_cells, total_cells
from allconv.reporting.facts import Facts
from allconv.reporting.rows import Row
from allconv.reporting.text_table import printable
from allconv.reporting.words import refusal, title

COLUMNS = "rlllllrrrr"
HEAD = (
    (*[""] * 6, r"\multicolumn{2}{c}{parameters}", r"\multicolumn{2}{c}{multiply-accumulates}"),
    (r"\#", "layer", "class", "output", "becomes", "output after", *["before", "after"] * 2),
)
ESCAPES = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{character: f"\\{character}" for character in "{}$&#%_"},
}


def as_latex(report: Facts) -> str:
    """Write the report as a `tabular`, one row for each layer and one for the totals."""
    said = [title(report), *refusal(report)]
    rows = [_cells(row) for row in report.rows]
    totals = [cell.text for cell in total_cells(report)]
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            *(f"% {printable(words)}" for words in said),
            f"\\begin{{tabular}}{{{COLUMNS}}}",
            r"\toprule",
            _row(HEAD[0]),
            r"\cmidrule(lr){7-8}\cmidrule(lr){9-10}",
            _row(HEAD[1]),
            r"\midrule",
            *map(_row, rows),
            r"\midrule",
            _row(["", "total", "", "", "", "", *totals]),
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def escaped(text: str) -> str:
    r"""Escape a text, so that LaTeX takes no character for a command: `conv\_1` for `conv_1`."""
    return "".join(ESCAPES.get(character, character) for character in printable(text))


def _cells(row: Row) -> list[str]:
    position, layer, *others = layer_cells(row)
    return [position, escaped(layer), *map(_cell, others), *count_cells(row)]


def _cell(text: str) -> str:
    """Write a cell, with a proper sign between the sizes of shapes and windows."""
    return re.sub(r"(?<![\w\\])(?:\d+|\?)(?:x(?:\d+|\?))+", _times, escaped(text))


def _times(sizes: re.Match[str]) -> str:
    return sizes[0].replace("x", r"$\times$")


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"{' & '.join(cells)} \\\\"
