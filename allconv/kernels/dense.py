"""Kernels of Dense layers as kernels of convolutions, and identities that gather or unfold maps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from allconv.layout import Layout
from allconv.weights import Array, derive


def identity_kernel(order: Sequence[int], sizes: Sequence[int]) -> Array:
    """Make the kernel as large as a map whose filter number i is the map's value number i.

    Args:
        order: The axes of the flattened map, `(*spatial, channels)` being 0, 1, ...
        sizes: Sizes of the map in that order.

    Returns:
        Shape `(*spatial, channels, values)`, so that the convolution flattens the map.
    """
    number = math.prod(sizes)
    return kernel_of_flattened(identity_matrix(number), order, sizes)


def identity_matrix(number: int) -> Array:
    """Make a square matrix with ones on its diagonal."""
    return derive(_identity, number, shape=(number, number))


def _identity(number: int) -> np.ndarray:
    return np.eye(number, dtype="float32")


def kernel_of_flattened(kernel: Array, order: Sequence[int], sizes: Sequence[int]) -> Array:
    """Turn a Dense kernel on a flattened map into that of a convolution as large as the map.

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
    """Cut rows `start` to `stop` out of an array."""
    return derive(_rows, array, start, stop, shape=(stop - start, *array.shape[1:]))


def _rows(values: np.ndarray, start: int, stop: int) -> np.ndarray:
    return values[start:stop]


def with_bias_row(matrix: Array, bias: Array) -> Array:
    """Add the bias to a Dense kernel as one more row, for an input that is always one."""
    rows, columns = matrix.shape
    return derive(_with_bias_row, matrix, bias, shape=(rows + 1, columns))


def _with_bias_row(matrix: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return np.concatenate([matrix, bias[None].astype(matrix.dtype)])


def identity_and_one(channels: int, rank: int = 2) -> dict[str, Array]:
    """Make a 1x1 convolution that keeps its channels and adds one that is always one."""
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
    """Turn a matrix `(inputs, values)` into the transposed convolution kernel that writes the map.

    Returns:
        Shape `(*sizes, channels, inputs)`.
    """
    inputs, rank = matrix.shape[0], target.rank
    shape = [size or 0 for size in target.shape(target.sizes, target.channels)]
    unflattened = matrix.reshape(inputs, *shape)
    if target.channels_first:
        return unflattened.transpose(*range(2, rank + 2), 1, 0)
    return unflattened.transpose(*range(1, rank + 2), 0)
