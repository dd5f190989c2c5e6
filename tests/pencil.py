"""What networks are drawn with: a rank, a data format, and Hypothesis' choices."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from hypothesis import strategies as st

MOST_CELLS = {1: 40, 2: 300, 3: 300}
MOST_CHANNELS = 24


@dataclass(frozen=True)
class Pencil:
    """Draws for maps of some rank and data format."""

    draw: Callable[..., Any]
    rank: int
    data_format: str

    @property
    def axis(self):
        return 1 if self.data_format == "channels_first" else -1

    def sizes(self, x):
        return x.shape[2:] if self.axis == 1 else x.shape[1:-1]

    def shape(self, sizes, channels):
        """Shape of a map, without the batch."""
        return (channels, *sizes) if self.axis == 1 else (*sizes, channels)

    def one(self, *choices):
        return self.draw(st.sampled_from(choices))

    def maybe(self):
        return self.draw(st.booleans())

    def number(self, low, high):
        return self.draw(st.integers(low, high))

    def steps(self, most):
        """Strides or the like: on all axes alike, or on each its own."""
        if self.maybe():
            return (self.number(1, most),) * self.rank
        return tuple(self.number(1, most) for _ in range(self.rank))

    def window(self, x, most):
        return tuple(self.number(1, min(size, most)) for size in self.sizes(x))

    def layer(self, kind, *args, **options):
        """A layer of this rank and data format."""
        name = (kind if "{}" in kind else kind + "{}").format(f"{self.rank}D")
        return getattr(keras.layers, name)(*args, data_format=self.data_format, **options)

    def is_large(self, x):
        cells = math.prod(self.sizes(x))
        return cells > MOST_CELLS[self.rank] or x.shape[self.axis] > MOST_CHANNELS
