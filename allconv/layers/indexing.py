"""What is picked out of a tensor: by an index, `x[..., ::-1]`, or by numbers, `keras.ops.take`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np

from allconv.errors import ShapeError
from allconv.shapes import Shape

Entry = slice | int


def entries(key: Any, axes: int) -> tuple[Entry, ...] | None:
    """Return one entry of an index for each axis of a tensor; None where it says more than that.

    Example:
        >>> entries((..., 2), 4)
        (slice(None, None, None), slice(None, None, None), slice(None, None, None), 2)
    """
    listed = tuple(key) if isinstance(key, (tuple, list)) else (key,)
    dots = [place for place, entry in enumerate(listed) if entry is ...]
    plain = [entry for entry in listed if isinstance(entry, slice) or is_number(entry)]
    missing = axes - len(plain)
    if len(dots) > 1 or len(plain) + len(dots) < len(listed) or missing < 0:
        return None
    place = dots[0] if dots else len(listed)
    return (*listed[:place], *(slice(None),) * missing, *listed[place + 1 :])


def is_number(value: Any) -> TypeGuard[int]:
    """Tell whether a value is a whole number."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def numbers_of(entry: Entry, size: int) -> tuple[int, ...]:
    """List the places along an axis that an entry picks, in order.

    Raises:
        ShapeError: There is no such place.
    """
    try:
        found = range(size)[entry]
    except (IndexError, ValueError, TypeError):
        raise ShapeError(f"the index {entry} is not one of {size} places") from None
    return tuple(found) if isinstance(found, range) else (found,)


def numbers_taken(indices: Any) -> tuple[int, ...] | int | None:
    """Read the numbers that are given to `keras.ops.take`; None where they are no list of such."""
    if isinstance(indices, np.ndarray) and indices.dtype.kind in "iu":
        indices = indices.tolist()
    if is_number(indices):
        return int(indices)
    if isinstance(indices, (list, tuple)) and all(map(is_number, indices)):
        return tuple(map(int, indices))
    return None


def indexed(shape: Shape, key: Any) -> Shape | None:
    """Return the shape of `x[key]`, None where it is not known here."""
    each = entries(key, len(shape))
    if each is None or each[:1] != (slice(None),):  # an index among the images of a batch
        return None
    counts = [
        None if size is None else len(numbers_of(entry, size))
        for entry, size in zip(each, shape, strict=True)
    ]
    kept = [isinstance(entry, slice) for entry in each]
    return tuple(count for count, stays in zip(counts, kept, strict=True) if stays)


def taken(shape: Shape, axis: Any, indices: Any) -> Shape | None:
    """Return the shape of `keras.ops.take(x, indices, axis)`, None where it is not known here."""
    numbers = numbers_taken(indices)
    if numbers is None or not is_number(axis) or not -len(shape) <= axis < len(shape):
        return None
    place = axis % len(shape)
    length = () if isinstance(numbers, int) else (len(numbers),)
    return (*shape[:place], *length, *shape[place + 1 :])


def stacked(shapes: Sequence[Shape], axis: Any) -> Shape | None:
    """Return the shape of tensors of one shape, put side by side along a new axis."""
    axes = len(shapes[0]) + 1
    if not is_number(axis) or not -axes <= axis < axes or any(s != shapes[0] for s in shapes):
        return None
    place = axis % axes
    return (*shapes[0][:place], len(shapes), *shapes[0][place:])


def unstacked(shape: Shape, axis: Any) -> Shape | None:
    """Return the shape of each of the tensors that lie side by side along an axis."""
    if not is_number(axis) or not -len(shape) <= axis < len(shape):
        return None
    place = axis % len(shape)
    return (*shape[:place], *shape[place + 1 :])


def split(shape: Shape, sections: Any, axis: Any) -> Shape | None:
    """Return the shape of each of the equal parts of a tensor; None where they are not equal."""
    if not is_number(sections) or not is_number(axis) or not -len(shape) <= axis < len(shape):
        return None
    size = shape[axis]
    if size is None or sections < 1 or size % sections:
        return None
    place = axis % len(shape)
    return (*shape[:place], size // sections, *shape[place + 1 :])
