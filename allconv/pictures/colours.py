"""Colours for numbers, and arrays of images as pictures of three colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from allconv.errors import OptionError

Colours = Sequence[tuple[int, int, int]]

VIRIDIS: Colours = (
    (68, 1, 84),
    (59, 82, 139),
    (33, 145, 140),
    (94, 201, 98),
    (253, 231, 37),
)
"""Five colours of matplotlib's viridis, by Smith and van der Walt, evenly spread; each is lighter
than the one before it, so they are told apart in grey, too. Those between are mixed from two.
"""


def coloured(
    values: np.ndarray, vmin: float | None, vmax: float | None, colours: Colours
) -> np.ndarray:
    """Make numbers colours, (height, width, 3), each 0 to 255; those of NaN mean nothing.

    Args:
        values: The numbers, (height, width).
        vmin: What gets the first colour; by default the smallest finite number.
        vmax: What gets the last colour; by default the largest finite number.
        colours: Evenly spread from one to the other.

    Raises:
        OptionError: The range is none, or the colours are no lists of red, green and blue.
    """
    stops = _stops(colours)
    low, high = _range(values, vmin, vmax)
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(values > low, (values - low) / (high - low), 0.0)
    places = np.nan_to_num(np.clip(part, 0, 1)) * (len(stops) - 1)
    channels = [np.interp(places, np.arange(len(stops)), stops[:, each]) for each in range(3)]
    return np.stack(channels, axis=-1).astype("float32")


def _stops(colours: Any) -> np.ndarray:
    """Colours as an array of red, green and blue."""
    way = ""
    if isinstance(colours, str):
        way = (
            f", got {colours!r}; for a colormap of matplotlib's, "
            "255 * matplotlib.colormaps['jet'](range(256))[:, :3]"
        )
    stops = numbers_in(colours)
    if (
        stops is None
        or stops.ndim != 2
        or stops.shape[1] != 3
        or not (((stops >= 0) & (stops <= 255)).all())
    ):
        raise OptionError(
            "colours: expected (red, green, blue) for each, from 0 to 255, such as "
            f"[(0, 0, 0), (255, 0, 0)]{way}"
        )
    return stops.astype("float32")


def numbers_in(given: Any) -> np.ndarray | None:
    """Return what is given as an array of numbers; None where it holds something else."""
    try:
        array = np.asarray(given)
    except (ValueError, TypeError):  # lists of different lengths; what cannot be an array
        return None
    if array.dtype.kind == "V" and array.dtype.names is None:  # bfloat16
        return array.astype("float32")
    return array if array.dtype.kind in "buif" else None


def _range(values: np.ndarray, vmin: float | None, vmax: float | None) -> tuple[float, float]:
    """Find the numbers of the first and of the last colour."""
    limits: dict[str, Any] = {"vmin": vmin, "vmax": vmax}
    for name, limit in limits.items():
        if limit is not None and (isinstance(limit, str) or np.ndim(limit)):
            raise OptionError(f"{name} is {limit!r}; expected a number")
    finite = values[np.isfinite(values)]
    low = float(finite.min(initial=np.inf)) if vmin is None else vmin
    high = float(finite.max(initial=-np.inf)) if vmax is None else vmax
    if finite.size and not low <= high:
        raise OptionError(f"colours range from vmin to vmax, but vmin is {low:g}, vmax {high:g}")
    return low, high


def as_rgb(given: Any) -> np.ndarray:
    """Make a picture of an image, uint8 (height, width, 3).

    Args:
        given: (height, width), or with 1 or 3 channels last; uint8, or floats from 0 to 1.

    Raises:
        OptionError: It is something else.
    """
    image = numbers_in(given)
    if image is None:
        raise OptionError(
            f"image: expected an array of numbers, got {type(given).__name__}; "
            "keras.utils.img_to_array(picture).astype('uint8') makes one of a picture"
        )
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise OptionError(
            f"image has shape {image.shape}; expected (height, width), or that with 1 or 3 "
            f"channels last{_shape_advice(image.shape)}"
        )
    levels = image if image.dtype == np.uint8 else _levels(image)
    channels = levels.reshape(*image.shape[:2], -1)
    return np.repeat(channels, 3 // channels.shape[2], axis=2)


def _levels(image: np.ndarray) -> np.ndarray:
    """Floats from 0 to 1 as levels from 0 to 255, to which they are rounded."""
    low, high = float(image.min(initial=0)), float(image.max(initial=0))
    if image.dtype.kind != "f" or not (low > -0.5 / 255 and high < 1 + 0.5 / 255):
        raise OptionError(
            f"image has numbers of type {image.dtype} from {low:g} to {high:g}; expected uint8, or "
            f"floats from 0 to 1{_numbers_advice(low, high)}"
        )
    levels: np.ndarray = np.rint(image * 255).astype("uint8")
    return levels


def _shape_advice(shape: tuple[int, ...]) -> str:
    if len(shape) == 4:
        return "; it is a batch: give one of its images, such as images[0]"
    if len(shape) == 3 and shape[2] == 4:
        return "; leave the alpha channel out, image[..., :3]"
    if len(shape) == 3 and shape[0] in (1, 3):
        return "; it has its channels first, np.moveaxis(image, 0, -1) has them last"
    return ""


def _numbers_advice(low: float, high: float) -> str:
    if low >= 0 and high <= 255:
        return "; divide it by 255, or give image.astype('uint8')"
    if low < 0:
        return "; give it as it was before it was preprocessed for the network"
    return ""
