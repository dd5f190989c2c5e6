"""The weight algebra: kernels made from other weights, and the small fixed ones.

Every function takes and gives lazy arrays; the functions with a leading underscore are the recipes,
in NumPy. Kernels are written as Keras stores them: `(*window, inputs, filters)` for a convolution,
`(*window, channels, 1)` for a depthwise one, `(*window, filters, inputs)` for a transposed one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from allconv.layout import Layout
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
    """The same number everywhere."""
    return derive(_constant, value, shape=()).broadcast_to(*shape)


def _constant(value: float) -> np.ndarray:
    return np.array(value, "float64")


def average_taps(window: Sequence[int], factor: float | None = None) -> Taps:
    """Every cell of a window with the same factor, by default one over their number."""
    value = 1 / math.prod(window) if factor is None else factor
    return EveryCell(tuple(window), value)


def depthwise_kernel(window: Sequence[int], channels: int, taps: Taps) -> Array:
    """A kernel that treats every channel alike, by itself: shape `(*window, channels, 1)`.

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
    """The same as a full convolution's kernel: shape `(*window, channels, channels)`."""
    shape = (*window, channels, channels)
    return derive(_diagonal_kernel, shape, taps, shape=shape)


def _diagonal_kernel(shape: tuple[int, ...], taps: Taps) -> np.ndarray:
    kernel = np.zeros(shape, "float64")
    for cell, factor in taps:
        np.fill_diagonal(kernel[cell], factor)
    return kernel


def picking_kernel(channels: int, numbers: Sequence[int], rank: int) -> Array:
    """The kernel of a 1x1 convolution that gives some of its channels, in some order."""
    shape = (*(1,) * rank, channels, len(numbers))
    return derive(_picking_kernel, shape, tuple(numbers), shape=shape).broadcast_to(*shape)


def _picking_kernel(shape: tuple[int, ...], numbers: tuple[int, ...]) -> np.ndarray:
    matrix = np.zeros(shape[-2:], "float64")
    matrix[list(numbers), range(len(numbers))] = 1
    return matrix.reshape(shape)


MOST_READ = 1 << 18
"""Values of a kernel that is read to see which of its cells are zero: one megabyte."""


def ends_of_taps(kernel: Array) -> list[tuple[int, int]] | None:
    """The first and the last cell of a window that count, along each axis; None for all of them.

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
    """For a map of ones: channel j, from 2 to k, is j less the cells of a window inside the map.

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
    """Weights of a 1x1 convolution from shortfalls, none of them negative, to `k / cells inside`.

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


def identity_kernel(order: Sequence[int], sizes: Sequence[int]) -> Array:
    """The kernel as large as a map whose filter number i is the map's value number i.

    Args:
        order: The axes of the flattened map, `(*spatial, channels)` being 0, 1, ...
        sizes: Sizes of the map in that order.

    Returns:
        Shape `(*spatial, channels, values)`, so that the convolution flattens the map.
    """
    number = math.prod(sizes)
    return kernel_of_flattened(identity_matrix(number), order, sizes)


def identity_matrix(number: int) -> Array:
    """Ones on the diagonal of a square matrix."""
    return derive(_identity, number, shape=(number, number))


def _identity(number: int) -> np.ndarray:
    return np.eye(number, dtype="float32")


def kernel_of_flattened(kernel: Array, order: Sequence[int], sizes: Sequence[int]) -> Array:
    """A Dense kernel on a flattened map, as the kernel of a convolution as large as the map.

    A Dense layer sums over the values of the map, a convolution over the cells of its window and
    their channels; where the window is the map these are the same products.

    Args:
        kernel: Shape `(values, units)`.
        order: The map's axes in the order in which it was flattened, `(*spatial, channels)` being
            0, 1, ...: `(0, 1, 2)` for a channels-last map.
        sizes: Sizes of those axes, in that order.

    Returns:
        Shape `(*spatial, channels, units)`.
    """
    unflattened = kernel.reshape(*sizes, kernel.shape[-1])
    back = [order.index(axis) for axis in range(len(order))]
    return unflattened.transpose(*back, len(order))


def rows(array: Array, start: int, stop: int) -> Array:
    """Rows `start` to `stop` of an array."""
    return derive(_rows, array, start, stop, shape=(stop - start, *array.shape[1:]))


def _rows(values: np.ndarray, start: int, stop: int) -> np.ndarray:
    return values[start:stop]


def batchnorm_affine(weights: Mapping[str, Array], epsilon: float) -> tuple[Array, Array]:
    """BatchNormalization at inference as `scale * x + shift`, both of shape `(channels,)`.

    `scale = gamma / sqrt(moving_variance + epsilon)`, `shift = beta - moving_mean * scale`
    (Ioffe and Szegedy 2015, arXiv 1502.03167, algorithm 2).
    """
    mean, variance = weights["moving_mean"], weights["moving_variance"]
    gamma, beta = weights.get("gamma"), weights.get("beta")
    scale = derive(_batchnorm_scale, variance, epsilon, gamma, shape=variance.shape)
    shift = derive(_batchnorm_shift, mean, scale, beta, shape=mean.shape)
    return scale, shift


def _batchnorm_scale(variance: np.ndarray, epsilon: float, gamma: np.ndarray | None) -> np.ndarray:
    scale = 1 / np.sqrt(variance.astype("float64") + epsilon)
    return np.asarray(scale if gamma is None else scale * gamma)


def _batchnorm_shift(mean: np.ndarray, scale: np.ndarray, beta: np.ndarray | None) -> np.ndarray:
    shift = -mean.astype("float64") * scale
    return np.asarray(shift if beta is None else shift + beta)


def listed(values: Sequence[float]) -> Array:
    """Numbers of a configuration, one after the other, in float64."""
    return derive(_listed, tuple(values), shape=(len(values),)).in_dtype("float64")


def _listed(values: tuple[float, ...]) -> np.ndarray:
    return np.array(values, "float64")


def scaled_rows(kernel: Array, scale: Array) -> Array:
    """`diag(scale) @ kernel`: a Dense kernel whose inputs are scaled first."""
    return derive(_scaled_rows, kernel, scale, shape=kernel.shape)


def _scaled_rows(kernel: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.asarray(kernel * scale[:, None], kernel.dtype)


def shifted_bias(kernel: Array, shift: Array, bias: Array | None) -> Array:
    """`bias + shift @ kernel`: a Dense bias whose inputs are shifted first."""
    return derive(_shifted_bias, kernel, shift, bias, shape=kernel.shape[-1:])


def _shifted_bias(kernel: np.ndarray, shift: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    moved = shift @ kernel.astype("float64")
    return np.asarray(moved if bias is None else moved + bias, kernel.dtype)


def scaled_columns(matrix: Array, scale: Array) -> Array:
    """`matrix @ diag(scale)`: a Dense kernel whose results are scaled."""
    return derive(_scaled_columns, matrix, scale, shape=matrix.shape)


def _scaled_columns(matrix: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.asarray(matrix * scale, matrix.dtype)


def moved_bias(bias: Array | None, scale: Array, shift: Array) -> Array:
    """`scale * bias + shift`: a bias whose results are scaled and shifted."""
    return derive(_moved_bias, bias, scale, shift, shape=shift.shape)


def _moved_bias(bias: np.ndarray | None, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    return np.asarray(shift if bias is None else scale * bias + shift)


def with_bias_row(matrix: Array, bias: Array) -> Array:
    """A Dense kernel with its bias as one more row, for an input that is always one."""
    rows, columns = matrix.shape
    return derive(_with_bias_row, matrix, bias, shape=(rows + 1, columns))


def _with_bias_row(matrix: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return np.concatenate([matrix, bias[None].astype(matrix.dtype)])


def identity_and_one(channels: int, rank: int = 2) -> dict[str, Array]:
    """Weights of a 1x1 convolution that keeps its channels and adds one that is always one."""
    shape = (*(1,) * rank, channels, channels + 1)
    return {
        "kernel": derive(_wide_identity, shape, shape=shape),
        "bias": derive(_last_one, channels + 1, shape=(channels + 1,)),
    }


def _wide_identity(shape: tuple[int, ...]) -> np.ndarray:
    rows, columns = shape[-2:]
    return np.eye(rows, columns, dtype="float32").reshape(shape)


def _last_one(number: int) -> np.ndarray:
    last: np.ndarray = np.zeros(number, "float32")
    last[-1] = 1
    return last


def unfolding_kernel(matrix: Array, target: Layout) -> Array:
    """A matrix `(inputs, values)` as the kernel of a transposed convolution that writes the map.

    Returns:
        Shape `(*sizes, channels, inputs)`.
    """
    inputs, rank = matrix.shape[0], target.rank
    shape = [size or 0 for size in target.shape(target.sizes, target.channels)]
    unflattened = matrix.reshape(inputs, *shape)
    if target.channels_first:
        return unflattened.transpose(*range(2, rank + 2), 1, 0)
    return unflattened.transpose(*range(1, rank + 2), 0)
