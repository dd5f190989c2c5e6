"""Small kernels for windows: of pools, of channels that are picked, of what they count."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from allconv.weights import Array, broadcast, derive

Taps = Iterable[tuple[tuple[int, ...], float]]
"""The cells of a window that count, each with its factor; all others are zero."""


@dataclass(frozen=True)
class EveryCell:
    """All cells of a window, with one factor; a window may be as large as an image."""

    window: tuple[int, ...]
    factor: float

    def __iter__(self) -> Iterator[tuple[tuple[int, ...], float]]:
        return ((cell, self.factor) for cell in np.ndindex(*self.window))


def constant(shape: Sequence[int], value: float) -> Array:
    """Fill an array with one number."""
    return derive(_constant, value, shape=()).broadcast_to(*shape)


def _constant(value: float) -> np.ndarray:
    return np.array(value, "float64")


def average_taps(window: Sequence[int], factor: float | None = None) -> Taps:
    """Give every cell of a window the same factor, by default one over their number."""
    value = 1 / math.prod(window) if factor is None else factor
    return EveryCell(tuple(window), value)


def depthwise_kernel(window: Sequence[int], channels: int, taps: Taps) -> Array:
    """Make a kernel that treats every channel alike, by itself: shape `(*window, channels, 1)`.

    The mean of a window, which may be as large as an image, is one number for all.
    """
    shape = (*window, channels, 1)
    if isinstance(taps, EveryCell) and taps.factor == 1 / math.prod(window) < 1:
        return constant(shape, taps.factor)
    one = (*window, 1, 1)
    return derive(_depthwise_kernel, one, taps, shape=one).broadcast_to(*shape)


def _depthwise_kernel(shape: tuple[int, ...], taps: Taps) -> np.ndarray:
    kernel = np.zeros(shape, "float64")
    for cell, factor in taps:
        kernel[cell] = factor
    return kernel


def diagonal_kernel(window: Sequence[int], channels: int, taps: Taps) -> Array:
    """Make the same as a full convolution's kernel: shape `(*window, channels, channels)`."""
    shape = (*window, channels, channels)
    return derive(_diagonal_kernel, shape, taps, shape=shape)


def _diagonal_kernel(shape: tuple[int, ...], taps: Taps) -> np.ndarray:
    kernel = np.zeros(shape, "float64")
    for cell, factor in taps:
        np.fill_diagonal(kernel[cell], factor)
    return kernel


def picking_kernel(channels: int, numbers: Sequence[int], rank: int) -> Array:
    """Make the kernel of a 1x1 convolution that gives some of its channels, in some order."""
    shape = (*(1,) * rank, channels, len(numbers))
    return derive(_picking_kernel, shape, tuple(numbers), shape=shape).broadcast_to(*shape)


def _picking_kernel(shape: tuple[int, ...], numbers: tuple[int, ...]) -> np.ndarray:
    matrix = np.zeros(shape[-2:], "float64")
    matrix[list(numbers), range(len(numbers))] = 1
    return matrix.reshape(shape)


MOST_READ = 1 << 18
"""Values of a kernel that is read to see which of its cells are zero: one megabyte."""


def ends_of_taps(kernel: Array) -> list[tuple[int, int]] | None:
    """Find the first and the last cell of a window that count, along each axis; None for all.

    A kernel that the rules made says so by itself; another one is read, if it is small.
    """
    window = kernel.shape[:-2]
    if kernel.is_fresh or math.prod(window) == 1:
        return None
    made = kernel.parts[0] if kernel.recipe is broadcast else kernel
    if made.recipe is _constant:
        return None
    if made.recipe in (_depthwise_kernel, _diagonal_kernel):
        used = [cell for cell, factor in made.parts[1] if factor]
    elif kernel.size <= MOST_READ:
        used = [tuple(cell) for cell in np.argwhere(kernel.read().any(axis=(-2, -1))).tolist()]
    else:
        return None
    return [(min(axis), max(axis)) for axis in zip(*used, strict=True)] if used else None


def shortfall_kernel(window: Sequence[int], axis: int, maps: int = 1) -> Array:
    """Make, of a map of ones, channel j (2 to k): j less the cells of a window inside the map.

    The window has k cells along one axis and one along the others. Each cell counts -1, and the one
    in the middle, number `(k - 1) // 2`, j more: with padding 'same' it is inside always, so that
    no bias is needed. (With channels first Keras 3.15's TensorFlow backend adds a bias along the
    rows where they are as long.)

    Args:
        window: Cells along each axis.
        axis: The one along which cells are counted.
        maps: How many maps of ones there are, each of which adds its share.

    Returns:
        Shape `(*window, maps, k - 1)`.
    """
    size = [window[axis] if i == axis else 1 for i in range(len(window))]
    shape = (*size, maps, window[axis] - 1)
    return derive(_shortfall_kernel, shape, shape=shape).broadcast_to(*shape)


def _shortfall_kernel(shape: tuple[int, ...]) -> np.ndarray:
    middle = tuple((k - 1) // 2 for k in shape[:-2])
    kernel = np.full(shape, -1.0, "float32")
    kernel[middle] += np.arange(2, shape[-1] + 2)
    return kernel / shape[-2]


def share_weights(window: Sequence[int], axis: int) -> dict[str, Array]:
    """Make a 1x1 convolution from shortfalls, none of them negative, to `k / cells inside`.

    `k / c` is interpolated by straight lines from each whole c to the next, and so exact for the
    counts 1 to k: `1 + k sum_j b_j relu(j - c)`, with `b_k = 1 / ((k - 1) k)` and
    `b_j = 2 / ((j - 1) j (j + 1))` for j below k, by which the slope changes at j. No term is
    negative, so none is lost to rounding; where the whole window is inside, all are zero.
    """
    k = window[axis]
    shape = (*(1 for _ in window), k - 1, 1)
    kernel = derive(_share_kernel, shape, k, shape=shape).broadcast_to(*shape)
    return {"kernel": kernel, "bias": constant((1,), 1.0)}


def _share_kernel(shape: tuple[int, ...], k: int) -> np.ndarray:
    j = np.arange(2, k + 1)
    slopes = np.where(j < k, 2 / ((j - 1) * j * (j + 1)), 1 / ((k - 1) * k))
    return np.reshape(k * slopes, shape)
