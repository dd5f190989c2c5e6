"""The exact max pool: `max(a, b) = relu(a - b) + b`, repeated over the window.

A step takes, for each cell of its result, the maximum over a few cells of its input: depthwise
convolutions pick them, two by two as a difference and a pick, `relu(difference(x)) + pick(x)`.
Windows grow by doubling: the maximum over w cells and its copy shifted by d <= w cells give the
maximum over w + d, so that a window of n cells needs `ceil(log2 n)` comparisons in depth, and not
fewer (Haase, Hertrich and Loho 2023, arXiv 2302.12553). A 2x2 pool costs 16 multiply-accumulates
per value of its result.

The stride is taken in the last step, along all axes at once: TensorFlow's depthwise convolution
refuses strides that differ between rows and columns.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from allconv.graph import Node
from allconv.layers.kinds import GLOBAL_MAX_POOLS, MAX_POOLS
from allconv.layout import are_known
from allconv.rule import Match, Outcome, rule
from allconv.rules.windows import (
    Window,
    edge_padded,
    flattened,
    joined,
    per_channel,
    strided,
    zero_padded,
)
from allconv.shapes import same_padding

Cell = tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """The maximum over some cells of a window that moves over a map."""

    cells: tuple[Cell, ...]
    window: Window


@rule(layer=MAX_POOLS, keeps="function")
def max_pool_to_relu(match: Match) -> Outcome:
    """MaxPooling(window, strides)  ->  relu(difference(x)) + pick(x), doubling up to the window.

    A pool pads with minus infinity, a convolution with zero. The two agree where no value is below
    zero; values with a lower bound L < 0 are shifted first: `max(x) = max(x - L) + L`. Where there
    is no such bound the border's own cells are repeated: every window that reaches over holds them.
    """
    tensor, config = match.before(match.node), match.node.config
    window, strides = tuple(config["pool_size"]), tuple(config["strides"])
    pads = _pads(match, tensor, window, strides)
    if config["padding"] == "valid" or pads == [(0, 0)] * len(window):
        return _valid(match, tensor, window, strides)
    bound = tensor.lower_bound
    if bound is None:
        if pads is None:
            return match.skip(
                "padding 'same' reaches over the border, where a pool takes minus infinity and a "
                f"convolution zero; the values of '{tensor.name}' ({tensor.kind}) have no known "
                f"lower bound, and its size is free, {tensor.shape}; put a ReLU before the pool, "
                "or fix the size"
            )
        return _valid(match, edge_padded(match, tensor, pads), window, strides)
    if bound >= 0:
        return _same(match, tensor, window, strides, pads)
    shifted = match.layer("Rescaling", "shift", scale=1.0, offset=-bound)(tensor)
    maximum = _same(match, shifted, window, strides, pads, "shifted")
    return match.layer("Rescaling", scale=1.0, offset=bound)(maximum)


@rule(layer=GLOBAL_MAX_POOLS, keeps="function")
def global_max_pool_to_relu(match: Match) -> Outcome:
    """GlobalMaxPooling on a map of fixed size  ->  max pools of 2 or 3 cells, stride 2, to 1x1.

    An even size is halved by windows of 2; an odd one, by windows of 3 that overlap by a cell.
    """
    tensor = match.before(match.node)
    sizes = match.layout(tensor).sizes
    if not are_known(sizes):
        return match.skip(f"a maximum over the whole map needs a fixed size, got {tensor.shape}")
    maximum = _stepwise(match, tensor, global_max_steps(sizes), "")
    return maximum if match.node.config["keepdims"] else flattened(match, maximum)


def global_max_steps(sizes: tuple[int, ...]) -> list[Step]:
    """Steps that together give the maximum over a map of these sizes."""
    steps: list[Step] = []
    while max(sizes) > 1:
        window = tuple(min(size, 2 + size % 2) for size in sizes)
        steps += max_steps(window, (2,) * len(sizes))
        sizes = tuple((size - k) // 2 + 1 for size, k in zip(sizes, window, strict=True))
    return steps


def max_steps(window: Sequence[int], strides: Sequence[int]) -> list[Step]:
    """Steps that together give the maximum over a window.

    Args:
        window: Cells along each axis.
        strides: Along each axis, all alike.

    Returns:
        Steps to be taken one after the other, without padding. Where window and stride have a
        common divisor, blocks of that size come first, and fewer cells are left for the rest.
    """
    rank, stride = len(window), strides[0]
    for part in range(2, stride + 1):
        if math.gcd(part, stride, *window) == part and max(window) > part:
            rest = tuple(k // part for k in window), (stride // part,) * rank
            return max_steps((part,) * rank, (part,) * rank) + max_steps(*rest)
    steps: list[Step] = []
    shifts: list[int] = []
    for axis, size in enumerate(window):
        widths = _doublings(size)
        growth = [after - before for before, after in itertools.pairwise(widths)]
        steps += [_two_cells(axis, shift, rank) for shift in growth[:-1]]
        shifts.append(growth[-1] if growth else 0)
    if stride == 1:
        return steps + [_two_cells(i, d, rank) for i, d in enumerate(shifts) if d]
    corners = tuple(itertools.product(*(dict.fromkeys((0, shift)) for shift in shifts)))
    return [*steps, Step(corners, Window(tuple(shift + 1 for shift in shifts), tuple(strides)))]


def _doublings(size: int) -> list[int]:
    """Widths of the growing window: 1, 2, 4, ..., size."""
    widths = [1]
    while widths[-1] < size:
        widths.append(min(2 * widths[-1], size))
    return widths


def _two_cells(axis: int, shift: int, rank: int) -> Step:
    start, end = (0,) * rank, tuple(shift if i == axis else 0 for i in range(rank))
    return Step((start, end), Window(tuple(i + 1 for i in end), (1,) * rank))


def _pads(
    match: Match, tensor: Node, window: Sequence[int], strides: Sequence[int]
) -> list[tuple[int, int]] | None:
    """Cells that padding 'same' adds on each axis, None where that depends on the size."""
    pads = []
    for size, k, stride in zip(match.layout(tensor).sizes, window, strides, strict=True):
        if size is None and k > 1:
            return None
        pads.append((0, 0) if size is None else same_padding(size, k, stride))
    return pads


def _valid(
    match: Match, tensor: Node, window: Sequence[int], strides: Sequence[int], last: str = ""
) -> Node:
    """The maximum over a window without padding; unequal strides by a last convolution."""
    common = math.gcd(*strides)
    left = tuple(stride // common for stride in strides)
    steps = max_steps(window, (common,) * len(strides))
    if max(left) == 1:
        return _stepwise(match, tensor, steps, last)
    return strided(match, last, _stepwise(match, tensor, steps, "maximum"), left)


def _same(
    match: Match,
    tensor: Node,
    window: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[tuple[int, int]] | None,
    last: str = "",
) -> Node:
    """The maximum over a window that reaches over the border, of values >= 0."""
    if pads is None:
        # How far 'same' reaches over depends on the size: let each convolution have the window.
        cells = tuple(itertools.product(*map(range, window)))
        step = Step(cells, Window(tuple(window), tuple(strides), "same"))
        return _maximum(match, tensor, step, last)
    return _valid(match, zero_padded(match, tensor, pads), window, strides, last)


def _stepwise(match: Match, tensor: Node, steps: Sequence[Step], last: str) -> Node:
    for number, step in enumerate(steps, 1):
        part = last if number == len(steps) else joined(last, f"step{number}")
        tensor = _maximum(match, tensor, step, part)
    return tensor


def _maximum(match: Match, tensor: Node, step: Step, part: str) -> Node:
    """One step: its cells compared two by two, then the winners, until one is left."""
    pairs = [step.cells[i : i + 2] for i in range(0, len(step.cells), 2)]
    left = [
        _first_round(match, tensor, step.window, cells, _name(part, 1, number, len(pairs)))
        for number, cells in enumerate(pairs, 1)
    ]
    for turn in itertools.count(2):
        if len(left) == 1:
            break
        games = [left[i : i + 2] for i in range(0, len(left), 2)]
        left = [
            _next_round(match, game, _name(part, turn, number, len(games)))
            for number, game in enumerate(games, 1)
        ]
    return left[0]


def _name(part: str, turn: int, number: int, count: int) -> str:
    word = f"pair{number}" if turn == 1 else f"round{turn}_{number}"
    return part if count == 1 else joined(part, word)


def _first_round(
    match: Match, tensor: Node, window: Window, cells: tuple[Cell, ...], part: str
) -> Node:
    """`relu(a - b) + b` of two cells of the window, differences and picks being convolutions."""
    if len(cells) == 1:
        return per_channel(match, part, tensor, window, ((cells[0], 1.0),))
    a, b = cells
    difference, pick = joined(part, "difference"), joined(part, "pick")
    rise = per_channel(match, difference, tensor, window, ((a, 1.0), (b, -1.0)), "relu")
    other = per_channel(match, pick, tensor, window, ((b, 1.0),))
    return match.layer("Add", part)(rise, other)


def _next_round(match: Match, game: Sequence[Node], part: str) -> Node:
    """`relu(a - b) + b` of two tensors."""
    if len(game) == 1:
        return game[0]
    difference = match.layer("Subtract", joined(part, "difference"))(*game)
    rise = match.layer("ReLU", joined(part, "relu"))(difference)
    return match.layer("Add", part)(rise, game[1])
