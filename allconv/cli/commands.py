"""The command line: `allconv report`, `check`, `geometry`, `convert`, `export` and `verify`.

Importing it is light: Keras, and the backend behind it, is imported when a command needs it.
"""
# ruff: noqa: D301 -- a backspace, no backslash, tells click to leave the lines of a paragraph alone

from __future__ import annotations

import click

import allconv
from allconv.cli.looking import check, geometry, report, verify
from allconv.cli.messages import Commands
from allconv.cli.writing import convert, export


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(allconv.__version__, prog_name="allconv", message="%(prog)s %(version)s")
@click.option("--traceback", is_flag=True, help="Show where in the code an error was raised.")
def main(traceback: bool) -> None:
    """Turn a Keras CNN into an all-convolutional network with the same outputs.

    \b
    Which conversion do you need?

    \b
    Class maps, or images of any size. Only Flatten and Dense layers go:
      allconv convert model.keras -o fcn.keras --pooling keep --input-size any
    No pools and no Dense layers, for an NPU, a verifier or encrypted inference:
      allconv convert model.keras -o fcn.keras
    The leanest network, fitted to your images; no labels are needed:
      allconv convert model.keras -o fcn.keras --pooling stride --calibrate x.npz

    The first two keep the outputs up to rounding. FILE is a Keras model, .keras or .h5; it is
    opened without Keras, and nothing in it is executed.

    \b
    What would change?    allconv report model.keras
    Do the outputs stay?  allconv verify model.keras fcn.keras
    How do I deploy it?   allconv export fcn.keras -o fcn.onnx
    Do the shapes fit?    allconv check model.keras --input-size 200x300
    Where do cells look?  allconv geometry model.keras

    \b
    Exit status:
      0  done
      1  the answer is no: of verify, check or report --verify; or of
         report --exit-code, if convert would refuse
      2  an error
      3  the comparison could not tell; a file is written all the same
    For several FILEs it is the first of 2, 1, 3 and 0 that one of them has.
    """


for command in (report, check, geometry, convert, export, verify):
    main.add_command(command)
