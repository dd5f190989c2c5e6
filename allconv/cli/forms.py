"""The forms in which a report is printed and written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from allconv.errors import OptionError
from allconv.report import Report
from allconv.save import save_bytes, save_text

FORMS: dict[str, Callable[[Report], str | bytes]] = {
    ".html": lambda result: result.to_html(),
    ".htm": lambda result: result.to_html(),
    ".md": lambda result: f"{result.to_markdown()}\n",
    ".csv": lambda result: result.to_csv(),
    ".tex": lambda result: f"{result.to_latex()}\n",
    ".svg": lambda result: result.to_svg(),
    ".pdf": lambda result: result.to_pdf(),
    ".png": lambda result: result.to_png(),
    ".json": lambda result: f"{json.dumps(result.to_dict(), indent=2)}\n",
    ".txt": lambda result: f"{result}\n",
}
"""What a report is written as, by the end of the file's name."""

PRINTED: dict[str, Callable[[Report], str]] = {
    "markdown": lambda result: result.to_markdown(),
    "csv": lambda result: result.to_csv().rstrip("\n"),
    "latex": lambda result: result.to_latex(),
}
"""What a report is printed as, by the option that asks for it."""


def printed_form(forms: list[str], as_json: bool, outputs: Sequence[Path]) -> str:
    """Say which form is asked for in print, "" for that of a terminal."""
    given = [f"--{form}" for form in forms]
    given += ["--json"] * as_json + ["--output"] * bool(outputs)
    if forms and len(given) > 1:
        raise OptionError(f"{' and '.join(given)}: a report has one form at a time; choose one")
    return forms[0] if forms else ""


def write_report(report: Report, outputs: Sequence[Path]) -> str:
    """Write a report in the forms that the ends of the files' names ask for; say so in lines.

    No file is written before all forms are made: making one may fail, as that of a PNG file.
    """
    made = [FORMS[output.suffix](report) for output in outputs]
    for content, output in zip(made, outputs, strict=True):
        if isinstance(content, bytes):
            save_bytes(content, output)
        else:
            save_text(content, output)
    return "\n".join(f"written: {output}" for output in outputs)
