"""The command line: `allconv report`, `check`, `convert` and `verify`. The only file that prints.

Importing it is light: Keras, and the backend behind it, is imported when a command needs it.
"""
# ruff: noqa: D301 -- a backspace, no backslash, tells click to leave the lines of a paragraph alone

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import click

import allconv
from allconv.cli_options import conversion_keywords, conversion_options, parse_size
from allconv.errors import AllconvError, FileError, VerificationError
from allconv.quiet import keras_quiet
from allconv.read.file import check_readable, open_model
from allconv.report import Report
from allconv.save import check_writable, save_model

EXIT_STATUS = {True: 0, False: 1, None: 3}
FILE = click.Path(path_type=Path, readable=False)  # what is wrong with it is said by who opens it


class Failure(click.ClickException):
    """One message on stderr and exit status 2, in place of a traceback."""

    exit_code = 2


class Commands(click.Group):
    """Commands whose foreseen errors are told in one message."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command."""
        try:
            return super().invoke(ctx)
        except AllconvError as error:
            if ctx.params["traceback"]:
                raise
            # what an error tells a caller of Python to do, in the words of the command line
            raise Failure(str(error).replace("strict=False", "--no-strict")) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(allconv.__version__, prog_name="allconv", message="%(prog)s %(version)s")
@click.option("--traceback", is_flag=True, help="Show where in the code an error was raised.")
def main(traceback: bool) -> None:
    """Turn a Keras CNN into an all-convolutional network with the same outputs.

    Pools become depthwise convolutions and Dense layers become convolutions as large as their map;
    the weights are carried over. A FILE is a Keras model, .keras or .h5.

    \b
    What would change?    allconv report model.keras
    Change it.            allconv convert model.keras -o fcn.keras
    Are they the same?    allconv verify model.keras fcn.keras
    Do the shapes fit?    allconv check model.keras --input-size 200x300

    Exit status: 0 done; 1 the answer is no; 2 an error; 3 a verification could not tell.
    """


@main.command()
@click.argument("file", type=FILE)
@conversion_options
@click.option("--json", "form", flag_value="json", help="Print the report as JSON.")
@click.option("--markdown", "form", flag_value="markdown", help="Print it as Markdown.")
@click.option("--verify", is_flag=True, help="Convert after all, and add how the models compare.")
def report(file: Path, form: str | None, verify: bool, **options: Any) -> None:
    """Show what a conversion would change and cost.

    Layer by layer, and in total. Nothing is written.

    \b
    Examples:
    allconv report model.keras
    allconv report model.keras --pooling pool1=conv --pooling '*=stride'
    allconv report model.keras --markdown > report.md
    """
    keywords = conversion_keywords(options)
    check_readable(file)
    with keras_quiet():
        result = allconv.report(file, verify=verify, **keywords)
    if form == "json":
        click.echo(json.dumps(result.to_dict(), indent=2))
    else:
        click.echo(result.to_markdown() if form == "markdown" else str(result))


@main.command()
@click.argument("file", type=FILE)
@click.option("--input-size", metavar="HxW", help="Size of the image; by default the model's own.")
def check(file: Path, input_size: str | None) -> None:
    """Work out the shapes and list what does not fit.

    Found are maps that vanish, weights and branches that do not fit, and layers that freeze the
    size of the image. Exit status: 0 all layers fit, 1 some do not.

    \b
    Examples:
    allconv check model.keras
    allconv check model.keras --input-size 200x300
    """
    size = None if input_size is None else parse_size("--input-size", input_size)
    check_readable(file)
    with keras_quiet():
        result = allconv.check(file, input_size=size)
    click.echo(str(result))
    sys.exit(EXIT_STATUS[bool(result.ok)])


@main.command()
@click.argument("file", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="Where to write: .keras or .h5.")
@conversion_options
@click.option(
    "--verify/--no-verify",
    default=True,
    show_default=True,
    help="Compare the outputs of both models before writing.",
)
def convert(file: Path, output: Path, verify: bool, **options: Any) -> None:
    """Convert FILE and write the result to OUTPUT.

    The result is a plain Keras model. Where the conversion should be lossless, both models are run
    on the same inputs first, and nothing is written if they disagree. OUTPUT is complete or not
    there, and never FILE itself.

    \b
    Examples:
    allconv convert model.keras -o fcn.keras
    allconv convert old.h5 -o fcn.h5 --no-verify
    allconv convert model.keras -o fcn.keras --pooling conv --conv-kernel-size 3
    allconv convert model.keras -o fcn.keras --input-size any --fold-batchnorm
    """
    keywords = conversion_keywords(options)
    check_writable(output, source=file)
    check_readable(file)
    with keras_quiet():
        model = open_model(file)
        of_a_size = isinstance(keywords["input_size"], tuple)  # which the original does not take
        planned = allconv.report(model, verify=verify and of_a_size, **keywords)
        converted = allconv.convert(model, **keywords)
        verdict = verdict_on(planned, model, converted) if verify else "not verified: --no-verify"
        save_model(converted, output)
    click.echo(planned.totals)
    for obstacle in planned.obstacles:
        click.echo(f"stands in the way and stays: {obstacle}")
    click.echo(verdict)
    click.echo(f"written: {output}")


def verdict_on(planned: Report, model: Any, converted: Any) -> str:
    """The verification in one line.

    Raises:
        VerificationError: The conversion should be lossless, and the models disagree.
    """
    if not planned.lossless:
        return "not verified: this conversion does not keep the outputs; train the result"
    verification = planned.verification or allconv.verify(model, converted)
    if verification.passed is False:
        raise VerificationError(
            f"model '{model.name}' and its conversion: {verification}; nothing was written"
        )
    return str(verification)


@main.command()
@click.argument("original", type=FILE)
@click.argument("converted", type=FILE)
@click.option(
    "--inputs",
    type=FILE,
    help="Inputs to run both on: .npy, or .npz with an array for each input's name. By default "
    "they are drawn.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the inputs that are drawn.")
@click.option(
    "--tolerance",
    type=float,
    help="Largest relative error that passes; by default what rounding explains.",
)
def verify(
    original: Path, converted: Path, inputs: Path | None, seed: int, tolerance: float | None
) -> None:
    """Say whether two models compute the same.

    Both are run on the same inputs. Exit status: 0 they agree, 1 they do not, 3 nothing is proved.

    \b
    Examples:
    allconv verify model.keras fcn.keras
    allconv verify model.keras fcn.keras --inputs images.npy
    """
    arrays = None if inputs is None else read_arrays(inputs)
    for file in (original, converted):
        check_readable(file)
    with keras_quiet():
        models = open_model(original), open_model(converted)
        result = allconv.verify(*models, arrays, seed=seed, tolerance=tolerance)
    click.echo(result)
    sys.exit(EXIT_STATUS[result.passed])


def read_arrays(path: Path) -> Any:
    """The array in a `.npy` file, or the arrays in a `.npz` file by name.

    Raises:
        FileError: The file cannot be read, or holds something else.
    """
    import numpy as np

    try:
        with path.open("rb") as file:
            arrays = np.load(file, allow_pickle=False)
            return arrays if isinstance(arrays, np.ndarray) else dict(arrays)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise FileError(f"{path}: expected arrays in a .npy or .npz file: {error}") from error
