"""Average pools: a depthwise convolution with a constant kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from allconv.graph import Node, topological
from allconv.kernels import average_taps
from allconv.layers.kinds import AVERAGE_POOLS, GLOBAL_AVERAGE_POOLS
from allconv.layout import are_known
from allconv.rule import Match, Outcome, rule
from allconv.rules.windows import Window, flattened, per_channel
from allconv.shapes import same_padding, window_output


@rule(layer=AVERAGE_POOLS, keeps="function")
def average_pool_to_conv(match: Match) -> Outcome:
    """AveragePooling(window)  ->  depthwise convolution with every factor 1 / cells of the window.

    With padding 'same' Keras divides by the number of cells inside the map. So the convolution
    sums, and a constant map divides by the counts: `Normalization(mean=0, variance=counts ** 2)`.
    """
    tensor, config = match.before(match.node), match.node.config
    size, strides = tuple(config["pool_size"]), tuple(config["strides"])
    sizes = match.layout(tensor).sizes
    if config["padding"] == "valid" or max(size) == 1:
        return per_channel(match, "", tensor, Window(size, strides), average_taps(size))
    if not are_known(sizes):
        return match.skip(
            f"padding 'same' needs a fixed input size to count the cells, got {tensor.shape}"
        )
    triples = list(zip(sizes, size, strides, strict=True))
    if not any(sum(same_padding(*triple)) for triple in triples):
        return per_channel(match, "", tensor, Window(size, strides), average_taps(size))
    window = Window(size, strides, "same")
    sums = per_channel(match, "sum", tensor, window, average_taps(size, 1.0))
    return _divided(match, sums, [same_counts(*triple) for triple in triples])


@rule(layer=GLOBAL_AVERAGE_POOLS, keeps="function")
def global_average_pool_to_conv(match: Match) -> Outcome:
    """GlobalAveragePooling, map of fixed size  ->  depthwise convolution as large as the map."""
    tensor = match.before(match.node)
    form = match.layout(tensor)
    if _is_masked(match.node):
        return match.skip("a mask leaves cells out of its mean")
    if not are_known(form.sizes):
        return match.skip(f"a mean over the whole map needs a fixed size, got {tensor.shape}")
    window = Window(form.sizes, (1,) * form.rank)
    mean = per_channel(match, "", tensor, window, average_taps(form.sizes))
    return mean if match.node.config["keepdims"] else flattened(match, mean)


def _is_masked(node: Node) -> bool:
    """Whether a call is given a mask, or Keras may hand one down to it from a layer above."""
    above = topological([node])
    return len(node.inputs) > 1 or any(
        n.kind == "Masking" or n.config.get("mask_zero") for n in above
    )


def same_counts(size: int, window: int, stride: int) -> list[int]:
    """How many cells of each window lie inside an axis, with padding 'same'."""
    before, _ = same_padding(size, window, stride)
    starts = [i * stride - before for i in range(window_output(size, window, stride, "same") or 0)]
    return [min(start + window, size) - max(start, 0) for start in starts]


def _divided(match: Match, tensor: Node, counts: Sequence[Sequence[int]]) -> Node:
    """A map divided, cell by cell, by the product of its counts along the axes."""

    def grid(axes: Sequence[Sequence[int]], value: Callable[[int], float], product: int = 1) -> Any:
        if not axes:
            return value(product)
        return [grid(axes[1:], value, product * count) for count in axes[0]]

    divide = match.layer(
        "Normalization",
        axis=match.layout(tensor).spatial_axes,
        mean=grid(counts, lambda count: 0.0),
        variance=grid(counts, lambda count: float(count**2)),
        invert=False,
    )
    return divide(tensor)
