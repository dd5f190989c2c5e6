"""Writes `pool_costs.md`, beside this file: what exact max pools cost, by window and stride."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from allconv.rules.max_steps import PoolPlan, Step, cost, max_steps
from allconv.rules.same_max import rises, same_pads
from allconv.rules.windows import Window

PAGE = """\
# What an exact max pool costs

All costs are multiply-accumulates for each value of the result, as `allconv.report` counts them,
on maps so large that the border does not matter. On small maps they are a little higher: a 3x3 pool
with stride 2 costs 41 here and 42 on 64x64 ([why](algebra.md#exact-max-pool)). This page is written
by `python docs/pool_costs.py`; a test compares it with the code.

A depthwise convolution multiplies all cells of its window, even those with weight zero. A step of a
plan has one such convolution for each cell that it compares, which gives the cell itself or its
difference to another one. ReLUs and sums cost nothing. A step before a stride of s runs in s x s
times as many places. The plan with the lowest cost is chosen; of several, that with the fewest
layers.

## Window and stride

Rows are windows, columns are strides, the same along both axes.

{matrix}

## The plans, and what others cost

*At once* is one step that compares all cells. *Doubling* doubles the window along both axes at
stride 1, and joins the last doublings and the stride in one step. *Chosen* is the plan that allconv
takes. Its steps are written as window and stride: in `2x1, 2x1, 1x3/2` the window grows from one
row to two, then to three, and the last step compares three columns with stride 2. `3x1(2)` compares
only two cells of its window, the first and the last.

{plans}

## Padding `same` at any size

If padding `same` adds the same number of cells before the map at all sizes, zeros are added, and
the plans above are used. Otherwise the place where windows begin depends on the size of the map.
Then, and at stride 1, every cell rises to its neighbours in place, with one convolution for each
neighbour. One more convolution picks the cell in the middle of each window, or all cells along an
axis. If the values have no lower bound, a map of ones marks what lies over the border; its
convolutions have one channel and are not counted here.

{same}

One axis and three axes are counted in the same way. A window of 3 with stride 2 costs {line} on
signals. On volumes of C channels it costs {volume} C, because Keras has no depthwise convolution of
three axes, and a full one with a diagonal kernel replaces it.
"""
PAIRS = [(k, stride) for k in range(2, 6) for stride in range(1, k + 1)]


def page() -> str:
    """Write the page."""
    return PAGE.format(
        matrix=table(["", *map(str, range(1, 9))], matrix()),
        plans=table(["window, stride", "at once", "doubling", "chosen", "steps"], planned()),
        same=table(["window, stride", "values >= 0", "any values"], bordered()),
        line=cost(max_steps((3,), (2,))),
        volume=cost(max_steps((3, 3, 3), (2, 2, 2))),
    )


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def matrix() -> Iterator[list[object]]:
    """Yield the costs of windows of 1 to 8 cells against strides of 1 to 8."""
    for k in range(1, 9):
        chosen = (cost(max_steps((k, k), (stride, stride))) for stride in range(1, 9))
        yield [f"**{k}x{k}**", *chosen]


def planned() -> Iterator[list[object]]:
    """Yield the plan chosen for each pool, and what two others cost."""
    for k, stride in PAIRS:
        chosen = max_steps((k, k), (stride, stride))
        others = [cost([at_once(k, stride)]), cost(doubling(k, stride))]
        yield [f"{k}x{k}, {stride}", *others, f"**{cost(chosen)}**", f"`{words(chosen)}`"]


def bordered() -> Iterator[list[object]]:
    """Yield what padding 'same' costs at any size, with a lower bound and without."""
    for k, stride in PAIRS:
        window, strides = (k, k), (stride, stride)
        padded = stride > 1 and same_pads((None, None), window, strides) is not None
        bound = cost(max_steps(window, strides)) if padded else rises(window, strides, False).cost
        yield [f"{k}x{k}, {stride}", bound, rises(window, strides, True).cost]


def at_once(k: int, stride: int) -> Step:
    """Return all cells of a window of k x k in one step."""
    return Step(tuple(itertools.product(range(k), range(k))), Window((k, k), (stride, stride)))


def doubling(k: int, stride: int) -> PoolPlan:
    """Plan steps of two cells at stride 1, with the last of both axes joined to one of four."""
    steps, width = [], 1
    while width < k:
        steps.append(min(width, k - width))
        width += steps[-1]
    *growth, last = steps
    plan = []
    for shift in growth:
        for end in ((shift, 0), (0, shift)):
            plan.append(Step(((0, 0), end), Window((end[0] + 1, end[1] + 1), (1, 1))))
    corners = tuple(itertools.product((0, last), (0, last)))
    return [*plan, Step(corners, Window((last + 1, last + 1), (stride, stride)))]


def words(plan: PoolPlan) -> str:
    """Write the steps of a plan, `2x1, 2x1, 1x3/2`."""
    return ", ".join(map(word, plan))


def word(step: Step) -> str:
    """Return one step, `1x3/2`."""
    (rows, columns), stride = step.window.size, step.window.strides[0]
    skips = f"({len(step.cells)})" if len(step.cells) < rows * columns else ""
    return f"{rows}x{columns}{skips}" + (f"/{stride}" if stride > 1 else "")


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page(), encoding="utf-8")
