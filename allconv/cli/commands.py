"""The command line: `allconv report`, `check`, `geometry`, `convert`, `export` and `verify`.

Importing it is light: Keras, and the backend behind it, is imported when a command needs it.
"""
# ruff: noqa: D301 -- a backspace, no backslash, tells click to leave the lines of a paragraph alone

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

import allconv
from allconv.cli.answers import JSON, STATUS, Answer, answer, answer_each, status_of, written
from allconv.cli.convert import (
    Outcome,
    conversion_as_data,
    conversion_in_words,
    convert_and_save,
    keras_imported,
    planned_conversion,
    refuse_one_name,
    target_of,
)
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
from allconv.cli.messages import Commands, laid_out
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
from allconv.read import read
from allconv.read.file import ModelFile
from allconv.save import SUFFIXES, check_writable, save_text

FILES = click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, readable=False),
)
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
    Where do cells look?  allconv geometry model.keras

    FILE is opened without Keras, and nothing in it is executed.

    \b
    Exit status, of several FILEs the first that one of them has of 2, 1, 3, 0:
      0  done, and shown
      1  the answer is no: of verify, check and report --verify; of
         report --exit-code where convert would refuse
      2  an error
      3  could not tell; what was to be written is written
    """


@main.command()
@FILES
@conversion_options
@CONFIG
@JSON
@click.option("--markdown", is_flag=True, help="Print it as Markdown.")
@click.option("--html", type=FILE, metavar="OUT", help="Write it as a page to look at.")
@click.option("--verify", is_flag=True, help="Convert after all, and add how the models compare.")
@click.option("--exit-code", is_flag=True, help="End with status 1 where convert would refuse.")
def report(
    files: tuple[Path, ...],
    config: Path | None,
    as_json: bool,
    markdown: bool,
    html: Path | None,
    verify: bool,
    exit_code: bool,
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
    if html is not None and len(files) > 1:
        raise OptionError("--html: a page is of one FILE; give one at a time")

    def find(file: Path) -> Answer:
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
            text = f"written: {html}"
        else:
            text = result.to_markdown() if markdown else laid_out(result)
        return Answer(text, result.to_dict(), status_of(result, exit_code))

    answer_each(files, find, as_json)


@main.command()
@FILES
@CONFIG
@click.option("--input-size", metavar="HxW", help="Size of the image; by default the model's own.")
@JSON
def check(
    files: tuple[Path, ...], config: Path | None, input_size: str | None, as_json: bool
) -> None:
    """Work out the shapes and list what does not fit.

    Found are maps that vanish, weights in FILE and branches that do not fit, and layers that freeze
    the size of the image. Exit status: 0 all layers fit, 1 some do not, 3 some are not known.

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
        return Answer(laid_out(result), result.to_dict(), STATUS[result.passed])

    answer_each(files, find, as_json)


@main.command()
@click.argument("file", type=FILE)
@CONFIG
@click.option("--input-size", metavar="HxW", help="Size of the image, where FILE leaves it open.")
@JSON
def geometry(file: Path, config: Path | None, input_size: str | None, as_json: bool) -> None:
    """Say where the cells of the class map look.

    That is the map that 'allconv convert FILE --input-size any' gives: its stride in the image, how
    much of it one cell sees, and the smallest image.

    \b
    Examples:
    allconv geometry model.keras
    allconv geometry model.keras --json
    """
    size = None if input_size is None else parse_size("--input-size", input_size)
    with progress() as step:
        step(f"reading {file.name}")
        result = allconv.geometry(ModelFile(file, config), input_size=size)
    answer(Answer(str(result), result.to_dict()), as_json)


@main.command()
@FILES
@click.option(
    "-o", "--output", type=FILE, help="Where to write: .keras, .h5 or .onnx; or a folder."
)
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
@JSON
def convert(
    files: tuple[Path, ...],
    output: Path | None,
    config: Path | None,
    verify: bool,
    allow_unverified: bool,
    overwrite: bool,
    calibrate: Path | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Convert FILE and write the result to OUTPUT.

    FILE may be of any age, also of a Keras whose files today's Keras does not open. The result is a
    plain model of today's Keras. Where the conversion should be lossless, the model that allconv
    read from FILE and the result are run on the same inputs first, and nothing is written if they
    disagree; where that cannot tell, the file is written and the exit status is 3. OUTPUT is
    complete or not there, and never FILE itself; several FILEs go to a folder, as .keras files. Of
    an ONNX file, ONNX Runtime's numbers are compared with Keras' as well.

    \b
    Examples:
    allconv convert model.keras -o fcn.keras
    allconv convert old.h5 -o fcn.h5 --no-verify
    allconv convert weights.h5 --config model.json -o fcn.keras
    allconv convert model.keras -o fcn.keras --pooling conv --conv-kernel-size 3
    allconv convert model.keras -o fcn.keras --pooling conv --calibrate images.npz
    allconv convert model.keras -o fcn.keras --input-size any --fold-batchnorm
    allconv convert model.keras -o fcn.onnx --input-size any
    allconv convert old1.h5 old2.h5 -o folder
    """
    keywords = conversion_keywords(options)
    if output is None and not dry_run:
        raise OptionError("no output: add -o fcn.keras, or --dry-run to be told what would be done")
    refuse_one_name(files, output)

    def find(file: Path) -> Answer:
        target = target_of(file, output, len(files) > 1)
        as_onnx = export_options_for(target, options, verify)
        if target is not None:
            check_writable(target, file, (*SUFFIXES, SUFFIX), overwrite)
        planned = planned_conversion(ModelFile(file, config), target, keywords)
        outcome = Outcome("nothing written: --dry-run")
        if target is not None and not dry_run:
            outcome = convert_and_save(planned, target, verify, as_onnx, file.name, calibrate)
        text = conversion_in_words(planned, outcome, target)
        data = conversion_as_data(planned, outcome)
        return written(text, data, outcome.unproved, allow_unverified)

    answer_each(files, find, as_json)


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
@JSON
def export(
    file: Path,
    output: Path,
    input_size: str | None,
    config: Path | None,
    verify: bool,
    allow_unverified: bool,
    overwrite: bool,
    as_json: bool,
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
    word = written_word(output)
    as_onnx = export_options(options, verify)
    with progress() as step:
        step(f"reading {file.name}")
        network = network_to_export(read(ModelFile(file, config)), size)
        with keras_imported(step):
            step(f"exporting {file.name}")
            result = export_file(network, output, as_onnx, file.name)
    found = written(told(result, word), result.to_dict(), unproved(result), allow_unverified)
    answer(found, as_json)


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
    answer(Answer(str(result), result.to_dict(), STATUS[result.passed]), as_json)
