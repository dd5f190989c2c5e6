"""`Preprocessing`: how a picture's pixels become the numbers that a network was trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, get_args

import numpy as np

from allconv.errors import OptionError

Colour = Literal["rgb", "bgr", "gray"]
CHANNELS = {"rgb": 3, "bgr": 3, "gray": 1}

PerChannel = float | Sequence[float]


@dataclass(frozen=True)
class Preprocessing:
    """How pictures in files become what a network takes: `(pixels * scale - mean) / std`.

    Pixels are numbers from 0 to 255. A network that begins with a Rescaling or Normalization takes
    them as they are, and needs none of this. Of another one nobody can tell which numbers it was
    trained on, so one of `scale`, `mean` and `std` has to be given; `scale=1` says that it takes
    pixels as they are.

    Args:
        scale: What pixels are multiplied by, such as 1/255.
        mean: What is subtracted then: a number, or one for each channel in the network's order.
        std: What that is divided by, likewise.
        colour: `"rgb"`, `"bgr"` or `"gray"`; by default red, green, blue for a network of three
            channels, and grey for one of one.
        size: (height, width) that pictures are scaled to, bilinearly; by default the network's own
            size, and where it takes any, each picture's.

    Raises:
        OptionError: One of these is out of its range.

    Example:
        >>> torch = allconv.Preprocessing(
        ...     scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
        ... )
        >>> torch.apply(np.full((1, 1, 3), 255)).round(2).tolist()
        [[[2.25, 2.43, 2.64]]]
    """

    scale: float | None = None
    mean: PerChannel | None = None
    std: PerChannel | None = None
    colour: Colour | None = None
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name in ("scale", "mean", "std", "size"):
            object.__setattr__(self, name, _as_numbers(getattr(self, name)))
        if not _is_number(self.scale) or self.scale == 0:
            raise OptionError(_unlike("scale", self.scale, "a number other than 0, such as 1/255"))
        if not _is_numbers(self.mean):
            raise OptionError(_unlike("mean", self.mean, "a number, or one for each channel"))
        if not _is_numbers(self.std, above=0):
            raise OptionError(_unlike("std", self.std, "a number above 0, or one for each channel"))
        if self.colour not in (None, *get_args(Colour)):
            raise OptionError(_unlike("colour", repr(self.colour), "'rgb', 'bgr' or 'gray'"))
        if not _is_size(self.size):
            raise OptionError(_unlike("size", self.size, "(height, width), each from 1 on"))

    @property
    def states_range(self) -> bool:
        """Whether it says which numbers the network takes."""
        return any(numbers is not None for numbers in (self.scale, self.mean, self.std))

    def apply(self, pixels: Any) -> np.ndarray:
        """Make of pixels the numbers that the network takes; their size is not looked at.

        Args:
            pixels: Numbers from 0 to 255, (..., channels), red before green before blue.

        Returns:
            float64, or the pixels themselves where only colour or size is given.

        Raises:
            OptionError: There is a mean or std for another count of channels.
        """
        numbers = np.asarray(pixels)
        self._refuse_other_count(numbers)
        numbers = numbers[..., ::-1] if self.colour == "bgr" else numbers
        if not self.states_range:
            return numbers
        mean, std = (
            np.asarray(default if given is None else given, "float64")
            for given, default in ((self.mean, 0), (self.std, 1))
        )
        scaled = numbers.astype("float64") * (1 if self.scale is None else self.scale)
        prepared: np.ndarray = (scaled - mean) / std
        return prepared

    def _refuse_other_count(self, numbers: np.ndarray) -> None:
        """Raise an OptionError where NumPy would give each channel another number, or more."""
        count = numbers.shape[-1] if numbers.ndim else 1
        for name, given in (("mean", self.mean), ("std", self.std)):
            if isinstance(given, tuple) and len(given) not in (1, count):
                expected = f"a number, or one for each of the {count} channels of {numbers.shape}"
                raise OptionError(_unlike(name, given, expected))

    def refuse_other_channels(self, count: int, taker: str) -> None:
        """Raise an OptionError where a network has another count of channels.

        Args:
            count: How many it has.
            taker: The input that takes them, for the message.
        """
        if self.colour is not None and CHANNELS[self.colour] != count:
            raise OptionError(
                _unlike("colour", repr(self.colour), f"one for the {count} channels of {taker}")
            )
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if isinstance(numbers, tuple) and len(numbers) != count:
                expected = f"a number, or one for each of the {count} channels of {taker}"
                raise OptionError(_unlike(name, numbers, expected))


def _unlike(name: str, found: Any, expected: str) -> str:
    return f"Preprocessing: {name} is {found}; expected {expected}"


def _as_numbers(given: Any) -> Any:
    """Make the numbers of each channel a tuple, so that the whole can be compared."""
    return tuple(given) if isinstance(given, (list, tuple, np.ndarray)) else given


def _is_number(given: Any, above: float = -math.inf) -> bool:
    if given is None:
        return True
    number = isinstance(given, Real) and not isinstance(given, bool)
    return number and math.isfinite(given) and given > above


def _is_numbers(given: Any, above: float = -math.inf) -> bool:
    numbers = given if isinstance(given, tuple) else (given,)
    return bool(numbers) and all(_is_number(number, above) for number in numbers)


def _is_size(given: Any) -> bool:
    if given is None:
        return True
    return (
        isinstance(given, tuple)
        and len(given) == 2
        and all(isinstance(count, int) and count > 0 for count in given)
    )
