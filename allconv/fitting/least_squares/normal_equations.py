"""Ridge least squares over any number of rows, of which only two sums are kept.

With a row `a` for each window of a convolution (its values, and a 1 for the bias) and the residual
`r` between what should come of it and what weights W give, the step D that minimizes

    sum |a D - r|^2  +  penalty |W + D - start|^2        (without the bias)

solves `(G + penalty) D = M + penalty (start - W)`, where `G = sum a^T a` and `M = sum a^T r`. Both
sums are as large as the weights, however many rows there are. The ridge pulls towards weights that
were good before, not towards zero: what no image shows stays as it was. Steps, not weights, are
solved for: where W is right already, the step is exactly small.

How strong the ridge should be is asked of images that are held back. On theirs, too, the error of a
step is known from the sums, up to what does not depend on it: `tr(D^T G D) - 2 tr(D^T M)`.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from allconv.errors import CalibrationError

RIDGES = tuple(10.0**power for power in range(-4, 2))
"""Penalties to choose from, in parts of the mean of G's diagonal."""
FEW = 1e-1
"""The penalty where no image is held back."""
MOST_AT_ONCE = 1 << 13
"""Rows whose products are summed in their own precision before they are added to the sums.

In float32 such a sum is off by at most 8192 2**-24 = 4.9e-4 of the sum of the products' magnitudes,
however a BLAS goes about it, and by some 1e-6 as most do.
"""


class NormalEquations:
    """The sums G and M, in float64; of float32 rows, blocks are summed in float32 first.

    Attributes:
        columns: Values in a window.
        rows: How many rows were added.
    """

    def __init__(self, columns: int, outputs: int, bias: bool = True) -> None:
        self.columns = columns
        self.rows = 0
        self.gram = np.zeros((columns + bias, columns + bias))
        self.moments = np.zeros((columns + bias, outputs))

    def add(self, windows: np.ndarray, residuals: np.ndarray, again: bool = False) -> None:
        """Take in windows `(rows, columns)` and residuals `(rows, outputs)`.

        Args:
            windows: One window in each row.
            residuals: What should come of them, less what does.
            again: These windows were added before, with other residuals, and are in G already.
        """
        columns = self.columns
        for first in range(0, len(windows), MOST_AT_ONCE):
            some, missed = (each[first : first + MOST_AT_ONCE] for each in (windows, residuals))
            self.moments[:columns] += some.T @ missed
            self.moments[columns:] += missed.sum(axis=0, dtype="float64")
            if not again:
                self._add_windows(some)

    def _add_windows(self, windows: np.ndarray) -> None:
        columns = self.columns
        sums = windows.sum(axis=0, dtype="float64")
        self.gram[:columns, :columns] += windows.T @ windows
        self.gram[columns:, :columns] += sums
        self.gram[:columns, columns:] += sums[:, None]
        self.gram[columns:, columns:] += len(windows)
        self.rows += len(windows)

    def without_residuals(self) -> Self:
        """Keep the windows; `add` gives them residuals anew."""
        other = type(self)(self.columns, self.moments.shape[1], len(self.gram) > self.columns)
        other.gram, other.rows = self.gram, self.rows
        return other

    def __add__(self, other: Self) -> Self:
        """Return all rows of both."""
        total = self.without_residuals()
        total.gram, total.rows = self.gram + other.gram, self.rows + other.rows
        total.moments = self.moments + other.moments
        return total

    def step(self, ridge: float, away: np.ndarray | float = 0.0) -> np.ndarray:
        """Solve for the step `(columns, outputs)`, with the bias as one more row if there is one.

        Args:
            ridge: The penalty, in parts of the mean of G's diagonal; above 0.
            away: How far the weights that gave the residuals are from those to stay near to.

        Raises:
            CalibrationError: There are no rows, or their values are not finite.
        """
        finite = np.isfinite(self.gram).all() and np.isfinite(self.moments).all()
        if not self.rows or not finite:
            what = "values that are not finite" if self.rows else "nothing"
            raise CalibrationError(f"the images give it {what} to be fitted to")
        weights = np.arange(self.columns)
        penalty = np.zeros((len(self.gram), 1))
        penalty[weights] = ridge * max(self.gram[weights, weights].mean(), 1e-30)
        found = np.linalg.solve(self.gram + np.diag(penalty[:, 0]), self.moments - penalty * away)
        return np.asarray(found)

    def error(self, step: np.ndarray) -> float:
        """Sum the squares that a step leaves, up to what does not depend on it."""
        return float(np.sum(step * (self.gram @ step - 2 * self.moments)))


def best_ridge(shown: NormalEquations, held: NormalEquations) -> float:
    """Find the ridge whose step, fitted to some rows, does best on others."""
    if not shown.rows or not held.rows:
        return FEW
    return min(RIDGES, key=lambda ridge: held.error(shown.step(ridge)))
