"""Layers for a plan of maxima: `max(a, b) = relu(a - b) + b`, two by two.

Convolutions pick the cells, as differences and as they are; the winners meet in the next round.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from allconv.graph import Node
from allconv.rule import Match
from allconv.rules.max_steps import Cell, Step, max_steps
from allconv.rules.windows import Window, joined, per_channel, strided


def window_maximum(
    match: Match, tensor: Node, window: Sequence[int], strides: Sequence[int], last: str = ""
) -> Node:
    """Take the maximum over a window, without padding.

    Strides that differ between rows and columns are taken up to their common divisor, since
    TensorFlow's depthwise convolution refuses them; a last convolution takes the rest.
    """
    common = math.gcd(*strides)
    left = tuple(stride // common for stride in strides)
    if len(window) != 2 or max(left) == 1:
        return stepwise(match, tensor, max_steps(window, strides), last)
    plan = max_steps(window, (common, common))
    return strided(match, stepwise(match, tensor, plan, "maximum"), last, left)


def stepwise(match: Match, tensor: Node, plan: Sequence[Step], last: str = "") -> Node:
    """Take the steps of a plan, one after the other; the last one's part of the name is `last`."""
    for number, step in enumerate(plan, 1):
        part = last if number == len(plan) else joined(last, f"step{number}")
        tensor = maximum(match, tensor, step, part)
    return tensor


def maximum(match: Match, tensor: Node, step: Step, part: str) -> Node:
    """Take one step: compare its cells two by two, then the winners, until one is left."""
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
    """Compute `relu(a - b) + b` of two cells of a window, by convolutions."""
    if len(cells) == 1:
        return per_channel(match, tensor, part, window, ((cells[0], 1.0),))
    a, b = cells
    difference, pick = joined(part, "difference"), joined(part, "pick")
    rise = per_channel(match, tensor, difference, window, ((a, 1.0), (b, -1.0)), "relu")
    other = per_channel(match, tensor, pick, window, ((b, 1.0),))
    return match.layer("Add", part)(rise, other)


def _next_round(match: Match, game: Sequence[Node], part: str) -> Node:
    """Compute `relu(a - b) + b` of two tensors."""
    if len(game) == 1:
        return game[0]
    difference = match.layer("Subtract", joined(part, "difference"))(*game)
    rise = match.layer("ReLU", joined(part, "relu"))(difference)
    return match.layer("Add", part)(rise, game[1])
