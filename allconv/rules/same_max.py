"""The maximum over windows that reach over the border, by layers that no size changes.

Where padding 'same' begins its windows depends on the size of the map. But cell number
`(k - 1) // 2` of a window of k cells lies inside of a map of any size. So every cell takes the
maximum over the window around it, and a convolution with padding 'same' then picks that one cell
of each window: it begins its windows where the pool does.

At stride 1 a cell rises to another one: `x[i] + relu(x[i + d] - x[i])`. Over the border the
difference has a zero in place of `x[i + d]`. Where no value is below zero, nothing rises to it;
elsewhere a map of ones, shifted in the same way, multiplies such rises away.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from allconv.graph import Node
from allconv.rule import Match
from allconv.rules.max_steps import Step
from allconv.rules.maximum import maximum
from allconv.rules.windows import (
    Window,
    is_framework_dependent,
    joined,
    ones_map,
    per_channel,
    zero_padded,
)
from allconv.shapes import Size, same_padding

Pads = list[tuple[int, int]]


def same_pads(sizes: Sequence[Size], window: Sequence[int], strides: Sequence[int]) -> Pads | None:
    """Return the cells that padding 'same' adds on each axis, None where sizes decide it.

    Args:
        sizes: Of the map, None where free.
        window: Cells along each axis.
        strides: Along each axis.
    """
    if is_framework_dependent(window, strides):
        return None
    pads = []
    for size, k, stride in zip(sizes, window, strides, strict=True):
        if size is not None:
            pads.append(same_padding(size, k, stride))
        elif (k - 1) // 2 == max(k - stride, 0) // 2:
            # From k - stride to k - 1 cells are added, half of them before: here always as many.
            # Those after it may be more than there are windows for.
            pads.append(((k - 1) // 2, k // 2))
        else:
            return None
    return pads


@dataclass(frozen=True)
class Rises:
    """A plan for one pool.

    Attributes:
        shifts: Axis, and how far the cell lies to which every cell rises; negative: before it.
        last: The step with the strides; None where there are none.
        masked: Values may be negative, so rises over the border are multiplied away.
    """

    shifts: tuple[tuple[int, int], ...]
    last: Step | None
    masked: bool

    @property
    def cost(self) -> int:
        """Multiply-accumulates for each value of the result; maps of one channel are left out."""
        ones = self.masked and bool(self.shifts)
        each = sum(abs(shift) + 1 + self.masked for _, shift in self.shifts) + ones
        if self.last is None:
            return each
        size, strides = self.last.window.size, self.last.window.strides
        return each * math.prod(strides) + len(self.last.cells) * math.prod(size)


def same_maximum(
    match: Match, tensor: Node, window: Sequence[int], strides: Sequence[int], last: str = ""
) -> Node:
    """Take the maximum over a window with padding 'same', of a map of any size.

    Values with a lower bound must be >= 0.
    """
    plan = rises(window, strides, masked=tensor.lower_bound is None)
    ones = ones_map(match, tensor) if plan.masked and plan.shifts else None
    for number, (axis, shift) in enumerate(plan.shifts, 1):
        is_end = plan.last is None and number == len(plan.shifts)
        part = last if is_end else joined(last, f"step{number}")
        tensor = _risen(match, tensor, ones, axis, shift, part)
    return tensor if plan.last is None else maximum(match, tensor, plan.last, last)


def rises(window: Sequence[int], strides: Sequence[int], masked: bool) -> Rises:
    """Find the plan that costs least.

    A stride may leave less to do: where zeros over the border do no harm, the last step may take
    all cells of an axis instead of the one in the middle. Not so where strides differ between rows
    and columns, where its convolutions are full ones.
    """
    alone = masked or (len(strides) == 2 and len(set(strides)) > 1)
    ways = [
        [_risen_axis(axis, k, stride)] + ([] if alone or stride == 1 else [((), range(k), k)])
        for axis, (k, stride) in enumerate(zip(window, strides, strict=True))
    ]
    plans = []
    for way in itertools.product(*ways):
        shifts, cells, size = zip(*way, strict=True)
        step = Step(tuple(itertools.product(*cells)), Window(size, tuple(strides), "same"))
        last = None if max(strides) == 1 else step
        plans.append(Rises(tuple(itertools.chain(*shifts)), last, masked))
    return min(plans, key=lambda plan: plan.cost)


_Way = tuple[tuple[tuple[int, int], ...], Sequence[int], int]
"""Along one axis: shifts at stride 1, then the cells and the size of the last step's window."""


def _risen_axis(axis: int, window: int, stride: int) -> _Way:
    """Take the whole window at stride 1; then a window that has its middle where the pool's has it.

    With as many cells less on either side padding 'same' is as much less on either side, as long as
    the window stays as large as the stride.
    """
    behind, before = _doublings(window // 2), _doublings((window - 1) // 2)
    shifts = tuple((axis, shift) for shift in (*behind, *(-shift for shift in before)))
    size = min(window, stride + (window - stride) % 2) if stride > 1 else 1
    return shifts, [(size - 1) // 2], size


def _doublings(reach: int) -> Iterator[int]:
    """List shifts up to a reach: 1, 2, 4, ..., each at most the sum of those before plus one."""
    done = 0
    while done < reach:
        shift = min(done + 1, reach - done)
        yield shift
        done += shift


def _risen(match: Match, tensor: Node, ones: Node | None, axis: int, shift: int, part: str) -> Node:
    """Compute `x[i] + relu(x[i + shift] - x[i])` along an axis, over the border `x[i]`."""
    rank = match.layout(tensor).rank
    pads = [(max(-shift, 0), max(shift, 0)) if i == axis else (0, 0) for i in range(rank)]
    window = Window(tuple(1 + sum(pair) for pair in pads), (1,) * rank)
    here, there = (tuple(pair[side] for pair in pads) for side in (0, 1))
    padded = zero_padded(match, tensor, pads, part=joined(part, "padding"))
    taps = ((there, 1.0), (here, -1.0))
    rise = per_channel(match, padded, joined(part, "difference"), window, taps, "relu")
    if ones is not None:
        padded = zero_padded(match, ones, pads, part=joined(part, "inside_padding"))
        inside = per_channel(match, padded, joined(part, "inside"), window, ((there, 1.0),))
        rise = match.layer("Multiply", joined(part, "masked"))(rise, inside)
    return match.layer("Add", part)(rise, tensor)
