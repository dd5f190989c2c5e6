"""The options that say how pictures become what a network takes: those of a `Preprocessing`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from allconv.cli.options import Command, parse_size, with_options
from allconv.errors import OptionError
from allconv.pictures.arrays import is_picture
from allconv.pictures.preprocessing import Preprocessing

_OPTIONS = (
    click.option(
        "--scale",
        metavar="NUMBER",
        help="Pictures: what pixels, 0 to 255, are multiplied by, such as 1/255; 1 for a network "
        "that takes them as they are. One that begins with a Rescaling or Normalization needs none "
        "of these options.",
    ),
    click.option(
        "--mean",
        metavar="NUMBER,...",
        help="Pictures: what is subtracted then; one number, or one for each channel.",
    ),
    click.option(
        "--std", metavar="NUMBER,...", help="Pictures: what that is divided by, likewise."
    ),
    click.option(
        "--colour",
        metavar="rgb|bgr|gray",
        help="Pictures: their channels, in the network's order; by default rgb, or gray for one.",
    ),
    click.option(
        "--size",
        metavar="HxW",
        help="Pictures: the size that they are scaled to; by default the network's own.",
    ),
)


def picture_options(command: Command) -> Command:
    """Add the options for pictures; `parse_preprocessing` makes sense of them."""
    return with_options(command, _OPTIONS)


def parse_preprocessing(options: dict[str, Any], *sources: Path | None) -> Preprocessing | None:
    """Say what the options for pictures stand for; None where none is given.

    Args:
        options: Those of a command.
        sources: What images are read from, in the command's options; None for those not given.

    Raises:
        OptionError: One is out of its range, or no folder of pictures is read.
    """
    names = ("scale", "mean", "std", "colour", "size")
    given = {name: options[name] for name in names if options[name] is not None}
    if not given:
        return None
    if not any(source is not None and source.is_dir() for source in sources):
        raise OptionError(f"--{next(iter(given))} is for a folder of pictures, {_found(*sources)}")
    for name in given.keys() & {"scale", "mean", "std"}:
        given[name] = _numbers(f"--{name}", given[name])
    if "size" in given:
        given["size"] = _picture_size(given["size"])
    return Preprocessing(**given)


def _found(*sources: Path | None) -> str:
    """Say what is given in the place of a folder."""
    path = next(filter(None, sources), None)
    if path is None:
        return "and none is given"
    if not path.exists():
        return f"and there is no folder {path}"
    if is_picture(path):
        return f"and {path} is one picture; give the folder that holds it"
    return f"and {path} is a file; the arrays in it are taken as they are"


def _picture_size(text: str) -> tuple[int, ...]:
    size = parse_size("--size", text)
    if len(size) != 2:
        raise OptionError(f"--size: expected HEIGHTxWIDTH such as 200x300, got {text!r}")
    return size


def _numbers(option: str, text: str) -> float | tuple[float, ...]:
    """Read one number or several, each of which may be a fraction."""
    try:
        numbers = tuple(map(_number, text.split(",")))
    except (ValueError, ZeroDivisionError):
        raise OptionError(
            f"{option}: expected a number such as 0.5 or 1/255, or several with commas between "
            f"them, got {text!r}"
        ) from None
    return numbers if len(numbers) > 1 else numbers[0]


def _number(text: str) -> float:
    above, _, below = text.partition("/")
    return float(above) / float(below or 1)
