"""The options that `allconv report` and `allconv convert` share, and what they mean to Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from allconv.dense_maps.strides import OutputStride
from allconv.errors import OptionError
from allconv.resize import InputSize
from allconv.strategies import ConvPool, Pooling, Strategy

Command = TypeVar("Command", bound=Callable[..., Any])

FILE = click.Path(path_type=Path, readable=False)  # what is wrong with it is said by who opens it
FILES = click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FILE)
CONFIG = click.option(
    "--config",
    type=FILE,
    help="The JSON that model.to_json() wrote, if the file holds only weights.",
)

_OPTIONS = (
    click.option(
        "--pooling",
        multiple=True,
        metavar="[NAME=]STRATEGY",
        help="How to convert max pools. exact, the default, keeps the outputs; conv and stride "
        "need fitting or training; keep leaves all pools alone, average and global ones, too. "
        "NAME=STRATEGY is for one layer, '*=STRATEGY' for all that are not named; repeat the "
        "option as needed.",
    ),
    click.option(
        "--conv-kernel-size",
        metavar="N|HxW",
        help="With --pooling conv: kernel size of the new convolutions; by default the pool's.",
    ),
    click.option(
        "--conv-padding",
        type=click.Choice(["keep", "valid", "same"]),
        help="With --pooling conv: their padding. keep, the default, keeps the sizes of the maps.",
    ),
    click.option(
        "--conv-activation",
        metavar="NAME",
        help="With --pooling conv: their activation; by default relu.",
    ),
    click.option(
        "--conv-filters",
        type=click.IntRange(1),
        metavar="N",
        help="With --pooling conv: their filters; by default as many as the pool has channels. "
        "With another number their weights start fresh, to be trained.",
    ),
    click.option(
        "--head",
        type=click.Choice(["dense", "classifier", "keep"]),
        default="dense",
        show_default=True,
        help="How to convert Dense layers. dense turns each into a convolution with the same "
        "outputs; classifier replaces all of them by one fresh convolution, to be trained; keep "
        "leaves them alone.",
    ),
    click.option(
        "--input-size",
        metavar="any|HxW",
        help="Make a model that takes images of any size, or of this one, and gives class maps.",
    ),
    click.option(
        "--output-stride",
        metavar="N|HxW",
        help="With --input-size: the stride of the class map, 1 for one at every pixel; by default "
        "the network's own.",
    ),
    click.option(
        "--fold-batchnorm",
        is_flag=True,
        help="Fold each BatchNormalization into the convolution before it; outputs stay the same.",
    ),
    click.option(
        "--strict/--no-strict",
        default=True,
        show_default=True,
        help="Refuse a model with layers that cannot be converted, or leave these as they are.",
    ),
)


CALIBRATE = click.option(
    "--calibrate",
    type=FILE,
    metavar="IMAGES",
    help="With strategy conv or stride: fit the new layers to images, in a folder of pictures, or "
    "in arrays in a .npy or .npz file, as the model takes them; no labels are needed, and a few "
    "hundred do.",
)


def verify_option(compared: str) -> Callable[[Command], Command]:
    """Make the option that leaves out a comparison; its help says what is compared."""
    return click.option(
        "--verify/--no-verify",
        default=True,
        show_default=True,
        help=f"Compare {compared} before writing.",
    )


ALLOW_UNVERIFIED = click.option(
    "--allow-unverified",
    is_flag=True,
    help="End with status 0, not 3, if the comparison could not tell. The file is written anyway.",
)


OVERWRITE = click.option(
    "--overwrite/--no-overwrite",
    default=True,
    show_default=True,
    help="Replace a file that exists, or leave it as it is and end with status 2.",
)


def with_options(command: Command, options: Sequence[Callable[[Command], Command]]) -> Command:
    """Add further options to a command, shown in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def conversion_options(command: Command) -> Command:
    """Add the options that say how to convert; `conversion_keywords` makes sense of them."""
    return with_options(command, _OPTIONS)


def conversion_keywords(options: dict[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of `allconv.convert` that the options of a command stand for."""
    conv = {
        name.removeprefix("conv_"): value
        for name, value in options.items()
        if name.startswith("conv_") and value is not None
    }
    pooling = parse_pooling(options["pooling"], conv)
    return {
        "pooling": pooling,
        "head": options["head"],
        "strict": options["strict"],
        "fold_batchnorm": options["fold_batchnorm"],
        "input_size": parse_input_size(options["input_size"]),
        "output_stride": parse_output_stride(options["output_stride"]),
    }


def parse_pooling(choices: Sequence[str], conv: dict[str, Any]) -> Pooling:
    """Read what `allconv.convert(pooling=...)` takes from the words of the command line.

    Args:
        choices: Words such as `"exact"`, `"pool1=conv"` or `"*=stride"`.
        conv: Arguments of `ConvPool` that were given, for every pool of strategy `conv`.

    Raises:
        OptionError: Two choices for the same pools, or arguments for `conv` where nothing uses it.
    """
    words: dict[str, str] = {}
    for choice in choices:
        name, _, word = choice.rpartition("=")
        if (name or "*") in words:
            pools = "all pools" if name in ("", "*") else f"'{name}'"
            raise OptionError(f"--pooling: two strategies for {pools}")
        words[name or "*"] = word
    if conv and "conv" not in words.values():
        option = next(iter(conv)).replace("_", "-")
        raise OptionError(f"--conv-{option}: no pool has strategy conv; add --pooling conv")
    if "kernel_size" in conv:
        size = parse_size("--conv-kernel-size", conv["kernel_size"])
        conv = {**conv, "kernel_size": size if len(size) > 1 else size[0]}
    chosen: dict[str, str | Strategy] = {
        name: ConvPool(**conv) if word == "conv" else word for name, word in words.items()
    }
    # `allconv.convert` refuses a word that is no strategy
    return cast("Pooling", chosen if chosen.keys() - {"*"} else chosen.get("*", "exact"))


def parse_input_size(text: str | None) -> InputSize | None:
    """Read what `allconv.convert(input_size=...)` takes from the words of the command line."""
    if text is None:
        return None
    if text == "any":
        return "any"
    return parse_size("--input-size", text, "any or ")


def parse_output_stride(text: str | None) -> OutputStride | None:
    """Return what `allconv.convert(output_stride=...)` takes, from the command line's words."""
    if text is None:
        return None
    strides = parse_size("--output-stride", text, "a number such as 1, or one for each axis as ")
    return strides if len(strides) > 1 else strides[0]


def parse_size(option: str, text: str, words: str = "") -> tuple[int, ...]:
    """Read `"HEIGHTxWIDTH"`, or one number for a model of sequences, three for one of volumes.

    Args:
        option: The option that the text is given for.
        text: What is to be read.
        words: What else the option takes, for the message.

    Raises:
        OptionError: The text is something else.
    """
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){0,2}", text):
        raise OptionError(f"{option}: expected {words}HEIGHTxWIDTH such as 200x300, got {text!r}")
    return tuple(map(int, text.split("x")))
