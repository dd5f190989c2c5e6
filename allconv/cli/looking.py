"""The commands that look at models: `allconv report`, `check`, `geometry` and `verify`."""
# ruff: noqa: D301 -- a backspace, no backslash, tells click to leave the lines of a paragraph alone

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

import allconv
from allconv.cli.answers import JSON, Answer, answer, answer_each, status_of
from allconv.cli.convert import keras_imported
from allconv.cli.forms import FORMS, PRINTED, printed_form, write_report
from allconv.cli.images import refuse_misfit
from allconv.cli.messages import laid_out
from allconv.cli.one_command import OneCommand
from allconv.cli.options import (
    CONFIG,
    FILE,
    FILES,
    conversion_keywords,
    conversion_options,
    parse_output_stride,
    parse_size,
)
from allconv.cli.statuses import STATUS_OF
from allconv.cli.terminal import progress
from allconv.errors import OptionError
from allconv.pictures.arrays import read_arrays
from allconv.read import read
from allconv.read.file import ModelFile
from allconv.save import check_writable


@click.command(cls=OneCommand, instead={f"--{end[1:]}": f"-o report{end}" for end in FORMS})
@FILES
@conversion_options
@CONFIG
@JSON
@click.option("--markdown", is_flag=True, help="Print it as Markdown.")
@click.option("--csv", is_flag=True, help="Print its rows as CSV, for spreadsheets.")
@click.option("--latex", is_flag=True, help="Print its rows as a LaTeX table.")
@click.option(
    "-o",
    "--output",
    "outputs",
    type=FILE,
    multiple=True,
    help="Write it: .html is a page to look at, .svg, .pdf or .png the drawing of the network; or "
    ".md, .csv, .tex, .json, .txt. Repeat the option for several.",
)
@click.option("--verify", is_flag=True, help="Convert, run both models, and add the result.")
@click.option("--exit-code", is_flag=True, help="End with status 1 if convert would refuse.")
def report(
    files: tuple[Path, ...],
    config: Path | None,
    as_json: bool,
    outputs: tuple[Path, ...],
    verify: bool,
    exit_code: bool,
    **options: Any,
) -> None:
    """Show what a conversion would change and cost.

    The report goes layer by layer, and has the totals. It needs neither Keras nor TensorFlow, and
    runs no code in FILE. With --verify, both models are made and run, and the exit status is that
    of 'allconv verify'.

    \b
    Examples:
    allconv report model.keras
    allconv report model.keras --pooling pool1=conv --pooling '*=stride'
    allconv report model.keras --markdown > report.md
    allconv report model.keras --latex > layers.tex
    allconv report model.keras -o report.html -o net.svg
    """
    form = printed_form([name for name in PRINTED if options.pop(name)], as_json, outputs)
    keywords = conversion_keywords(options)
    if (outputs or form == "csv") and len(files) > 1:
        option = "--output" if outputs else "--csv"
        raise OptionError(f"{option}: a report is of one FILE; give one at a time")

    def find(file: Path) -> Answer:
        for output in outputs:
            check_writable(output, source=file, suffixes=tuple(FORMS))
        with progress() as step:
            step(f"reading {file.name}")
            graph = read(ModelFile(file, config))
            with keras_imported(step) if verify else nullcontext():
                step("working out the conversion" + (" and verifying it" if verify else ""))
                result = allconv.report(graph, verify=verify, **keywords)
        if outputs:
            text = write_report(result, outputs)
        else:
            text = PRINTED[form](result) if form else laid_out(result)
        return Answer(text, result.to_dict(), status_of(result, exit_code, verify))

    answer_each(files, find, as_json)


@click.command(cls=OneCommand)
@FILES
@CONFIG
@click.option("--input-size", metavar="HxW", help="Image size; by default the model's own.")
@JSON
def check(
    files: tuple[Path, ...], config: Path | None, input_size: str | None, as_json: bool
) -> None:
    """Work out the shapes and list what does not fit.

    It finds maps that vanish, weights and branches that do not fit, and layers that tie the model
    to one image size. Exit status: 0 if all layers fit, 1 if some do not, 3 if some are unknown.

    \b
    Examples:
    allconv check model.keras
    allconv check model.keras --input-size 200x300
    """
    size = None if input_size is None else parse_size("--input-size", input_size)

    def find(file: Path) -> Answer:
        with progress() as step:
            step(f"reading {file.name}")
            result = allconv.check(ModelFile(file, config), input_size=size)
        return Answer(laid_out(result), result.to_dict(), STATUS_OF[result.passed])

    answer_each(files, find, as_json)


@click.command(cls=OneCommand)
@click.argument("file", type=FILE)
@CONFIG
@click.option("--input-size", metavar="HxW", help="Image size, if FILE leaves it open.")
@click.option(
    "--output-stride", metavar="N|HxW", help="Stride of the class map; default: the network's own."
)
@JSON
def geometry(
    file: Path,
    config: Path | None,
    input_size: str | None,
    output_stride: str | None,
    as_json: bool,
) -> None:
    """Say where the cells of the class map look.

    The class map is what 'allconv convert FILE --input-size any' outputs. Printed are its stride
    in the image, how many pixels one cell sees, and the smallest image.

    \b
    Examples:
    allconv geometry model.keras
    allconv geometry model.keras --json
    allconv geometry model.keras --output-stride 1
    """
    size = None if input_size is None else parse_size("--input-size", input_size)
    stride = parse_output_stride(output_stride)
    with progress() as step:
        step(f"reading {file.name}")
        result = allconv.geometry(ModelFile(file, config), input_size=size, output_stride=stride)
    answer(Answer(str(result), result.to_dict()), as_json)


@click.command(cls=OneCommand)
@click.argument("original", type=FILE)
@click.argument("converted", type=FILE)
@CONFIG
@click.option(
    "--inputs",
    type=FILE,
    help="Inputs to run both models on: a .npy file, or a .npz file with an array for each "
    "input, by name. By default they are drawn at random.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the random inputs.")
@click.option(
    "--tolerance",
    type=float,
    help="Largest relative error that passes; by default what rounding can explain.",
)
@JSON
def verify(
    original: Path,
    converted: Path,
    config: Path | None,
    inputs: Path | None,
    seed: int,
    tolerance: float | None,
    as_json: bool,
) -> None:
    """Run two models on the same inputs and say whether they agree.

    Exit status: 0 if they agree, 1 if they do not, 3 if the comparison proves nothing.

    \b
    Examples:
    allconv verify model.keras fcn.keras
    allconv verify model.keras fcn.keras --inputs images.npy
    """
    arrays = None if inputs is None else read_arrays(inputs)
    with progress() as step:
        graphs = []
        for file in (ModelFile(original, config), ModelFile(converted)):
            step(f"reading {Path(file.path).name}")
            graphs.append(read(file))
        if arrays is not None and inputs is not None:
            refuse_misfit(arrays, graphs[0], inputs, "original")
        with keras_imported(step):
            step("building and running both models")
            first, second = graphs
            result = allconv.verify(first, second, arrays, seed=seed, tolerance=tolerance)
    answer(Answer(str(result), result.to_dict(), STATUS_OF[result.passed]), as_json)
