"""The forms in which a report is printed and written."""

from __future__ import annotations

import json
from collections.abc import Callable
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


def printed_form(forms: list[str], as_json: bool, output: Path | None) -> str:
    """Say which form is asked for in print, "" for that of a terminal."""
    given = [f"--{form}" for form in forms]
    given += ["--json"] * as_json + ["--output"] * (output is not None)
    if forms and len(given) > 1:
        raise OptionError(f"{' and '.join(given)}: a report has one form at a time; choose one")
    return forms[0] if forms else ""


def write_report(report: Report, output: Path) -> None:
    """Write a report in the form that the end of the file's name asks for."""
    written = FORMS[output.suffix](report)
    if isinstance(written, bytes):
        save_bytes(written, output)
    else:
        save_text(written, output)
