"""Kernels of transposed convolutions that upsample by straight lines, each class by itself.

Behind a transposed convolution with stride `f`, a cell weighs `1 - |i - c| / f` on the `i`-th of
the cells that it makes. For every middle `c` the weights that fall on one cell add up to 1, and a
ramp stays a ramp. `c = f - 1` or `f - 1/2` makes the kernel symmetric, of `2 f - 1` or `2 f` cells;
any other middle moves the result by a part of a cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from allconv.weights import Array, derive


def usual_part(factor: int) -> Fraction:
    """Return the part of a cell that FCN's kernels are moved by: odd factors none, even ones half.

    Their windows have `2 f - f % 2` cells.
    """
    return Fraction(1 - factor % 2, 2)


def bilinear_centre(factor: int, part: Fraction) -> Fraction:
    """Find the middle of a kernel that is moved by a part of a cell, from 0 to less than 1."""
    return factor - 1 + part


def bilinear_window(factor: int, part: Fraction) -> int:
    """Count the cells of a kernel, all of which weigh more than nothing."""
    return 2 * factor - (not part)


def bilinear_kernel(
    factors: Sequence[int], channels: int, parts: Sequence[Fraction] | None = None
) -> Array:
    """Make the kernel that upsamples by whole factors; no channel is mixed with another.

    Args:
        factors: Along each axis, how many cells each cell becomes.
        channels: Classes of the map.
        parts: Along each axis, the part of a cell that the result is moved by; by default as usual.

    Returns:
        Shape `(*window, channels, channels)`, as of a transposed convolution.
    """
    factors = tuple(factors)
    parts = tuple(map(usual_part, factors) if parts is None else parts)
    window = map(bilinear_window, factors, parts)
    shape = (*window, channels, channels)
    return derive(_bilinear_kernel, factors, parts, channels, shape=shape)


def _bilinear_kernel(
    factors: tuple[int, ...], parts: tuple[Fraction, ...], channels: int
) -> np.ndarray:
    kernel = np.eye(channels)
    for factor, part in zip(reversed(factors), reversed(parts), strict=True):
        kernel = np.tensordot(_weights(factor, part), kernel, axes=0)
    return kernel


def _weights(factor: int, part: Fraction) -> np.ndarray:
    away = np.arange(bilinear_window(factor, part)) - float(bilinear_centre(factor, part))
    weights: np.ndarray = 1 - np.abs(away) / factor
    return weights
