"""Options that the command lines of several examples share."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any


def parser_of(description: str) -> argparse.ArgumentParser:
    """Make a parser whose help tells each option's default."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )


TRAINING = ("epochs", "steps_per_epoch", "batch_size", "augment", "whole_epochs")
"""Options of `add_training` that are settings of a run, by the same names."""


def add_training(parser: argparse.ArgumentParser, out: Path, **defaults: Any) -> None:
    """Add how long is trained, on what batches, how often, and where the results go."""
    add = parser.add_argument
    add("--epochs", type=at_least_one, help="passes, or as many times --steps-per-epoch")
    add("--steps-per-epoch", type=at_least_one, metavar="STEPS", help="batches to an epoch")
    add("--batch-size", type=at_least_one, metavar="IMAGES", help="images to a batch")
    add("--seeds", type=not_negative, nargs="+", default=[0], metavar="SEED", help="a run for each")
    add("--augment", action=argparse.BooleanOptionalAction, help="shift images (and mirror photos)")
    add("--whole-epochs", action="store_true", help="JAX: each epoch as one program on the device")
    add("--out", type=Path, metavar="FOLDER", default=out, help="what is written")
    parser.set_defaults(**{"augment": False} | defaults)


def training_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that `add_training` added, by name."""
    return {name: getattr(options, name) for name in TRAINING}


def add_data(parser: argparse.ArgumentParser, files: str) -> None:
    """Add the folder that holds the data."""
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help=f"folder that holds {files}; else a download"
    )


def at_least_one(text: str) -> int:
    """Read a whole number above zero."""
    return whole_number(text, 1)


def not_negative(text: str) -> int:
    """Read a whole number from zero."""
    return whole_number(text, 0)


def above_zero(text: str) -> float:
    """Read a number above zero.

    Raises:
        argparse.ArgumentTypeError: It is not.
    """
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def whole_number(text: str, least: int) -> int:
    """Read the number that a text is.

    Raises:
        argparse.ArgumentTypeError: It is none, or less than `least`.
    """
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least}")
    return int(text)
