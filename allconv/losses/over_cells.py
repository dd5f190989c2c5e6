"""From the probabilities of a map's cells to one for each class, all as logarithms.

A map is `(batch, cells, classes)` here, and `log_p` its logarithms of probabilities. Nothing is
clipped: a probability of 1e-100 still has a logarithm and a gradient in float32.
"""

from __future__ import annotations

import math
from typing import Any

TINY = -15.0
"""Below this logarithm of x the series x - x²/2, and its like, are as good as float64 is."""


def log_of_largest(log_p: Any) -> Any:
    """Return log(max p) over the cells, `(batch, classes)`."""
    from keras import ops

    return ops.max(log_p, axis=1)


def log_of_smooth_largest(log_p: Any, sharpness: float) -> Any:
    """Return log(log(mean(exp(r p))) / r) over the cells, r the sharpness.

    Both sides of the mean are taken less 1, exp(r p) - 1, so that small p do not vanish beside it.
    """
    from keras import ops

    number = ops.cast(ops.shape(log_p)[1], log_p.dtype)
    grown = _log_expm1(log_p + math.log(sharpness))
    mean = ops.logsumexp(grown, axis=1) - ops.log(number)
    return _log_log1p(mean) - math.log(sharpness)


def log_of_others(log_p: Any) -> Any:
    """Return log(1 - p), for each cell and class.

    Where p is nearly 1 the difference has no digits left, so that of a cell's likeliest class is
    the sum of the others. Of these, none is above 1/2.
    """
    from keras import ops

    is_top = ops.one_hot(ops.argmax(log_p, axis=-1), log_p.shape[-1], dtype="bool")
    others = ops.where(is_top, -math.inf, log_p)
    sums = ops.logsumexp(others, axis=-1, keepdims=True)
    return ops.where(is_top, sums, ops.log1p(-ops.exp(others)))


def _log_expm1(log_x: Any) -> Any:
    """Return log(exp(x) - 1) of a logarithm of x."""
    from keras import ops

    is_tiny = log_x < TINY
    x = ops.exp(ops.where(is_tiny, 0.0, log_x))  # not the tiny ones: their gradient would be NaN
    return ops.where(is_tiny, log_x + ops.exp(log_x) / 2, x + ops.log(-ops.expm1(-x)))


def _log_log1p(log_x: Any) -> Any:
    """Return log(log(1 + x)) of a logarithm of x."""
    from keras import ops

    is_tiny = log_x < TINY
    larger = ops.where(is_tiny, 0.0, log_x)
    return ops.where(is_tiny, log_x - ops.exp(log_x) / 2, ops.log(ops.softplus(larger)))
