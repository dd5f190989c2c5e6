"""The least squares of one layer, on what two networks hold while images pass through them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from allconv.fitting.agreement import Score
from allconv.fitting.normal_equations import NormalEquations, best_ridge
from allconv.fitting.pairing import Fit, Goal
from allconv.fitting.tensors import Inputs, channels_last, values_at
from allconv.fitting.windows import conv_windows, winners
from allconv.graph import Graph, Node, Spec
from allconv.weights import Array

MOST_VALUES = 1 << 24
"""Values of the windows that are cut out at once; 128 MB in float64."""
MOST_KEPT = 1 << 26
"""Values of maps that are kept for the passes after the first; 256 MB in float32. Where there are
more, both networks are run again for the rest."""

FARTHER = 1.8
"""How far a pass behind the first goes towards the solution of its equations. They bound the error
from above, so each solution is a step that is too short, and up to twice it nothing gets worse."""
HOLD_BACK = 4
"""Every fourth image is held back, to choose the ridge by."""

Maps = tuple[np.ndarray, np.ndarray]
"""What a layer takes, and what it is to give."""
Rows = tuple[np.ndarray, np.ndarray]
"""Windows `(rows, columns)` and what a layer is to make of them, `(rows, outputs)`."""


def with_weights(graph: Graph, spec: Spec, weights: dict[str, np.ndarray]) -> Graph:
    """The network with other values in a layer."""
    arrays = {
        name: Array(values.shape, spec.weights[name].dtype, values.copy)
        for name, values in weights.items()
    }
    return graph.with_specs({spec: replace(spec, weights={**spec.weights, **arrays})})


def fit_layer(
    fit: Fit,
    before: Graph,
    after: Graph,
    batches: Iterable[Inputs],
    passes: int,
) -> Graph:
    """The converted network with one layer fitted.

    Args:
        fit: The layer and its goals.
        before: The original.
        after: The converted network, fitted above this layer.
        batches: Images.
        passes: How often the images are gone through; more than once only before a relu.
    """
    spec = after.nodes[fit.goals[0].place].spec
    start = matrix(spec)
    bias = "bias" in spec.weights
    maps = Kept(Feed([fit], before, after), batches)
    shown, held = (NormalEquations(len(start) - bias, start.shape[1], bias) for _ in range(2))
    for is_held, windows, targets in maps.rows():
        (held if is_held else shown).add(windows, targets)
    ridge, equations = best_ridge(shown, held, start), shown + held
    found = equations.solve(start, ridge)
    for _ in range(passes - 1 if fit.relu else 0):
        equations = equations.without_targets()
        for _, windows, targets in maps.rows():
            equations.add(windows, relaxed(results(windows, found), targets, fit), again=True)
        found = found + FARTHER * (equations.solve(start, ridge) - found)
    return with_weights(after, spec, _weights(spec, found))


def matrix(spec: Spec) -> np.ndarray:
    """The weights of a layer as `NormalEquations` has them: the bias below the kernel's rows."""
    kernel = spec.weights["kernel"].read().astype("float64")
    rows = [kernel.reshape(-1, kernel.shape[-1])]
    if "bias" in spec.weights:
        rows.append(spec.weights["bias"].read().astype("float64")[None])
    return np.concatenate(rows)


def _weights(spec: Spec, found: np.ndarray) -> dict[str, np.ndarray]:
    kernel = spec.weights["kernel"]
    columns = math.prod(kernel.shape[:-1])
    weights = {"kernel": found[:columns].reshape(kernel.shape)}
    if "bias" in spec.weights:
        weights["bias"] = found[columns]
    return {name: values.astype(spec.weights[name].dtype) for name, values in weights.items()}


def results(windows: np.ndarray, found: np.ndarray) -> np.ndarray:
    """What a layer with these weights makes of windows, before its activation."""
    columns = windows.shape[1]
    made: np.ndarray = windows @ found[:columns].astype(windows.dtype)
    return made + found[columns] if len(found) > columns else made


def relaxed(made: np.ndarray, targets: np.ndarray, fit: Fit) -> np.ndarray:
    """Targets where a relu follows: where zero is wanted, all that is not above zero is right.

    What is minimized so is a convex error, `(z - t)^2` where the target is above zero and
    `relu(z)^2` elsewhere. With the targets moved to the results that are right already, the sum of
    squares bounds it from above and touches it at the present weights, so to make the one smaller
    makes the other smaller, too (Hunter and Lange 2004, doi 10.1198/0003130042836).
    """
    factor, shift = fit.affine()
    wanted, present = factor * targets + shift, factor * made + shift
    border = np.broadcast_to(-shift / np.where(factor == 0, 1, factor), targets.shape)
    free = np.where(present <= 0, made, border)
    return np.where(wanted <= 0, free, targets)


def behind_relu(values: np.ndarray, fit: Fit) -> np.ndarray:
    """Results as the layers behind see them, but for a factor of each channel's."""
    if not fit.relu:
        return values
    factor, shift = fit.affine()
    return np.maximum(factor * values + shift, 0.0)


class Feed:
    """Both networks, run up to some layers: what these take, and what they are to give."""

    def __init__(self, fits: Sequence[Fit], before: Graph, after: Graph) -> None:
        goals = [(fit, goal) for fit in fits for goal in fit.goals]
        self.calls = [(fit, goal, after.nodes[goal.place]) for fit, goal in goals]
        inputs = [node.inputs[0] for _, _, node in self.calls]
        self.takes = values_at(after, inputs, "converted model")
        wanted = [node for _, goal in goals for node in needed(goal)]
        self.wanted = values_at(before, wanted, "original")

    def maps(self, batch: Inputs) -> list[Maps]:
        """What each call of each layer takes, and what it is to give, channels last."""
        held = iter(self.wanted(batch))
        taken = zip(self.calls, self.takes(batch), strict=True)
        return [
            (
                channels_last(maps, node.data_format),
                target(goal, [next(held) for _ in needed(goal)]),
            )
            for (_, goal, node), maps in taken
        ]


class Kept:
    """The maps of one layer, for several passes over the images."""

    def __init__(self, feed: Feed, batches: Iterable[Inputs]) -> None:
        self.feed = feed
        self.batches = batches
        self.kept: list[list[Maps]] = []
        self.room = MOST_KEPT

    def rows(self) -> Iterator[tuple[bool, np.ndarray, np.ndarray]]:
        """Windows and targets of all images, a part of them at a time."""
        count = 0
        for number, batch in enumerate(self.batches):
            maps = self.kept[number] if number < len(self.kept) else self._made(number, batch)
            numbers = np.arange(count, count + len(batch[0]))
            count += len(numbers)
            for held in (False, True):
                chosen = (numbers % HOLD_BACK == HOLD_BACK - 1) == held
                for (_, _, node), (takes, wanted) in zip(self.feed.calls, maps, strict=True):
                    for rows in cut_rows(takes[chosen], wanted[chosen], node.spec):
                        yield held, *rows

    def _made(self, number: int, batch: Inputs) -> list[Maps]:
        maps = self.feed.maps(batch)
        size = sum(part.size for pair in maps for part in pair)
        if number == len(self.kept) and size <= self.room:
            self.kept.append(maps)
            self.room -= size
        return maps


def needed(goal: Goal) -> list[Node]:
    """The tensors of the original that a target is made of."""
    return [goal.values] if goal.pool is None else [goal.values, goal.pool.inputs[0]]


def target(goal: Goal, held: list[np.ndarray]) -> np.ndarray:
    """What a layer is to give, channels last, of the values of what is `needed`."""
    maps = [channels_last(values, goal.values.data_format) for values in held]
    if goal.pool is None:
        return maps[0]
    values, places = maps
    return winners(places, values, goal.pool.config)


def cut_rows(maps: np.ndarray, targets: np.ndarray, spec: Spec) -> Iterator[Rows]:
    """The rows of a batch, of as many images at a time as there is room for."""
    outputs = targets.shape[-1]
    columns = math.prod(spec.weights["kernel"].shape[:-1])
    each = max(targets[:1].size // outputs * columns, 1)
    step = max(MOST_VALUES // each, 1)
    for first in range(0, len(maps), step):
        part, wanted = maps[first : first + step], targets[first : first + step]
        is_dense = "kernel_size" not in spec.config
        windows = part.reshape(-1, columns) if is_dense else conv_windows(part, spec.config)
        yield windows, wanted.reshape(-1, outputs)


def scores(
    fits: Sequence[Fit], before: Graph, after: Graph, batches: Iterable[Inputs]
) -> dict[str, Score]:
    """How well each fitted layer meets its goals, by name, all in one pass over the images."""
    feed = Feed(fits, before, after)
    reached = {fit.layer: Score() for fit in fits}
    weights = {node.name: matrix(node.spec) for _, _, node in feed.calls}
    for batch in batches:
        for (fit, _, node), maps in zip(feed.calls, feed.maps(batch), strict=True):
            for windows, targets in cut_rows(*maps, node.spec):
                made = results(windows, weights[node.name])
                reached[fit.layer].add(behind_relu(made, fit), behind_relu(targets, fit))
    return reached
