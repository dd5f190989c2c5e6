"""Ridge least squares over any number of rows, of which only two sums are kept.

With a row `a` for each window of a convolution (its values, and a 1 for the bias) and a target `t`
for what should come of it, the weights that minimize

    sum |a W - t|^2  +  penalty |W - start|^2        (without the bias)

solve `(G + penalty) W = M + penalty start`, where `G = sum a^T a` and `M = sum a^T t`. Both sums
are as large as the weights, however many rows there are. The ridge pulls towards weights that were
good before, not towards zero: what no image shows stays as it was.

How strong it should be is asked of images that are held back. On theirs, too, the error of weights
is known from the sums, up to what does not depend on the weights: `tr(W^T G W) - 2 tr(W^T M)`.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from allconv.errors import CalibrationError

RIDGES = tuple(10.0**power for power in range(-4, 2))
"""Penalties to choose from, in parts of the mean of G's diagonal."""
FEW = 1e-1
"""The penalty where no image is held back."""


class NormalEquations:
    """The sums G and M, in float64.

    Attributes:
        columns: Values in a window.
        rows: How many rows were added.
    """

    def __init__(self, columns: int, outputs: int, bias: bool = True) -> None:
        self.columns = columns
        self.rows = 0
        self.gram = np.zeros((columns + bias, columns + bias))
        self.moments = np.zeros((columns + bias, outputs))

    def add(self, windows: np.ndarray, targets: np.ndarray, again: bool = False) -> None:
        """Take in windows `(rows, columns)` and the results `(rows, outputs)` they should give.

        Args:
            windows: One window in each row.
            targets: What should come of them.
            again: These windows were added before, with other targets, and are in G already.
        """
        rows = np.ones((len(windows), len(self.gram)))
        rows[:, : self.columns] = windows
        self.moments += rows.T @ targets.astype("float64")
        if not again:
            self.gram += rows.T @ rows
            self.rows += len(rows)

    def without_targets(self) -> Self:
        """The same windows; `add` gives them targets anew."""
        other = type(self)(self.columns, self.moments.shape[1], len(self.gram) > self.columns)
        other.gram, other.rows = self.gram, self.rows
        return other

    def __add__(self, other: Self) -> Self:
        """All rows of both."""
        total = self.without_targets()
        total.gram, total.rows = self.gram + other.gram, self.rows + other.rows
        total.moments = self.moments + other.moments
        return total

    def solve(self, start: np.ndarray, ridge: float) -> np.ndarray:
        """The weights `(columns, outputs)`, with the bias as one more row if there is one.

        Args:
            start: Weights to stay near to, of the same shape.
            ridge: The penalty, in parts of the mean of G's diagonal; above 0.

        Raises:
            CalibrationError: There are no rows, or their values are not finite.
        """
        finite = np.isfinite(self.gram).all() and np.isfinite(self.moments).all()
        if not self.rows or not finite:
            what = "values that are not finite" if self.rows else "nothing"
            raise CalibrationError(f"the images give it {what} to be fitted to")
        weights = np.arange(self.columns)
        penalty = np.zeros(len(self.gram))
        penalty[weights] = ridge * max(self.gram[weights, weights].mean(), 1e-30)
        system = self.gram + np.diag(penalty)
        # The step, not the weights: where `start` is right already, the step is exactly small.
        return start + np.linalg.solve(system, self.moments - self.gram @ start)

    def error(self, weights: np.ndarray) -> float:
        """The sum of squares that weights leave, up to what does not depend on them."""
        return float(np.sum(weights * (self.gram @ weights - 2 * self.moments)))


def best_ridge(shown: NormalEquations, held: NormalEquations, start: np.ndarray) -> float:
    """The ridge whose weights, fitted to some rows, do best on others."""
    if not shown.rows or not held.rows:
        return FEW
    return min(RIDGES, key=lambda ridge: held.error(shown.solve(start, ridge)))
