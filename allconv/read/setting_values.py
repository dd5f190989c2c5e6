"""What the settings of layers may be: each says in words what its value must be, and reads it.

It gives the value as Keras 3 writes it, and raises a ValueError for one that is of another type or
beyond all bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

LARGEST = 2**31
"""No framework could work with more cells, channels or units."""
LARGEST_NUMBER = 3.4e38
"""The largest float32."""
MOST_AXES = 8

NEEDED, LEFT_OUT = object(), object()
"""In place of a default: Keras has none; or nobody misses the setting."""

Read = Callable[[Any, int], Any]
"""From a value and the number of axes of the layer's map to the value as Keras 3 writes it."""


@dataclass(frozen=True)
class Setting:
    """What a value must be.

    Attributes:
        words: That in words, `{rank}` for the number of axes of the layer's map.
        read: Reads it.
        default: What Keras takes where a file does not say it.
    """

    words: str
    read: Read
    default: Any = NEEDED

    def otherwise(self, default: Any) -> Setting:
        """Give the setting a default."""
        return replace(self, default=default)

    def or_null(self, default: Any = LEFT_OUT) -> Setting:
        """Let the setting be null, too."""
        return Setting(f"{self.words}, or null", either(one_of(None), self.read), default)


def whole(least: int) -> Read:
    """Take a whole number."""

    def read(value: Any, rank: int) -> Any:
        return _that(type(value) is int and least <= value <= LARGEST, value)

    return read


def number(value: Any, rank: int) -> Any:
    """Take any number, but none that is not finite."""
    return _that(type(value) in (int, float) and abs(value) <= LARGEST_NUMBER, value)


def not_negative(value: Any, rank: int) -> Any:
    """Take such a number that is 0 or more."""
    return _that(number(value, rank) >= 0, value)


def flag(value: Any, rank: int) -> Any:
    """Take a flag as Keras does: to it, what is written as a number or null is true or false."""
    return bool(_that(value is None or type(value) in (bool, int, float), value))


def one_of(*values: Any) -> Read:
    """Take one of a few values."""

    def read(value: Any, rank: int) -> Any:
        same = (type(value) is type(known) and value == known for known in values)
        return _that(any(same), value)

    return read


def of_type(*types: type) -> Read:
    """Take a value of some type, whatever it is."""
    return lambda value, rank: _that(isinstance(value, types), value)


def either(*reads: Read) -> Read:
    """Take what the first of several takes."""

    def read(value: Any, rank: int) -> Any:
        for each in reads:
            try:
                return each(value, rank)
            except ValueError:
                continue
        raise ValueError

    return read


def each_axis(read: Read) -> Read:
    """Take one value for all axes of the map, or one for each."""

    def read_each(value: Any, rank: int) -> Any:
        if not isinstance(value, (list, tuple)):
            return [read(value, rank)] * rank
        return [read(item, rank) for item in _that(len(value) == rank, value)]

    return read_each


def few(read: Read) -> Read:
    """Take a list of no more values than a tensor has axes."""

    def read_few(value: Any, rank: int) -> Any:
        is_short = isinstance(value, (list, tuple)) and len(value) <= MOST_AXES
        return [read(item, rank) for item in _that(is_short, value)]

    return read_few


def numbers(value: Any, rank: int, depth: int = MOST_AXES) -> Any:
    """Take a number, or lists within lists that have as many of them as their neighbours."""
    if not isinstance(value, (list, tuple)):
        return number(value, rank)
    items = [numbers(item, rank, depth - 1) for item in _that(depth > 0, value)]
    return _that(len(set(map(_lengths, items))) < 2, items)


def _lengths(value: Any) -> tuple[int, ...]:
    return (len(value), *_lengths(value[0])) if isinstance(value, list) and value else ()


def margins(value: Any, rank: int) -> Any:
    """Take cells before and after a map: of one axis a pair, of several a pair for each."""
    pair = each_axis(whole(0))
    if rank == 1:
        return pair(value, 2)
    return each_axis(lambda side, _: pair(side, 2))(value, rank)


def target(value: Any, rank: int) -> Any:
    """Take sizes, of which one may be -1 for what is left over."""
    sizes = few(either(whole(1), one_of(-1)))(value, rank)
    return _that(sizes.count(-1) < 2 and math.prod(sizes) <= LARGEST**2, sizes)


def order(value: Any, rank: int) -> Any:
    """Take all axes but the batch's, each once."""
    axes = few(whole(1))(value, rank)
    return _that(sorted(axes) == list(range(1, len(axes) + 1)), axes)


def plain(value: Any) -> Any:
    """Write a value of a configuration as JSON has it: NumPy's numbers and arrays, too.

    In a description Keras writes an array as an object, and a configuration may hold one itself.
    """
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    is_array = isinstance(value, Mapping) and value.get("class_name") == "__numpy__"
    written = value.get("config") if is_array else None
    return plain(written.get("value")) if isinstance(written, Mapping) else value


def described(value: Any, rank: int) -> Any:
    """Take an initializer or its like: a name, an object with a configuration, or a function."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "function":
            return _that(isinstance(value.get("config"), str), value)
        return _that(isinstance(value.get("config", {}), Mapping), value)
    return _that(isinstance(value, str), value)


def _that(fits: bool, value: Any) -> Any:
    """Return the value, if it fits."""
    if not fits:
        raise ValueError
    return value
