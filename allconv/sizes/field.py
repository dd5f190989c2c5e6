"""What the cells along an axis of a tensor see of the image; `receptive_field` says how."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

PHASES = 256
"""Phases that are told apart; of more, what any of them sees counts for all."""

Span = tuple[Fraction, Fraction]
"""The first and the last pixel of the image that a cell sees, in relation to `stride * i`."""


@dataclass(frozen=True)
class Field:
    """What the cells along one axis of a tensor see.

    Attributes:
        stride: Pixels of the image from one cell to the next.
        phases: For cell 0 and those behind it, until the first is alike again, what they see; None
            for a cell that sees nothing.
        whole: A factor of the whole image comes in, too: every cell sees all of it.
    """

    stride: Fraction = Fraction(1)
    phases: tuple[Span | None, ...] = ((Fraction(0), Fraction(0)),)
    whole: bool = False

    @property
    def first(self) -> Fraction:
        """First pixel of the image that cell 0 or its like sees; below 0 in the padding."""
        return min((span[0] for span in self.phases if span), default=Fraction(0))

    @property
    def last(self) -> Fraction:
        """Last pixel of the image that cell 0 or its like sees; before the first if none does."""
        return max((span[1] for span in self.phases if span), default=Fraction(-1))

    def made_of(self, stride: Fraction, count: int, cells: Callable[[int], range]) -> Field:
        """Find the field of a tensor whose cell `i` is made of some cells of this one.

        Args:
            stride: Cells of this tensor from one cell of the other to the next.
            count: Phases of the other tensor.
            cells: The numbers of the cells that one is made of.
        """
        stride *= self.stride
        seen = [self._seen(cells(i)) for i in range(count)]
        phases = [
            each and (each[0] - stride * i, each[1] - stride * i) for i, each in enumerate(seen)
        ]
        return replace(self, stride=stride, phases=tuple(phases))

    def _seen(self, cells: range) -> Span | None:
        """Return what some cells see, taken together; each phase goes on to larger cells only."""
        count = len(self.phases)
        ends = [*cells[:count], *cells[-count:]]
        known = [(j, each) for j in ends if (each := self.phases[j % count])]
        if not known:
            return None
        return (
            min(each[0] + self.stride * j for j, each in known),
            max(each[1] + self.stride * j for j, each in known),
        )

    def through(self, taps: range, stride: int, before: int) -> Field:
        """Find the field after a window with these cells, over a map padded by `before` cells."""
        count = len(self.phases) // math.gcd(len(self.phases), stride)
        first, last = taps[0] - before, taps[-1] - before + 1
        return self.made_of(
            Fraction(stride),
            count,
            lambda i: range(first + i * stride, last + i * stride, taps.step),
        )

    def shifted(self, cells: int) -> Field:
        """Find the field of the same tensor without so many cells at its beginning."""
        return self.through(range(1), 1, -cells)

    def spread(self, factor: int, cells: Callable[[int], range], bounds: Span) -> Field:
        """Find the field after a layer that makes `factor` cells of one.

        Args:
            factor: Cells of the result for one.
            cells: The numbers of the cells that a cell of the result is made of.
            bounds: Between which they lie, in relation to `i / factor`; of more phases than are
                told apart this is what is known.
        """
        if factor > PHASES:
            low, high = self.first + self.stride * bounds[0], self.last + self.stride * bounds[1]
            return replace(self, stride=self.stride / factor, phases=((low, high),))
        field = self if len(self.phases) * factor <= PHASES else self.as_one()
        return field.made_of(Fraction(1, factor), len(field.phases) * factor, cells)

    def as_one(self) -> Field:
        """Return the bounds of all phases."""
        return replace(self, phases=((self.first, self.last),))


Fields = tuple[Field, ...]
"""One for each axis."""


def united(fields: Sequence[Field], whole: bool) -> Field:
    """Unite several fields of one stride, phase by phase."""
    count = math.lcm(*(len(field.phases) for field in fields))
    if count > PHASES:
        fields, count = [field.as_one() for field in fields], 1
    phases = []
    for phase in range(count):
        spans = [each for field in fields if (each := field.phases[phase % len(field.phases)])]
        ends = tuple(zip(*spans, strict=True))
        phases.append((min(ends[0]), max(ends[1])) if ends else None)
    return Field(fields[0].stride, tuple(phases), whole)
