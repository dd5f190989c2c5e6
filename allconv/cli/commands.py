"""The command line: `allconv report`, `check`, `convert`, `export` and `verify`.

Importing it is light: Keras, and the backend behind it, is imported when a command needs it.
"""
# ruff: noqa: D301 -- a backspace, no backslash, tells click to leave the lines of a paragraph alone

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

import allconv
from allconv.building.untrusted import refuse_untrusted
from allconv.cli.convert import Outcome, convert_and_save, keras_imported, stays_behind
from allconv.cli.export import (
    SUFFIX,
    export_file,
    export_options,
    export_options_for,
    network_to_export,
    onnx_options,
    told,
    unproved,
    written_word,
)
from allconv.cli.messages import EXIT_STATUS, Commands, end, laid_out, show
from allconv.cli.options import (
    ALLOW_UNVERIFIED,
    CALIBRATE,
    OVERWRITE,
    conversion_keywords,
    conversion_options,
    parse_input_size,
    parse_size,
    read_arrays,
)
from allconv.cli.terminal import progress
from allconv.errors import OptionError
from allconv.obstacles import refuse_obstacles
from allconv.read import read
from allconv.read.file import ModelFile
from allconv.reporting.text_table import printable
from allconv.reporting.words import left_behind
from allconv.save import SUFFIXES, check_writable, save_text
from allconv.saving.saved_as_h5 import refuse_loss

FILE = click.Path(path_type=Path, readable=False)  # what is wrong with it is said by who opens it
CONFIG = click.option(
    "--config",
    type=FILE,
    help="For a file of weights only: the JSON that model.to_json() wrote of the model.",
)


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
    Deploy it.            allconv export fcn.keras -o fcn.onnx
    Are they the same?    allconv verify model.keras fcn.keras
    Do the shapes fit?    allconv check model.keras --input-size 200x300

    FILE is opened without Keras, and nothing in it is executed.

    Exit status: 0 done; 1 the answer is no; 2 an error; 3 a verification could not tell, and what
    was to be written is written.
    """


@main.command()
@click.argument("file", type=FILE)
@conversion_options
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--markdown", is_flag=True, help="Print it as Markdown.")
@click.option("--html", type=FILE, metavar="OUT", help="Write it as a page to look at.")
@click.option("--verify", is_flag=True, help="Convert after all, and add how the models compare.")
def report(
    file: Path,
    config: Path | None,
    as_json: bool,
    markdown: bool,
    html: Path | None,
    verify: bool,
    **options: Any,
) -> None:
    """Show what a conversion would change and cost.

    Layer by layer, and in total. Neither Keras nor TensorFlow is needed, and no code in FILE is
    run; --verify alone makes the two models, and the exit status is then that of 'allconv verify'.

    \b
    Examples:
    allconv report model.keras
    allconv report model.keras --pooling pool1=conv --pooling '*=stride'
    allconv report model.keras --markdown > report.md
    allconv report model.keras --html report.html
    """
    keywords = conversion_keywords(options)
    if as_json + markdown + (html is not None) > 1:
        raise OptionError("--json, --markdown and --html: choose one of them")
    if html is not None:
        check_writable(html, source=file, suffixes=(".html", ".htm"))
    with progress() as step:
        step(f"reading {file.name}")
        graph = read(ModelFile(file, config))
        with keras_imported(step) if verify else nullcontext():
            step("working out the conversion" + (" and verifying it" if verify else ""))
            result = allconv.report(graph, verify=verify, **keywords)
    if html is not None:
        save_text(result.to_html(), html)
        show(f"written: {html}")
    elif as_json:
        show(json.dumps(result.to_dict(), indent=2))
    else:
        show(result.to_markdown() if markdown else laid_out(result))
    if result.verification is not None:
        sys.exit(EXIT_STATUS[result.verification.passed])


@main.command()
@click.argument("file", type=FILE)
@CONFIG
@click.option("--input-size", metavar="HxW", help="Size of the image; by default the model's own.")
def check(file: Path, config: Path | None, input_size: str | None) -> None:
    """Work out the shapes and list what does not fit.

    Found are maps that vanish, weights in FILE and branches that do not fit, and layers that freeze
    the size of the image. Exit status: 0 all layers fit, 1 some do not.

    \b
    Examples:
    allconv check model.keras
    allconv check model.keras --input-size 200x300
    """
    size = None if input_size is None else parse_size("--input-size", input_size)
    with progress() as step:
        step(f"reading {file.name}")
        result = allconv.check(ModelFile(file, config), input_size=size)
    show(laid_out(result))
    sys.exit(EXIT_STATUS[result.passed])


@main.command()
@click.argument("file", type=FILE)
@click.option("-o", "--output", type=FILE, help="Where to write: .keras, .h5 or .onnx.")
@conversion_options
@onnx_options
@CONFIG
@click.option(
    "--verify/--no-verify",
    default=True,
    show_default=True,
    help="Compare the outputs of both models before writing.",
)
@ALLOW_UNVERIFIED
@OVERWRITE
@CALIBRATE
@click.option("--dry-run", is_flag=True, help="Say what would be done; needs no Keras.")
def convert(
    file: Path,
    output: Path | None,
    config: Path | None,
    verify: bool,
    allow_unverified: bool,
    overwrite: bool,
    calibrate: Path | None,
    dry_run: bool,
    **options: Any,
) -> None:
    """Convert FILE and write the result to OUTPUT.

    FILE may be of any age, also of a Keras whose files today's Keras does not open. The result is a
    plain model of today's Keras. Where the conversion should be lossless, the model that allconv
    read from FILE and the result are run on the same inputs first, and nothing is written if they
    disagree; where that cannot tell, the file is written and the exit status is 3. OUTPUT is
    complete or not there, and never FILE itself. Of an ONNX file, ONNX Runtime's numbers are
    compared with Keras' as well.

    \b
    Examples:
    allconv convert model.keras -o fcn.keras
    allconv convert old.h5 -o fcn.h5 --no-verify
    allconv convert weights.h5 --config model.json -o fcn.keras
    allconv convert model.keras -o fcn.keras --pooling conv --conv-kernel-size 3
    allconv convert model.keras -o fcn.keras --pooling conv --calibrate images.npz
    allconv convert model.keras -o fcn.keras --input-size any --fold-batchnorm
    allconv convert model.keras -o fcn.onnx --input-size any
    """
    keywords = conversion_keywords(options)
    as_onnx = export_options_for(output, options, verify)
    if output is not None:
        check_writable(output, file, (*SUFFIXES, SUFFIX), overwrite)
    elif not dry_run:
        raise OptionError("no output: add -o fcn.keras, or --dry-run to be told what would be done")
    with progress() as step:
        step(f"reading {file.name}")
        graph = read(ModelFile(file, config))
        step("working out the conversion")
        planned = allconv.report(graph, **keywords)
        if planned.refused and planned.strict:
            refuse_obstacles(planned.plan)
        refuse_untrusted(planned.plan.after)
        if output is not None:
            refuse_loss(planned.plan.after, output)
    outcome = Outcome("nothing written: --dry-run")
    if output is not None and not dry_run:
        outcome = convert_and_save(planned, output, verify, as_onnx, file.name, calibrate)
    show(planned.totals)
    for obstacle in planned.obstacles:
        show(f"stands in the way and stays: {printable(str(obstacle))}")
    if why := stays_behind(planned, output):
        show(left_behind(why))
    show(outcome.words)
    end(outcome.unproved, allow_unverified)


@main.command()
@click.argument("file", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="Where to write: .onnx.")
@click.option(
    "--input-size",
    metavar="any|HxW",
    help="Images of any size, or of one other than the model's own; outputs are maps then.",
)
@onnx_options
@CONFIG
@click.option(
    "--verify/--no-verify",
    default=True,
    show_default=True,
    help="Compare ONNX Runtime's outputs with Keras' before writing.",
)
@ALLOW_UNVERIFIED
@OVERWRITE
def export(
    file: Path,
    output: Path,
    input_size: str | None,
    config: Path | None,
    verify: bool,
    allow_unverified: bool,
    overwrite: bool,
    **options: Any,
) -> None:
    """Write FILE as an ONNX file, as it is.

    To convert it first, give 'allconv convert' an output that ends in .onnx. The file is there only
    if ONNX' checker accepts it and ONNX Runtime gives the numbers that Keras gives; its operators
    are counted. Where these numbers prove nothing, the exit status is 3.

    \b
    Examples:
    allconv export model.keras -o model.onnx
    allconv export fcn.keras -o fcn.onnx --float16
    allconv export fcn.keras -o fcn.onnx --int8 pictures/
    """
    size = parse_input_size(input_size)
    check_writable(output, file, (SUFFIX,), overwrite)
    written = written_word(output)
    as_onnx = export_options(options, verify)
    with progress() as step:
        step(f"reading {file.name}")
        network = network_to_export(read(ModelFile(file, config)), size)
        with keras_imported(step):
            step(f"exporting {file.name}")
            result = export_file(network, output, as_onnx, file.name)
    show(told(result, written))
    end(unproved(result), allow_unverified)


@main.command()
@click.argument("original", type=FILE)
@click.argument("converted", type=FILE)
@CONFIG
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
    original: Path,
    converted: Path,
    config: Path | None,
    inputs: Path | None,
    seed: int,
    tolerance: float | None,
) -> None:
    """Say whether two models compute the same.

    Both are run on the same inputs. Exit status: 0 they agree, 1 they do not, 3 nothing is proved.

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
        with keras_imported(step):
            step("building and running both models")
            first, second = graphs
            result = allconv.verify(first, second, arrays, seed=seed, tolerance=tolerance)
    show(result)
    sys.exit(EXIT_STATUS[result.passed])
