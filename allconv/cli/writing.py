"""The commands that write models: `allconv convert` and `export`."""
# ruff: noqa: D301 -- a backspace, no backslash, tells click to leave the lines of a paragraph alone

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from allconv.cli.answers import JSON, Answer, answer, answer_each, written
from allconv.cli.convert import (
    ENDS,
    Outcome,
    conversion_as_data,
    conversion_in_words,
    convert_and_save,
    keras_imported,
    planned_conversion,
    refuse_fitting,
    refuse_one_name,
    target_of,
)
from allconv.cli.export import (
    SUFFIX,
    export_file,
    export_in_words,
    export_options,
    export_options_for,
    int8_images,
    network_to_export,
    onnx_options,
    unproved,
    written_word,
)
from allconv.cli.images import given_images
from allconv.cli.one_command import OneCommand
from allconv.cli.options import (
    ALLOW_UNVERIFIED,
    CALIBRATE,
    CONFIG,
    FILE,
    FILES,
    OVERWRITE,
    conversion_keywords,
    conversion_options,
    parse_input_size,
    parse_output_stride,
    verify_option,
)
from allconv.cli.pictures import parse_preprocessing, picture_options
from allconv.cli.terminal import progress
from allconv.errors import OptionError
from allconv.read import read
from allconv.read.file import ModelFile
from allconv.save import check_writable


@click.command(cls=OneCommand, instead={"--onnx": "-o fcn.onnx"})
@FILES
@click.option(
    "-o", "--output", type=FILE, help="The .keras, .h5 or .onnx file to write, or a folder."
)
@conversion_options
@onnx_options
@CONFIG
@verify_option("the outputs of both models")
@ALLOW_UNVERIFIED
@OVERWRITE
@CALIBRATE
@picture_options
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

    FILE may come from Keras 1, 2 or 3; the result is a plain model of today's Keras.

    Where the outputs should stay the same, both models are run on the same inputs before anything
    is written. If they disagree, nothing is written. If the comparison cannot tell, the file is
    written and the exit status is 3. ONNX Runtime's outputs are compared with Keras' as well.

    OUTPUT is written as a whole or not at all, and never over FILE. Several FILEs go to a folder,
    as .keras files.

    \b
    Examples:
    allconv convert model.keras -o fcn.keras
    allconv convert old.h5 -o fcn.h5 --no-verify
    allconv convert weights.h5 --config model.json -o fcn.keras
    allconv convert model.keras -o fcn.keras --pooling conv --conv-kernel-size 3
    allconv convert model.keras -o fcn.keras --pooling conv --calibrate images.npz
    allconv convert model.keras -o fcn.keras --pooling conv --calibrate pictures/ --scale 1/255
    allconv convert model.keras -o fcn.keras --input-size any --fold-batchnorm
    allconv convert model.keras -o fcn.onnx --input-size any
    allconv convert model.keras -o dense.keras --input-size any --output-stride 1
    allconv convert old1.h5 old2.h5 -o folder
    """
    keywords = conversion_keywords(options)
    if output is None and not dry_run:
        raise OptionError("no output: add -o fcn.keras, or --dry-run to see what would be done")
    refuse_one_name(files, output)
    preprocessing = parse_preprocessing(options, options["int8"], calibrate)

    def find(file: Path) -> Answer:
        target = target_of(file, output, len(files) > 1)
        as_onnx = export_options_for(target, options, verify, preprocessing)
        if target is not None:
            check_writable(target, file, ENDS, overwrite)
        planned = planned_conversion(ModelFile(file, config), target, keywords)
        refuse_fitting(planned, calibrate)
        images = given_images(calibrate, preprocessing, planned.own_plan.before)
        int8 = int8_images(as_onnx, planned.plan.after)
        outcome = Outcome("nothing written: --dry-run")
        if target is not None and not dry_run:
            outcome = convert_and_save(planned, target, verify, as_onnx, file.name, images, int8)
        text = conversion_in_words(planned, outcome, target)
        data = conversion_as_data(planned, outcome)
        return written(text, data, outcome.unproved, allow_unverified)

    answer_each(files, find, as_json)


@click.command(cls=OneCommand)
@click.argument("file", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="The .onnx file to write.")
@click.option(
    "--input-size",
    metavar="any|HxW",
    help="Take images of any size, or of this one; the outputs are then maps.",
)
@click.option(
    "--output-stride",
    metavar="N|HxW",
    help="With --input-size: the stride of the maps; by default the network's own.",
)
@onnx_options
@CONFIG
@verify_option("ONNX Runtime's outputs with Keras'")
@ALLOW_UNVERIFIED
@OVERWRITE
@picture_options
@JSON
def export(
    file: Path,
    output: Path,
    input_size: str | None,
    output_stride: str | None,
    config: Path | None,
    verify: bool,
    allow_unverified: bool,
    overwrite: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Write FILE as an ONNX file, without converting it.

    To convert and export in one step, give 'allconv convert' an output that ends in .onnx.

    The file is written only if ONNX' checker accepts it and ONNX Runtime gives the same outputs as
    Keras. Where that comparison proves nothing, the exit status is 3.

    \b
    Examples:
    allconv export model.keras -o model.onnx
    allconv export fcn.keras -o fcn.onnx --float16
    allconv export fcn.keras -o fcn.onnx --int8 pictures/
    allconv export fcn.keras -o fcn.onnx --int8 pictures/ --scale 1/255
    """
    size, stride = parse_input_size(input_size), parse_output_stride(output_stride)
    check_writable(output, file, (SUFFIX,), overwrite)
    preprocessing = parse_preprocessing(options, options["int8"])
    as_onnx, word = export_options(options, verify, preprocessing), written_word(output)
    with progress() as step:
        step(f"reading {file.name}")
        network = network_to_export(read(ModelFile(file, config)), size, stride)
        images = int8_images(as_onnx, network)
        with keras_imported(step):
            step(f"exporting {file.name}")
            result = export_file(network, output, as_onnx, file.name, images)
    found = written(
        export_in_words(result, word), result.to_dict(), unproved(result), allow_unverified
    )
    answer(found, as_json)
