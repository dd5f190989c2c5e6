"""Maps cut into the windows that a convolution multiplies, and into those that a pool compares.

Maps are arrays `(batch, *sizes, channels)` of one to three axes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from allconv.shapes import same_padding, span


def conv_windows(
    maps: np.ndarray, config: Mapping[str, Any], cells: np.ndarray | None = None
) -> np.ndarray:
    """Cut out what a convolution multiplies with its kernel, a row for each cell of its result.

    Args:
        maps: What the convolution takes.
        config: Its settings: `kernel_size`, `strides`, `padding` and `dilation_rate`.
        cells: Numbers of cells of the result, `(batch, count)`, for these alone; None for all.

    Returns:
        Shape `(batch * cells, window * channels)`, the values in the order of the kernel's, so that
        `windows @ kernel.reshape(-1, filters)` is the convolution.
    """
    dilation = tuple(config.get("dilation_rate") or [1] * len(config["kernel_size"]))
    view = _cut(maps, tuple(config["kernel_size"]), config, dilation, 0)
    view = np.moveaxis(view, maps.ndim - 1, -1)  # the channels behind the window
    if cells is not None:
        places = np.unravel_index(cells, view.shape[1 : maps.ndim - 1])
        view = view[(np.arange(len(maps))[:, None], *places)]
    return view.reshape(-1, math.prod(config["kernel_size"]) * maps.shape[-1])


def winners(values: np.ndarray, maps: np.ndarray, config: Mapping[str, Any]) -> np.ndarray:
    """Pick from other maps the cells whose values a max pool picks.

    Args:
        values: What the pool takes.
        maps: Others of the same shape.
        config: The pool's settings: `pool_size`, `strides` and `padding`.

    Returns:
        The shape of the pool's result.
    """
    window = tuple(config["pool_size"])
    ones = (1,) * len(window)
    cut = _cut(values, window, config, ones, -np.inf), _cut(maps, window, config, ones, 0)
    places, held = (part.reshape(*part.shape[: maps.ndim], -1) for part in cut)
    best = places.argmax(axis=-1)[..., None]
    return np.take_along_axis(held, best, axis=-1)[..., 0]


def _cut(
    maps: np.ndarray,
    window: Sequence[int],
    config: Mapping[str, Any],
    dilation: Sequence[int],
    around: float,
) -> np.ndarray:
    """View padded maps as `(batch, *results, channels, *window)`."""
    strides, sizes = tuple(config["strides"]), maps.shape[1:-1]
    pads = [
        _pads(config["padding"], *axis)
        for axis in zip(sizes, window, strides, dilation, strict=True)
    ]
    if any(sum(pair) for pair in pads):
        maps = np.pad(maps, [(0, 0), *pads, (0, 0)], constant_values=around)
    spans = [span(k, d) for k, d in zip(window, dilation, strict=True)]
    axes = tuple(range(1, len(window) + 1))
    view = sliding_window_view(maps, spans, axis=axes)
    steps = [slice(None, None, step) for step in strides]
    inner = [slice(None, None, step) for step in dilation]
    return view[(slice(None), *steps, slice(None), *inner)]


def _pads(padding: str, size: int, window: int, stride: int, dilation: int) -> tuple[int, int]:
    if padding == "same":
        return same_padding(size, window, stride, dilation)
    return (span(window, dilation) - 1, 0) if padding == "causal" else (0, 0)
