"""What the command line says, and how it ends: results on stdout, errors in one message on stderr.

That nobody reads a result changes no exit status: that tells what was done.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from allconv.check import ShapeCheck
from allconv.cli.statuses import ERROR, INTERRUPTED
from allconv.cli.terminal import is_unread, no_longer_read, page, prepare_streams
from allconv.cli.words import in_options
from allconv.errors import AllconvError, FileError, lack_of_memory
from allconv.report import Report
from allconv.reporting.text_table import printable

UNPROVED = (
    "exit status 3: the file is written, and the comparison could not tell whether it is right; "
    "--allow-unverified makes it 0"
)


PYTHON_ALONE = {
    "calibrate": "; here it is 'allconv convert FILE --calibrate IMAGES'",
    "distill": "",
    "export_onnx": "; here it is 'allconv export FILE -o OUT.onnx'",
    "freeze_fixed": "",
    "is_all_convolutional": "; here it is 'allconv report FILE --exit-code'",
    "overlay": "",
    "segmenter": "",
}
"""Functions that are no commands, and what does the same here, if anything does."""


class Failure(click.ClickException):
    """One message on stderr and exit status 2, in place of a traceback."""

    exit_code = ERROR


class Commands(click.Group):
    """Commands whose foreseen errors are told in one message."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command line and end the program, unless `standalone_mode` is false."""
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
        except Exception as error:  # `invoke` lets it through only where its traceback is asked for
            traceback.print_exception(error)
            sys.exit(ERROR)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the words of a command line."""
        with _help_may_be_unread():
            return super().make_context(*args, **extra)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find a command; say of what only Python has that it is Python's."""
        name = args[0]
        if name in PYTHON_ALONE and name not in self.commands:
            also = PYTHON_ALONE[name]
            ctx.fail(f"No such command {name!r}. It is Python's: allconv.{name}(...){also}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            with _help_may_be_unread():
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if ctx.params["traceback"]:
                raise
            raise Failure(message_of(error, ctx.invoked_subcommand)) from error


@contextmanager
def _help_may_be_unread() -> Iterator[None]:
    """Let click's own words end with status 0 where nobody reads them."""
    try:
        yield
    except BrokenPipeError:
        no_longer_read(sys.stdout)
        raise click.exceptions.Exit(0) from None


def message_of(error: Exception, command: str | None) -> str:
    """Say what went wrong."""
    if isinstance(error, AllconvError):
        return error_words(error)
    if lack := lack_of_memory(error):
        return printable(lack)
    what = printable(f"{type(error).__name__}: {error}")[:200]
    return (
        f"allconv itself failed ({what}); please report it with what 'allconv "
        f"--traceback {command} ...' prints"
    )


def error_words(error: AllconvError) -> str:
    """Say what an error says, with its advice in the words of the command line."""
    message = in_options(str(error))
    return "\n".join(map(printable, message.splitlines()))


def _tell(error: click.ClickException) -> None:
    """Show an error, if anybody reads it."""
    try:
        error.show()
    except OSError:
        no_longer_read(sys.stderr)


def laid_out(result: Report | ShapeCheck) -> str:
    """Lay out a result for the width of the terminal."""
    on = page()
    return result.to_text(on.width, on.color, on.whole)


def show(text: object) -> None:
    """Print a text with the colours that it has; whether it has any was for `page` to say.

    Raises:
        FileError: Where it goes is full.
    """
    try:
        click.echo(text, color=True)
    except OSError as error:
        no_longer_read(sys.stdout)
        if not is_unread(error):
            raise FileError(f"the output cannot be written: {error.strerror or error}") from error
