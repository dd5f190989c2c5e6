"""The least squares of one layer, on what two networks hold while images pass through them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from allconv.fitting.agreement import Score
from allconv.fitting.batches import Batches
from allconv.fitting.least_squares.normal_equations import NormalEquations, best_ridge
from allconv.fitting.least_squares.rows import Feed, Part, Rows
from allconv.fitting.least_squares.targets import Fit
from allconv.graph import Graph, Spec
from allconv.weights import Array

FARTHER = 1.8
"""How far a pass behind the first goes towards the solution of its equations. They bound the error
from above, so each solution is a step that is too short, and up to twice it nothing gets worse."""


def with_weights(graph: Graph, spec: Spec, weights: dict[str, np.ndarray]) -> Graph:
    """Give a layer of the network other values."""
    arrays = {
        name: Array(values.shape, spec.weights[name].dtype, values.copy)
        for name, values in weights.items()
    }
    return graph.with_specs({spec: replace(spec, weights={**spec.weights, **arrays})})


def fit_layer(
    fit: Fit, before: Graph, after: Graph, batches: Batches, passes: int
) -> tuple[Graph, Score]:
    """Fit one layer of the converted network, and score how well it meets its targets.

    Args:
        fit: The layer and its targets.
        before: The original.
        after: The converted network, fitted above this layer.
        batches: Images.
        passes: How often the rows are gone through; more than once only before a relu.
    """
    spec = after.nodes[fit.targets[0].place].spec
    start = matrix(spec)
    bias = "bias" in spec.weights
    rows = Rows(Feed(fit, before, after), batches)
    shown, held = (NormalEquations(len(start) - bias, start.shape[1], bias) for _ in range(2))
    for part in rows:
        residuals = part.targets - results(part.windows, start)
        (held if part.held else shown).add(part.windows, residuals)
    ridge, equations = best_ridge(shown, held), shown + held
    found = start + equations.step(ridge)
    for _ in range(passes - 1 if fit.relu else 0):
        equations = equations.without_residuals()
        for part in rows:
            made = results(part.windows, found)
            equations.add(part.windows, relaxed(made, part.targets, fit) - made, again=True)
        found = found + FARTHER * equations.step(ridge, found - start)
    return with_weights(after, spec, _weights(spec, found)), score(rows, found, fit)


def matrix(spec: Spec) -> np.ndarray:
    """Lay out a layer's weights as `NormalEquations` does: the bias below the kernel's rows."""
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
    """Compute what a layer with these weights makes of windows, before its activation."""
    columns, weights = windows.shape[1], found.astype(windows.dtype)
    made: np.ndarray = windows @ weights[:columns]
    return made + weights[columns] if len(found) > columns else made


def relaxed(made: np.ndarray, targets: np.ndarray, fit: Fit) -> np.ndarray:
    """Relax targets before a relu: where zero is wanted, all that is not above zero is right.

    What is minimized so is a convex error, `(z - t)^2` where the target is above zero and
    `relu(z)^2` elsewhere. With the targets moved to the results that are right already, the sum of
    squares bounds it from above and touches it at the present weights, so to make the one smaller
    makes the other smaller, too (Hunter and Lange 2004, doi 10.1198/0003130042836).
    """
    factor, shift = fit.affine(targets.dtype)
    border = -shift / np.where(factor == 0, 1, factor)
    free = np.where(factor * made + shift <= 0, made, border)
    return np.where(factor * targets + shift <= 0, free, targets)


def score(rows: Iterable[Part], found: np.ndarray, fit: Fit) -> Score:
    """Say how well weights meet the targets of a layer."""
    reached = Score()
    for part in rows:
        made = results(part.windows, found)
        reached.add(behind_relu(made, fit), behind_relu(part.targets, fit))
    return reached


def behind_relu(values: np.ndarray, fit: Fit) -> np.ndarray:
    """Return the results as the layers behind see them, but for a factor of each channel's."""
    if not fit.relu:
        return values
    factor, shift = fit.affine(values.dtype)
    rectified: np.ndarray = np.maximum(factor * values + shift, 0)
    return rectified
