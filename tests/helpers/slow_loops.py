"""Oracles in plain loops: what a pool or a convolution is, cell by cell, far from any framework.

Maps are `(batch, *sizes, channels)`, windows have one entry for each of the sizes.
"""

from __future__ import annotations

import itertools
import math

import numpy as np


def margins(size, window, stride, padding):
    """Number of results along an axis, and how many cells before it the first window starts."""
    if padding == "valid":
        return (size - window) // stride + 1, 0
    results = math.ceil(size / stride)
    return results, max((results - 1) * stride + window - size, 0) // 2


def windows(images, window, strides, padding):
    """For each place of a window, the place and the cells of the map that lie in the window."""
    axes = list(zip(images.shape[1:-1], window, strides, strict=True))
    results, starts = zip(*(margins(*axis, padding) for axis in axes), strict=True)
    for place in np.ndindex(*results):
        slices = [
            slice(max(i * stride - start, 0), max(i * stride - start + k, 0))
            for i, start, (_, k, stride) in zip(place, starts, axes, strict=True)
        ]
        yield place, images[(slice(None), *slices)]


def pooled(images, window, strides, padding, how):
    """A pool: `how` (`np.max`, `np.mean`) over the cells of each window that lie in the map."""
    places = list(windows(images, window, strides, padding))
    sizes = tuple(last + 1 for last in places[-1][0])
    result = np.zeros((len(images), *sizes, images.shape[-1]), images.dtype)
    for place, cells in places:
        axes = tuple(range(1, cells.ndim - 1))
        result[(slice(None), *place)] = how(cells, axis=axes)
    return result


def convolved(images, kernel):
    """A convolution of stride 1 without padding or bias; kernel `(*window, inputs, filters)`."""
    *window, _, filters = kernel.shape
    sizes = [size - k + 1 for size, k in zip(images.shape[1:-1], window, strict=True)]
    result = np.zeros((len(images), *sizes, filters))
    for place in itertools.product(*map(range, sizes)):
        for cell in np.ndindex(*window):
            values = images[(slice(None), *(i + j for i, j in zip(place, cell, strict=True)))]
            result[(slice(None), *place)] += values @ kernel[cell]
    return result
