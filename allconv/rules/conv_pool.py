"""Max pools as convolutions with the pool's stride, to be trained (All-CNN)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from allconv.graph import Node
from allconv.kernels import Taps, diagonal_kernel
from allconv.layers.kinds import MAX_POOLS
from allconv.layout import are_known
from allconv.rule import Match, Outcome, rule
from allconv.rules.windows import known_sizes, problem_with_window, unknown_channels, zero_padded
from allconv.shapes import same_padding
from allconv.strategies import ConvPool
from allconv.weights import Array, derive, fresh


@rule(layer=MAX_POOLS, keeps="shape")
def max_pool_to_conv(match: Match) -> Outcome:
    """MaxPooling(window, strides)  ->  Conv2D(channels, window, strides), the mean of the window.

    To keep the sizes with another kernel, a pool without padding is padded (or cropped) by
    `kernel - window` cells, the smaller half first; one with padding 'same' is Keras' own matter.
    """
    options: ConvPool = match.options
    pool, tensor = match.node, match.before(match.node)
    layout, config = match.layout(tensor), pool.config
    window, strides = tuple(config["pool_size"]), tuple(config["strides"])
    kernel = _sizes(options.kernel_size, window)
    if problem := unknown_channels(match, tensor) or problem_with_window(kernel):
        return match.skip(problem)
    if len(kernel) != layout.rank:
        return match.skip(f"ConvPool's kernel_size {kernel} does not have {layout.rank} axes")
    keep_valid = options.padding == "keep" and config["padding"] == "valid"
    padding = "valid" if keep_valid else options.padding.replace("keep", config["padding"])
    pads = [_halves(k - w) if keep_valid else (0, 0) for k, w in zip(kernel, window, strict=True)]
    source = zero_padded(match, tensor, pads)
    starts = _window_starts(match, kernel, padding, [before for before, _ in pads])
    filters = options.filters or layout.channels
    activation, note = _activation(options, tensor)
    conv = match.layer(
        f"Conv{layout.rank}D",
        "",
        _weights(kernel, layout.channels, filters, _mean_taps(kernel, window, starts)),
        filters=filters,
        kernel_size=kernel,
        strides=strides,
        padding=padding,
        data_format=layout.data_format,
        activation=activation,
        trainable=bool(config.get("trainable", True)),
    )
    result = conv(source)
    return match.becomes(result, "shape" if result.shape == pool.shape else "axes", note)


def _sizes(setting: int | Sequence[int] | None, window: tuple[int, ...]) -> tuple[int, ...]:
    if setting is None:
        return window
    return (setting,) * len(window) if isinstance(setting, int) else tuple(setting)


def _halves(total: int) -> tuple[int, int]:
    """Split an amount in two parts, the smaller first; a negative one is cropped likewise."""
    before = abs(total) // 2
    return (before, total - before) if total >= 0 else (-before, total + before)


def _window_starts(
    match: Match, kernel: Sequence[int], padding: str, pads: Sequence[int]
) -> list[int]:
    """Say where in the kernel the pool's window begins, on each axis."""
    if padding == "valid":
        return [max(before, 0) for before in pads]
    config, sizes = match.node.config, known_sizes(match, match.before(match.node))
    window, strides = config["pool_size"], config["strides"]
    if not are_known(sizes):
        return [(k - w) // 2 for k, w in zip(kernel, window, strict=True)]
    starts = []
    for size, k, w, stride in zip(sizes, kernel, window, strides, strict=True):
        pool = same_padding(size, w, stride)[0] if config["padding"] == "same" else 0
        starts.append(same_padding(size, k, stride)[0] - pool)
    return starts


def _mean_taps(kernel: Sequence[int], window: Sequence[int], starts: Sequence[int]) -> Taps:
    """Take the mean over the window's cells in the kernel; over the kernel if none lies there."""
    triples = list(zip(starts, window, strict=True))
    cells = [
        cell
        for cell in np.ndindex(*kernel)
        if all(start <= i < start + w for i, (start, w) in zip(cell, triples, strict=True))
    ] or list(np.ndindex(*kernel))
    return tuple((cell, 1 / len(cells)) for cell in cells)


def _weights(kernel: Sequence[int], channels: int, filters: int, taps: Taps) -> dict[str, Array]:
    if filters != channels:
        return {"kernel": fresh((*kernel, channels, filters)), "bias": fresh((filters,))}
    bias = derive(_zeros, filters, shape=(filters,))
    return {"kernel": diagonal_kernel(kernel, channels, taps), "bias": bias}


def _zeros(number: int) -> np.ndarray:
    return np.zeros(number, "float32")


def _activation(options: ConvPool, tensor: Node) -> tuple[str, str]:
    """Choose the convolution's activation, with a remark where it is not the one asked for."""
    negative = tensor.lower_bound is None or tensor.lower_bound < 0
    if options.activation == "relu" and negative:
        return "linear", "linear, since its input may be negative"
    return options.activation, ""
