"""The maximum over a window as a few small maxima, chosen by counted multiply-accumulates.

A *step* takes, for each cell of its result, the maximum over a few cells of its input. A plan is
steps in order. Its stride may be taken at once or by divisors, `1 -> 2 -> 4`. Before each stride
some axes grow: the maximum over w cells and its copy shifted by d <= w cells give the maximum over
w + d, so that a window of n cells needs `ceil(log2 n)` comparisons in depth, and not fewer (Haase,
Hertrich and Loho 2023, arXiv 2302.12553). The step with the stride takes the cells that are left.

So 2x2 with stride 2 is one step of four cells, 16 multiply-accumulates for each value of the
result. 3x3 with stride 2 grows to three rows at stride 1 first, then three columns are left: 41,
where nine cells at once cost 81. `docs/pool_costs.md` has a table.

A step with a stride has the same stride along all axes wherever the pool has: TensorFlow's
depthwise convolution refuses strides that differ between rows and columns.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from allconv.rules.windows import Window

Cell = tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """The maximum over some cells of a window that moves over a map."""

    cells: tuple[Cell, ...]
    window: Window


PoolPlan = list[Step]
"""Steps to be taken one after the other, without padding."""


def max_steps(window: Sequence[int], strides: Sequence[int]) -> PoolPlan:
    """Find the plan for a window that costs least; of equal ones that of the fewest layers.

    Args:
        window: Cells along each axis.
        strides: Along each axis. Where they differ, the last step has a stride that differs.
    """
    return min(plans(window, strides), key=_price)


def global_max_steps(sizes: Sequence[int]) -> PoolPlan:
    """Find the plan for the maximum over a whole map that costs least on that map."""
    powers = [2**i for i in range(max(sizes).bit_length())]
    candidates = [max_steps(sizes, (power,) * len(sizes)) for power in powers]
    return min(candidates, key=lambda plan: cost(plan, alone=True))


def cost(plan: Sequence[Step], alone: bool = False) -> int:
    """Count a plan's multiply-accumulates for each value of its result, as `layers.costs` does.

    A step has one depthwise convolution for each of its cells, which multiplies all cells of the
    window. Behind it a stride of s leaves one of s results along an axis.

    Args:
        plan: The steps.
        alone: The result is a single cell. On a larger map neighbours share what their windows
            have in common.
    """
    total, places = 0, [1] * (len(plan[0].window.size) if plan else 0)
    for step in reversed(plan):
        size, strides = step.window.size, step.window.strides
        total += math.prod(places) * len(step.cells) * math.prod(size)
        overlaps = [k - stride if alone else 0 for k, stride in zip(size, strides, strict=True)]
        places = [n * s + more for n, s, more in zip(places, strides, overlaps, strict=True)]
    return total


def layer_count(plan: Sequence[Step]) -> int:
    """Count the layers of a plan: convolutions with their ReLU, sums, differences and ReLUs."""
    counts = [len(step.cells) for step in plan]
    return sum(n + n // 2 + 3 * ((n + 1) // 2 - 1) for n in counts)


def _price(plan: PoolPlan) -> tuple[int, int]:
    return cost(plan), layer_count(plan)


def plans(window: Sequence[int], strides: Sequence[int]) -> Iterator[PoolPlan]:
    """Find the cheapest plan for each way to take the strides one after the other."""
    rank, strides = len(window), tuple(strides)
    for chain in _divisor_chains(math.gcd(*strides)):
        spacings = list(dict.fromkeys([*((part,) * rank for part in chain), strides]))
        plan: PoolPlan = []
        for spacing, wider in itertools.pairwise(spacings):
            plan += _stage(tuple(window), spacing, wider)
        ladders = _ladders(window, strides, window)
        yield plan + _growth(ladders, strides)


def _divisor_chains(number: int) -> Iterator[tuple[int, ...]]:
    """Yield all ways from 1 to a number in which each divides the next."""
    if number == 1:
        yield (1,)
    for part in range(1, number // 2 + 1):
        if number % part == 0:
            yield from ((*chain, number) for chain in _divisor_chains(part))


@lru_cache(maxsize=1024)
def _stage(window: Cell, spacing: Cell, wider: Cell) -> tuple[Step, ...]:
    """Find the cheapest way from results `spacing` cells apart to results `wider` apart."""
    plan: PoolPlan = min(_strided(window, spacing, wider), key=_price)
    return tuple(plan)


def _strided(window: Sequence[int], spacing: Cell, wider: Cell) -> Iterator[PoolPlan]:
    """Yield all ways to go from results `spacing` cells apart to results `wider` apart.

    Along each axis a number of doublings comes first, at stride 1. The last step takes what is left
    and the stride. The ways with most doublings come first.
    """
    ends = [_least(k, apart) for k, apart in zip(window, wider, strict=True)]
    ladders = _ladders(window, spacing, ends)
    strides = tuple(after // before for before, after in zip(spacing, wider, strict=True))
    for heights in itertools.product(*(range(len(ladder), 0, -1) for ladder in ladders)):
        climbed = [ladder[:height] for ladder, height in zip(ladders, heights, strict=True)]
        widths = [ladder[-1] for ladder in climbed]
        rests = [_rest(*axis) for axis in zip(widths, ends, spacing, strict=True)]
        size = tuple(rest[-1] + 1 for rest in rests)
        last = Step(tuple(itertools.product(*rests)), Window(size, strides))
        yield [*_growth(climbed, spacing), last]


def _least(window: int, apart: int) -> int:
    """Find the fewest cells for one result, of results `apart` whose shifts fill a window.

    They leave no gap, so they are `apart` at least, and what is left is a multiple of `apart`.
    """
    return window if window < apart else apart + window % apart


def _rest(width: int, end: int, apart: int) -> list[int]:
    """Say which results, of `width` cells each and `apart`, make up `end` cells together."""
    last = (end - width) // apart
    return [*range(0, last, width // apart), last] if last else [0]


def _ladders(window: Sequence[int], spacing: Cell, ends: Sequence[int]) -> list[list[int]]:
    """List along each axis the widths of the growing window, doubled until the end is reached."""
    ladders = []
    for k, apart, end in zip(window, spacing, ends, strict=True):
        widths = [_least(k, apart)]
        while widths[-1] < end:
            widths.append(min(widths[-1] + widths[-1] // apart * apart, end))
        ladders.append(widths)
    return ladders


def _growth(ladders: Sequence[Sequence[int]], spacing: Cell) -> PoolPlan:
    """Grow windows along such widths by steps of stride 1, one axis after the other."""
    plan: PoolPlan = []
    rank = len(ladders)
    for axis, (widths, apart) in enumerate(zip(ladders, spacing, strict=True)):
        for narrow, wide in itertools.pairwise(widths):
            end = tuple((wide - narrow) // apart if i == axis else 0 for i in range(rank))
            window = Window(tuple(shift + 1 for shift in end), (1,) * rank)
            plan.append(Step(((0,) * rank, end), window))
    return plan
