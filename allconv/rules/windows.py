"""Layers that the rules for pools are made of: windows that treat every channel alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from allconv.graph import Node
from allconv.kernels import Taps, constant, depthwise_kernel, diagonal_kernel, picking_kernel
from allconv.layers.unwritten import may_be_unwritten
from allconv.layout import Sizes
from allconv.rule import Match
from allconv.shapes import window_output
from allconv.weights import Array

LONGEST, LARGEST, WIDEST = 1 << 14, 1 << 16, 1 << 8
"""Cells of a window along an axis, cells in all, and strides: beyond these no maxima are planned.

Networks have windows of a few cells, and global pools over some thousands; the plan for these takes
tenths of a second.
"""


@dataclass(frozen=True)
class Window:
    """How a window moves over a map.

    Attributes:
        size: Cells along each axis.
        strides: Steps along each axis.
        padding: `"valid"` or `"same"`.
    """

    size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: str = "valid"


def per_channel(
    match: Match, tensor: Node, part: str, window: Window, taps: Taps, activation: str = "linear"
) -> Node:
    """Make a convolution with fixed factors that treats every channel alike and by itself.

    A depthwise convolution of multiplier 1. Keras has none of rank 3, where a full convolution with
    a diagonal kernel stands in, at C times the cost. Never `groups=C`: Keras' TensorFlow backend
    compiles grouped convolutions apart, and such a function cannot be exported.

    TensorFlow's depthwise convolution (2.21 and earlier) refuses strides that differ. Their common
    divisor is taken first then, and the rest by a 1x1 convolution. Padding 'same' depends on the
    stride, so there a diagonal kernel does it at once; on two copies of a single channel, where
    oneDNN may leave cells of one unwritten.
    """
    rank, strides = match.layout(tensor).rank, window.strides
    unequal = rank == 2 and len(set(strides)) > 1
    if not unequal or window.padding == "same":
        return _conv(match, tensor, part, window, taps, activation, unequal or rank == 3)
    common = math.gcd(*strides)
    first = replace(window, strides=(common,) * rank)
    tensor = per_channel(match, tensor, joined(part, "unstrided"), first, taps, activation)
    return strided(match, tensor, part, [stride // common for stride in strides])


def strided(match: Match, tensor: Node, part: str, strides: Sequence[int]) -> Node:
    """Take every `strides`-th cell of a map: a 1x1 convolution with the identity.

    A depthwise one, where TensorFlow takes the strides; a full one costs as much for each channel.
    """
    rank = len(strides)
    window = Window((1,) * rank, tuple(strides))
    full = rank == 3 or len(set(strides)) > 1
    return _conv(match, tensor, part, window, (_whole(rank),), "linear", diagonal=full)


def _whole(rank: int) -> tuple[tuple[int, ...], float]:
    """Return the taps of a window of one cell, taken as it is."""
    return (0,) * rank, 1.0


def is_identity(node: Node, channels: int) -> bool:
    """Tell whether a node is one that `strided` made: it gives cells as they are."""
    kernel = node.spec.weights.get("kernel")
    rank = len(node.shape or ()) - 2
    if kernel is None or not kernel.fixed or kernel.shape[:rank] != (1,) * rank:
        return False
    make = depthwise_kernel if node.kind.startswith("Depthwise") else diagonal_kernel
    whole = make((1,) * rank, channels, (_whole(rank),)).in_dtype(kernel.dtype)
    return kernel == whole and node.config["activation"] == "linear"


def _conv(
    match: Match,
    tensor: Node,
    part: str,
    window: Window,
    taps: Taps,
    activation: str,
    diagonal: bool,
) -> Node:
    layout = match.layout(tensor)
    if diagonal and is_unwritten(match, tensor, window):
        copies = twice(match, tensor, part)
        both = _conv(match, copies, joined(part, "both"), window, taps, activation, diagonal)
        return convolution(match, both, part, {"kernel": picking_kernel(2, (0,), layout.rank)})
    if diagonal:
        weights = {"kernel": diagonal_kernel(window.size, layout.channels, taps)}
        moves = (window.strides, window.padding)
        return convolution(match, tensor, part, weights, *moves, activation)
    conv = match.layer(
        f"DepthwiseConv{layout.rank}D",
        part,
        {"kernel": depthwise_kernel(window.size, layout.channels, taps)},
        kernel_size=window.size,
        strides=window.strides,
        padding=window.padding,
        data_format=layout.data_format,
        activation=activation,
        use_bias=False,
        depth_multiplier=1,
    )
    return conv(tensor)


def is_unwritten(match: Match, tensor: Node, window: Window) -> bool:
    """Tell whether oneDNN may leave cells of a full convolution of a map unwritten."""
    axes = zip(known_sizes(match, tensor), window.size, window.strides, strict=True)
    results = [
        window_output(*axis, "same" if window.padding == "same" else "valid") for axis in axes
    ]
    return may_be_unwritten(match.layout(tensor).channels, window.size, window.strides, results)


def twice(match: Match, tensor: Node, part: str) -> Node:
    """Lay two copies of a map of one channel side by side."""
    kernel = picking_kernel(1, (0, 0), match.layout(tensor).rank)
    return convolution(match, tensor, joined(part, "twice"), {"kernel": kernel})


def convolution(
    match: Match,
    tensor: Node,
    part: str,
    weights: Mapping[str, Array],
    strides: Sequence[int] = (),
    padding: str = "valid",
    activation: str = "linear",
) -> Node:
    """Make a convolution with such a kernel and bias, if there is one; by default of stride 1."""
    layout, (*size, _, filters) = match.layout(tensor), weights["kernel"].shape
    conv = match.layer(
        f"Conv{layout.rank}D",
        part,
        weights,
        filters=filters,
        kernel_size=tuple(size),
        strides=tuple(strides) or (1,) * layout.rank,
        padding=padding,
        data_format=layout.data_format,
        activation=activation,
        use_bias="bias" in weights,
    )
    return conv(tensor)


def ones_map(match: Match, tensor: Node) -> Node:
    """Make a map of one channel that is one in each cell of a map of any size."""
    layout = match.layout(tensor)
    kernel = constant((*(1,) * layout.rank, layout.channels, 1), 0.0)
    return convolution(match, tensor, "ones", {"kernel": kernel, "bias": constant((1,), 1.0)})


def problem_with_window(window: Sequence[int], strides: Sequence[int] = ()) -> str:
    """Say what is wrong with a window for whose cells layers are planned; "" where nothing is."""
    if max(window) > LONGEST or math.prod(window) > LARGEST:
        return f"its window of {'x'.join(map(str, window))} cells is beyond all bounds"
    if max(strides, default=1) > WIDEST:
        return f"its strides of {'x'.join(map(str, strides))} cells are beyond all bounds"
    return ""


def is_framework_dependent(window: Sequence[int], strides: Sequence[int]) -> bool:
    """Tell whether only a layer with the same window knows where padding 'same' begins.

    With strides larger than the window by two or more, TensorFlow's pools and convolutions of rank
    3 pad by less than nothing on CPUs: they leave out the map's first cells.
    """
    return len(window) == 3 and any(k + 1 < s for k, s in zip(window, strides, strict=True))


def known_sizes(match: Match, tensor: Node) -> Sizes:
    """Return the sizes of a map that a layer may depend on, None where they are or will be free."""
    sizes = match.layout(tensor).sizes
    return (None,) * len(sizes) if match.any_size else sizes


def unknown_channels(match: Match, tensor: Node) -> str:
    """Say what is wrong where no kernel can be made for a map's channels; "" where nothing is."""
    known = match.layout(tensor).channels
    return "" if known else f"needs a known number of channels, got {tensor.shape}"


def zero_padded(
    match: Match,
    tensor: Node,
    pads: Sequence[tuple[int, int]],
    of: Node | None = None,
    part: str = "padding",
) -> Node:
    """Put zeros around a map, or crop it by negative numbers; return the tensor itself for none."""
    layout = match.layout(tensor)
    added = [(max(a, 0), max(b, 0)) for a, b in pads]
    if any(sum(pair) for pair in added):
        config: dict[str, Any] = {"padding": tuple(added) if layout.rank > 1 else added[0]}
        kind = f"ZeroPadding{layout.rank}D"
        padding = match.layer(kind, part, of=of, **config, data_format=layout.data_format)
        tensor = padding(tensor)
    return cropped(match, tensor, "cropping", [(max(-a, 0), max(-b, 0)) for a, b in pads], of)


def cropped(
    match: Match,
    tensor: Node,
    part: str,
    amounts: Sequence[tuple[int, int]],
    of: Node | None = None,
) -> Node:
    """Crop a map's border; return the tensor itself where there is nothing to do.

    Keras' Cropping1D knows no data format; where channels come first, a convolution picks.
    """
    layout = match.layout(tensor)
    if not any(sum(pair) for pair in amounts):
        return tensor
    if layout.rank == 1 and layout.channels_first:
        before, after = amounts[0]
        window = Window((before + after + 1,), (1,))
        return per_channel(match, tensor, part, window, (((before,), 1.0),))
    config: dict[str, Any] = {"cropping": amounts[0]}
    if layout.rank > 1:
        config = {"cropping": tuple(amounts), "data_format": layout.data_format}
    return match.layer(f"Cropping{layout.rank}D", part, of=of, **config)(tensor)


def edge_padded(match: Match, tensor: Node, pads: Sequence[tuple[int, int]]) -> Node:
    """Repeat the border's cells of a map of known sizes outwards, axis by axis."""
    layout = match.layout(tensor)
    for i, (axis, (before, after)) in enumerate(zip(layout.spatial_axes, pads, strict=True)):
        others = (layout.sizes[i] or 0) - 1
        first = [_cropped_along(match, tensor, f"first{axis}", i, (0, others))] if before else []
        last = [_cropped_along(match, tensor, f"last{axis}", i, (others, 0))] if after else []
        if before or after:
            concatenate = match.layer("Concatenate", f"edge{axis}", axis=axis)
            tensor = concatenate(*first * before, tensor, *last * after)
    return tensor


def _cropped_along(
    match: Match, tensor: Node, part: str, axis: int, amount: tuple[int, int]
) -> Node:
    rank = match.layout(tensor).rank
    return cropped(match, tensor, part, [amount if i == axis else (0, 0) for i in range(rank)])


def flattened(match: Match, tensor: Node, part: str = "flatten") -> Node:
    """Flatten a 1x1 map to a vector."""
    return match.layer("Flatten", part, data_format="channels_last")(tensor)


def joined(*words: str) -> str:
    """Join a part's name from its words."""
    return "_".join(word for word in words if word)
