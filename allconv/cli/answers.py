"""How a command answers: text or JSON on stdout, and one exit status; for one FILE or several."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from allconv.cli.messages import UNPROVED, error_words, show
from allconv.cli.statuses import COULD_NOT_TELL, DONE, ERROR, NO, STATUS_OF, WORST_FIRST
from allconv.cli.words import in_options
from allconv.errors import AllconvError
from allconv.report import Report
from allconv.reporting.text_table import printable

JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@dataclass(frozen=True)
class Answer:
    """What a command found of one FILE.

    Attributes:
        text: In words.
        data: As plain data.
        status: The exit status.
    """

    text: str
    data: Mapping[str, Any]
    status: int = DONE


def answer(given: Answer, as_json: bool) -> None:
    """Show an answer and end with its status."""
    show(json.dumps(given.data, indent=2) if as_json else in_options(given.text))
    _end([given])


def answer_each(files: Sequence[Path], find: Callable[[Path], Answer], as_json: bool) -> None:
    """Answer for each of several files, and end with the worst status.

    An error of one does not keep the others from being answered. As JSON, they are one list.
    """
    if len(files) == 1:
        answer(find(files[0]), as_json)
        return
    answers = []
    for file in files:
        given = _answer_or_error(file, find)
        answers.append(given)
        if not as_json and given.status != ERROR:
            show(f"{printable(str(file))}:\n{in_options(given.text)}\n")
    if as_json:
        show(json.dumps([each.data for each in answers], indent=2))
    _end(answers)


def _answer_or_error(file: Path, find: Callable[[Path], Answer]) -> Answer:
    try:
        found = find(file)
    except AllconvError as error:
        if click.get_current_context().find_root().params["traceback"]:
            raise
        words = error_words(error)
        click.echo(f"Error: {words}", err=True)
        return Answer(words, {"file": str(file), "error": words}, ERROR)
    return Answer(found.text, {"file": str(file), **found.data}, found.status)


def written(text: str, data: Mapping[str, Any], is_unproved: bool, is_allowed: bool) -> Answer:
    """Answer for a command that has written a file; with status 3 where nothing proves it right."""
    if is_unproved and not is_allowed:
        return Answer(f"{text}\n{UNPROVED}", data, COULD_NOT_TELL)
    return Answer(text, data)


def status_of(report: Report, with_exit_code: bool, with_verification: bool = False) -> int:
    """Return the exit status of a report: of its verification, or whether convert would refuse."""
    if report.verification is not None:
        return STATUS_OF[report.verification.passed]
    if with_exit_code and report.refused:
        return NO
    return COULD_NOT_TELL if with_verification and report.refused else DONE


def _end(answers: Sequence[Answer]) -> None:
    status = min((each.status for each in answers), key=WORST_FIRST.index)
    if status != DONE:
        sys.exit(status)
