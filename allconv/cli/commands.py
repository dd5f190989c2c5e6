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


for command in (report, check, geometry, convert, export, verify):
    main.add_command(command)
