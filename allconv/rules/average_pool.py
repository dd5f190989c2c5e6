"""Average pools: a depthwise convolution with a constant kernel.

With padding 'same' Keras divides by the cells inside the map only: it is the mean over all cells of
the window, zeros over the border included, times `k / count` along each axis. At a known size these
shares are constants. At any size a map of ones counts the cells, axis by axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from allconv.dtypes import variable_dtype
from allconv.graph import Node
from allconv.kernels import average_taps, share_weights, shortfall_kernel
from allconv.layers.kinds import AVERAGE_POOLS, GLOBAL_AVERAGE_POOLS
from allconv.layout import are_known, carries_mask
from allconv.rule import Match, Outcome, rule
from allconv.rules.windows import (
    Window,
    convolution,
    flattened,
    is_framework_dependent,
    is_unwritten,
    known_sizes,
    ones_map,
    per_channel,
    twice,
    unknown_channels,
)
from allconv.shapes import same_padding, window_output

MOST_COUNTS = 1 << 16
"""Numbers for the cells of a map that are written down in a layer's configuration."""

MOST_WHOLE = 2**31 - 1
"""The largest int32."""


@rule(layer=AVERAGE_POOLS, keeps="function")
def average_pool_to_conv(match: Match) -> Outcome:
    """AveragePooling(window)  ->  depthwise convolution with every factor 1 / cells of the window.

    With padding 'same' Keras divides by the number of cells inside the map. So the convolution's
    mean is multiplied by `cells of the window / cells inside`, constants that a Rescaling holds.
    Where the size is free, one-channel convolutions count, and a Multiply mends the mean.
    """
    tensor, config = match.before(match.node), match.node.config
    size, strides = tuple(config["pool_size"]), tuple(config["strides"])
    if problem := unknown_channels(match, tensor):
        return match.skip(problem)
    window, sizes = Window(size, strides, config["padding"]), known_sizes(match, tensor)
    if config["padding"] == "valid" or max(size) == 1:
        return per_channel(match, tensor, "", window, average_taps(size))
    if not are_known(sizes) or is_framework_dependent(size, strides):
        return _counted(match, tensor, window)
    triples = list(zip(sizes, size, strides, strict=True))
    if not any(sum(same_padding(*triple)) for triple in triples):
        return per_channel(match, tensor, "", Window(size, strides), average_taps(size))
    counts = [same_counts(*triple) for triple in triples]
    unit = _unit(match, counts, size)
    if unit is None or match.layout(match.node).cells > MOST_COUNTS:
        return _counted(match, tensor, window)
    mean = per_channel(match, tensor, "mean", window, average_taps(size, 1 / unit))
    return _rescaled(match, mean, counts, unit)


@rule(layer=GLOBAL_AVERAGE_POOLS, keeps="function")
def global_average_pool_to_conv(match: Match) -> Outcome:
    """GlobalAveragePooling, map of fixed size  ->  depthwise convolution as large as the map.

    On a larger map it slides.
    """
    tensor = match.before(match.node)
    layout = match.layout(tensor)
    if problem := unknown_channels(match, tensor):
        return match.skip(problem)
    if len(match.node.inputs) > 1 or carries_mask(tensor):
        return match.skip("a mask leaves cells out of its mean")
    if not are_known(layout.sizes):
        return match.skip(f"a mean over the whole map needs a fixed size, got {tensor.shape}")
    window = Window(layout.sizes, (1,) * layout.rank)
    mean = per_channel(match, tensor, "", window, average_taps(layout.sizes))
    return mean if match.node.config["keepdims"] else flattened(match, mean)


def _counted(match: Match, tensor: Node, window: Window) -> Node:
    """Take the mean for a map of any size; further layers count the cells of each window."""
    mean = per_channel(match, tensor, "mean", window, average_taps(window.size))
    return match.layer("Multiply")(mean, _share(match, tensor, window))


def _share(match: Match, tensor: Node, window: Window) -> Node:
    """Divide the cells of each window by those inside the map: a map of one channel."""
    ones = ones_map(match, tensor)
    axes = [axis for axis, k in enumerate(window.size) if k > 1]
    shares = [_share_along(match, ones, axis, window) for axis in axes]
    return shares[0] if len(shares) == 1 else match.layer("Multiply", "share")(*shares)


def _share_along(match: Match, ones: Node, axis: int, window: Window) -> Node:
    """Compute `k / count` along an axis: what is missing of each count, then a line for each.

    The cells are counted on two maps of ones, by halves, where oneDNN may leave some of one
    unwritten.
    """
    part, (*size, _, _) = f"shortfall{axis + 1}", shortfall_kernel(window.size, axis).shape
    maps = 1
    if is_unwritten(match, ones, replace(window, size=tuple(size))):
        ones, maps = twice(match, ones, part), 2
    kernel = {"kernel": shortfall_kernel(window.size, axis, maps)}
    shortfall = convolution(match, ones, part, kernel, window.strides, window.padding, "relu")
    return convolution(match, shortfall, f"share{axis + 1}", share_weights(window.size, axis))


def same_counts(size: int, window: int, stride: int) -> list[int]:
    """Say how many cells of each window lie inside an axis, with padding 'same'."""
    before, _ = same_padding(size, window, stride)
    starts = [i * stride - before for i in range(window_output(size, window, stride, "same") or 0)]
    return [min(start + window, size) - max(start, 0) for start in starts]


def _unit(match: Match, counts: Sequence[Sequence[int]], window: Sequence[int]) -> int | None:
    """Find the number that is divided by the counts, in a Rescaling behind a sum divided by it.

    The cells of the window. But a Rescaling takes its numbers through float32, or as int32; so for
    float64 it is one that all counts divide, None where that is beyond int32.
    """
    if variable_dtype(match.node.config.get("dtype")) != "float64":
        return math.prod(window)
    unit = math.prod(math.lcm(*set(axis)) for axis in counts)
    return unit if unit <= MOST_WHOLE else None


def _rescaled(match: Match, tensor: Node, counts: Sequence[Sequence[int]], unit: int) -> Node:
    """Multiply a map by `unit / count`, cell by cell; the count is a product over the axes.

    A Rescaling takes nested lists, and unlike other layers' axes both kinds of Keras' files carry
    them. They begin with an axis for the batch: only so does Keras take them as they lie.
    """
    layout = match.layout(tensor)
    shares = np.ones(())
    for axis in counts:
        shares = np.multiply.outer(shares, axis)
    lengths = layout.shape(tuple(len(axis) for axis in counts), 1)
    shares = unit / shares.reshape([1, *(length or 0 for length in lengths)])
    whole = np.all(shares == np.rint(shares))
    scale = (shares.astype(int) if whole else shares).tolist()
    return match.layer("Rescaling", scale=scale, offset=0.0)(tensor)
