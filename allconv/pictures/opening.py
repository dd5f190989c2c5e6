"""One picture opened by Pillow, and what would have to be changed to give it to a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from allconv.errors import FileError, lacking

ORIENTATION = 0x0112
"""The tag by which a camera says how a picture is to be turned."""
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""What Pillow calls pictures of so many channels."""

_GREY = ("1", "L", "LA", "La")
_COLOURED = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX")
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")


def refuse_missing_pillow(folder: Path) -> None:
    """Raise a FileError where Pillow is not installed."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise FileError(
            f"{folder}: {lacking('Pillow, which reads pictures,', error, 'pillow')}, or give "
            "arrays in a .npz file"
        ) from error


def opened(file: Path, decode: bool) -> Any:
    """Open a picture with Pillow.

    Args:
        file: Where it is.
        decode: Read its pixels, too, and not only its first bytes.

    Raises:
        FileError: It is none, or has more than 8 bits for each number.
    """
    from PIL import Image as pillow

    try:
        with pillow.open(file) as picture:
            _refuse_more_bits(file, picture)
            if decode:
                picture.load()
            return picture
    except FileError:
        raise
    except (OSError, SyntaxError, ValueError, pillow.DecompressionBombError) as error:
        raise FileError(f"{file}: is no picture that Pillow can read: {error}") from error


def _refuse_more_bits(file: Path, picture: Any) -> None:
    """Raise a FileError where Pillow would cut numbers at 255, or leave out their lower bits."""
    words = [str(part[-1]) for part in picture.tile]
    if picture.mode.startswith(("I", "F")) or any(";16" in each for each in words):
        raise FileError(
            f"{file}: has more than 8 bits for each number, and pictures are read as numbers from "
            "0 to 255; save it with 8 bits, or give arrays in a .npz file"
        )


def changes(picture: Any, mode: str) -> Iterator[str]:
    """Say what is done to a picture where a network takes the colours of a mode."""
    has_alpha = picture.mode in _WITH_ALPHA or "transparency" in picture.info
    if picture.mode not in (*_GREY, *_COLOURED):
        yield f"{picture.mode} colours, converted to red, green and blue"
    if picture.mode in _GREY and mode != "L":
        yield "grey, the same number given for red, green and blue"
    if picture.mode not in _GREY and mode == "L":
        yield "in colour, made grey"
    if _is_on_its_side(picture):
        yield "to be turned by their EXIF data, taken as they are stored"
    if has_alpha and mode != "RGBA":
        yield "with an alpha channel, which was left out"
    if mode == "RGBA" and not has_alpha:
        yield "without an alpha channel, given one of 255"


def _is_on_its_side(picture: Any) -> bool:
    """Tell whether the camera says that a picture is to be turned or mirrored to be looked at."""
    from PIL import Image as pillow

    if "exif" not in picture.info:
        return False
    exif = pillow.Exif()
    exif.load(picture.info["exif"])
    return bool(exif.get(ORIENTATION, 1) != 1)
