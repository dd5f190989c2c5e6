"""What the command line says, and how it ends: results on stdout, errors in one message on stderr.

That nobody reads a result changes no exit status: that tells what was done.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from allconv.check import ShapeCheck
from allconv.cli.terminal import is_unread, no_longer_read, page, prepare_streams
from allconv.errors import AllconvError, FileError, lack_of_memory
from allconv.report import Report
from allconv.reporting.text_table import printable

EXIT_STATUS = {True: 0, False: 1, None: 3}
INTERRUPTED = 130
"""What a shell calls the end by Ctrl-C."""
UNPROVED = (
    "exit status 3: the file is written, and the comparison could not tell whether it is right; "
    "--allow-unverified makes it 0"
)


class Failure(click.ClickException):
    """One message on stderr and exit status 2, in place of a traceback."""

    exit_code = 2


class Commands(click.Group):
    """Commands whose foreseen errors are told in one message."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Runs a command line and ends the program, unless `standalone_mode` is false."""
        prepare_streams()
        run: Callable[..., Any] = super().main
        if not extra.pop("standalone_mode", True):
            return run(*args, standalone_mode=False, **extra)
        try:
            sys.exit(run(*args, standalone_mode=False, **extra) or 0)
        except click.ClickException as error:
            _tell(error)
            sys.exit(error.exit_code)
        except click.Abort:
            sys.exit(INTERRUPTED)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Reads the words of a command line."""
        with _help_may_be_unread():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command."""
        try:
            with _help_may_be_unread():
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if ctx.params["traceback"]:
                raise
            raise Failure(_message(error, ctx.invoked_subcommand)) from error


@contextmanager
def _help_may_be_unread() -> Iterator[None]:
    """Lets click's own words end with status 0 where nobody reads them."""
    try:
        yield
    except BrokenPipeError:
        no_longer_read(sys.stdout)
        raise click.exceptions.Exit(0) from None


def _message(error: Exception, command: str | None) -> str:
    """What is said of an error."""
    if isinstance(error, AllconvError):
        # what an error tells a caller of Python to do, in the words of the command line; within a
        # call of Python it stays
        message = re.sub(r"(?<!, )strict=False", "--no-strict", str(error))
        message = message.replace("verify=False", "--no-verify")
        return "\n".join(map(printable, message.splitlines()))
    if lack := lack_of_memory(error):
        return printable(lack)
    what = printable(f"{type(error).__name__}: {error}")[:200]
    return (
        f"allconv itself failed ({what}); please report it with what 'allconv "
        f"--traceback {command} ...' prints"
    )


def _tell(error: click.ClickException) -> None:
    """Shows an error, if anybody reads it."""
    try:
        error.show()
    except OSError:
        no_longer_read(sys.stderr)


def end(is_unproved: bool, allowed: bool) -> None:
    """Ends a command that has written a file: with status 3 where nothing proves it right."""
    if is_unproved and not allowed:
        show(UNPROVED)
        sys.exit(EXIT_STATUS[None])


def laid_out(result: Report | ShapeCheck) -> str:
    """A result as the terminal has room for it."""
    on = page()
    return result.to_text(on.width, on.color)


def show(text: object) -> None:
    """Prints a text with what colours it has; whether it has any was for `page` to say.

    Raises:
        FileError: Where it goes is full.
    """
    try:
        click.echo(text, color=True)
    except OSError as error:
        no_longer_read(sys.stdout)
        if not is_unread(error):
            raise FileError(f"the output cannot be written: {error.strerror or error}") from error
