"""Colours for numbers, and arrays of images as pictures of three colours."""

from __future__ import annotations

from collections.abc import Sequence

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
    """Numbers as colours, (height, width, 3), each 0 to 255; those of NaN mean nothing.

    Args:
        values: The numbers, (height, width).
        vmin: What gets the first colour; by default the smallest finite number.
        vmax: What gets the last colour; by default the largest finite number.
        colours: Evenly spread from one to the other.

    Raises:
        OptionError: The range is none, or the colours are no lists of red, green and blue.
    """
    stops = np.asarray(colours, "float32")
    if stops.ndim != 2 or stops.shape[1] != 3 or not ((stops >= 0) & (stops <= 255)).all():
        raise OptionError("colours: expected (red, green, blue) for each, from 0 to 255")
    low, high = _range(values, vmin, vmax)
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(values > low, (values - low) / (high - low), 0.0)
    places = np.nan_to_num(np.clip(part, 0, 1)) * (len(stops) - 1)
    channels = [np.interp(places, np.arange(len(stops)), stops[:, each]) for each in range(3)]
    return np.stack(channels, axis=-1).astype("float32")


def _range(values: np.ndarray, vmin: float | None, vmax: float | None) -> tuple[float, float]:
    """Find the numbers of the first and of the last colour."""
    finite = values[np.isfinite(values)]
    low = float(finite.min(initial=np.inf)) if vmin is None else vmin
    high = float(finite.max(initial=-np.inf)) if vmax is None else vmax
    if finite.size and not low <= high:
        raise OptionError(f"colours range from vmin to vmax, but vmin is {low:g}, vmax {high:g}")
    return low, high


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Make a picture of an image, uint8 (height, width, 3).

    Args:
        image: (height, width), or with 1 or 3 channels last; uint8, or floats from 0 to 1.

    Raises:
        OptionError: It is something else.
    """
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise OptionError(
            f"image has shape {image.shape}; expected (height, width), or that with 1 or 3 "
            "channels last"
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
            "floats from 0 to 1"
        )
    levels: np.ndarray = np.rint(image * 255).astype("uint8")
    return levels
