"""What the command line says: results on stdout, errors in one message on stderr."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from allconv.check import ShapeCheck
from allconv.errors import AllconvError, FileError
from allconv.report import Report
from allconv.reporting.text_table import printable
from allconv.terminal import open_closed_streams, page


class Failure(click.ClickException):
    """One message on stderr and exit status 2, in place of a traceback."""

    exit_code = 2


class Commands(click.Group):
    """Commands whose foreseen errors are told in one message."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command."""
        open_closed_streams()
        try:
            return super().invoke(ctx)
        except AllconvError as error:
            if ctx.params["traceback"]:
                raise
            # what an error tells a caller of Python to do, in the words of the command line
            message = str(error).replace("strict=False", "--no-strict")
            message = message.replace("verify=False", "--no-verify")
            raise Failure("\n".join(map(printable, message.splitlines()))) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.params["traceback"]:
                raise
            what = printable(f"{type(error).__name__}: {error}")[:200]
            raise Failure(
                f"allconv itself failed ({what}); please report it with what 'allconv --traceback "
                f"{ctx.invoked_subcommand} ...' prints"
            ) from error


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
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 -- is flushed at exit
        raise FileError(f"the output cannot be written: {error.strerror or error}") from error
