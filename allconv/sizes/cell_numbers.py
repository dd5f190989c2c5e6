"""What the methods of a `Geometry` take: numbers of cells and pixels, one for each axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from allconv.errors import OptionError


def refuse_other_axes(name: str, numbers: Any, count: int) -> None:
    """Raise an OptionError where there is not one number for each of so many axes."""
    listed = hasattr(numbers, "__len__") and not isinstance(numbers, str)
    if not listed or len(numbers) != count:
        axes = "1 axis" if count == 1 else f"{count} axes"
        raise OptionError(f"{name} is {in_words(numbers)}; this map has {axes}")


def refuse_no_pixel(pixel: Any, axes: int) -> None:
    """Raise an OptionError where this is no place, nor an array of places, along each axis."""
    refuse_other_axes("pixel", pixel, axes)
    if not all(_are_finite(numbers) for numbers in pixel):
        raise OptionError(
            f"pixel is {in_words(pixel)}; expected numbers, or arrays of numbers, none of them NaN "
            "or infinite"
        )


def refuse_no_cell(cell: Any, axes: int) -> None:
    """Raise an OptionError where this is not the number of one cell along each axis."""
    refuse_other_axes("cell", cell, axes)
    if any(_is_listed(number) for number in cell):
        raise OptionError(
            f"cell is {in_words(cell)}; box takes one cell at a time, a whole number for each axis"
        )
    if not all(_is_whole(number) for number in cell):
        raise OptionError(
            f"cell is {in_words(cell)}; expected a whole number for each axis, of cells that are "
            "numbered from 0"
        )
    if min(cell) < 0:
        raise OptionError(f"cell is {in_words(cell)}; the map's cells are numbered from 0")


def refuse_no_size(size: Any, axes: int) -> None:
    """Raise an OptionError where this is not the number of a map's cells along each axis."""
    refuse_other_axes("size", size, axes)
    if not all(_is_whole(cells) and cells >= 0 for cells in size):
        raise OptionError(
            f"size is {in_words(size)}; expected the map's cells along each axis, whole numbers "
            "from 0 on, such as class_map.shape[:2]"
        )


def in_words(numbers: Any) -> str:
    """Write numbers for a message, without those in arrays."""
    if not hasattr(numbers, "__len__") or isinstance(numbers, str):
        return repr(numbers)
    return f"({', '.join(map(_one_in_words, numbers))})"


def _one_in_words(number: Any) -> str:
    if _is_listed(number):
        return "array"
    return repr(number) if isinstance(number, str) else f"{number}"


def _is_listed(number: Any) -> bool:
    """Tell whether this is a list or an array of numbers where one is expected."""
    return isinstance(number, list | tuple) or len(getattr(number, "shape", ())) > 0


def _is_whole(number: Any) -> bool:
    """Tell whether this is one whole number, of Python's or an array's."""
    return not _is_listed(number) and np.asarray(number).dtype.kind in "iu"


def _are_finite(numbers: Any) -> bool:
    """Tell whether this is a number, or an array of them, and each a place."""
    try:
        given = np.asarray(numbers)
    except ValueError:  # rows of unlike lengths
        return False
    return given.dtype.kind in "iuf" and bool(np.isfinite(given).all())
