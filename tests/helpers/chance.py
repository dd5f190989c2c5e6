"""What networks are drawn with: chance, for maps of a rank and a data format.

    chance = Chance(random.Random(7), rank=2, data_format="channels_last", families={"axes"})

Families are ingredients that ordinary networks do without; `network_families.py` lists them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import keras

from tests.helpers.drawn_settings import constrained, written

MOST_CELLS = {1: 40, 2: 300, 3: 300}
MOST_CHANNELS = 24


@dataclass(frozen=True)
class Chance:
    """Draws for maps of some rank and data format."""

    random: Random
    rank: int
    data_format: str
    families: frozenset[str] = frozenset()

    @property
    def axis(self):
        return 1 if self.data_format == "channels_first" else -1

    def sizes(self, x):
        return x.shape[2:] if self.axis == 1 else x.shape[1:-1]

    def shape(self, sizes, channels):
        """Shape of a map, without the batch."""
        return (channels, *sizes) if self.axis == 1 else (*sizes, channels)

    def one(self, *choices):
        return self.random.choice(choices)

    def maybe(self):
        return self.one(True, False)

    def number(self, low, high):
        return self.random.randint(low, high)

    def some(self, choices, low, high):
        """A list of so many of the choices, any of them several times."""
        return [self.one(*choices) for _ in range(self.number(low, high))]

    def wants(self, family):
        """Whether to draw something of a family here, now and then."""
        return family in self.families and self.number(1, 4) == 1

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
        return self.make(name, *args, data_format=self.data_format, **options)

    def make(self, kind, *args, **options):
        """A layer of a class, its settings written this way or that."""
        make = getattr(keras.layers, kind)
        options |= constrained(self, kind)
        if not self.wants("written"):
            return make(*args, **options)
        try:
            return make(*(written(self, value) for value in args), **written(self, options))
        except (TypeError, ValueError):
            # Keras does not take every setting in every form.
            return make(*args, **options)

    def is_large(self, x):
        cells = math.prod(self.sizes(x))
        return cells > MOST_CELLS[self.rank] or x.shape[self.axis] > MOST_CHANNELS
