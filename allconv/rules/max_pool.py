"""The exact max pools: `max(a, b) = relu(a - b) + b`, repeated over the window."""

from __future__ import annotations

import math
from collections.abc import Sequence

from allconv.graph import Node
from allconv.layers.kinds import GLOBAL_MAX_POOLS, MAX_POOLS
from allconv.layout import are_known
from allconv.rule import Match, Outcome, rule
from allconv.rules.max_steps import global_max_steps, max_steps
from allconv.rules.maximum import stepwise, window_maximum
from allconv.rules.same_max import Pads, same_maximum, same_pads
from allconv.rules.windows import (
    edge_padded,
    flattened,
    known_sizes,
    problem_with_window,
    unknown_channels,
    zero_padded,
)


@rule(layer=MAX_POOLS, keeps="function")
def max_pool_to_relu(match: Match) -> Outcome:
    """MaxPooling(window, strides)  ->  relu(difference(x)) + pick(x), repeated over the window.

    A pool pads with minus infinity, a convolution with zero. The two agree where no value is below
    zero; values with a lower bound L < 0 are shifted first: `max(x) = max(x - L) + L`. Where there
    is no such bound the border's own cells are repeated, which every window that reaches over
    holds; or, where the size is free, what lies over the border is masked.
    """
    tensor, config = match.before(match.node), match.node.config
    window, strides = tuple(config["pool_size"]), tuple(config["strides"])
    if problem := unknown_channels(match, tensor) or problem_with_window(window, strides):
        return match.skip(problem)
    sizes = known_sizes(match, tensor)
    pads = same_pads(sizes, window, strides)
    if config["padding"] == "valid" or pads == [(0, 0)] * len(window):
        return window_maximum(match, tensor, window, strides)
    bound = tensor.lower_bound
    if bound is None:
        if pads is None or max(strides) == 1 or not are_known(sizes):
            return same_maximum(match, tensor, window, strides)
        return window_maximum(match, edge_padded(match, tensor, pads), window, strides)
    if bound >= 0:
        return _same(match, tensor, window, strides, pads)
    bound = _in_few_digits(bound)
    shifted = match.layer("Rescaling", "shift", scale=1.0, offset=-bound)(tensor)
    maximum = _same(match, shifted, window, strides, pads, "shifted")
    return match.layer("Rescaling", scale=1.0, offset=bound)(maximum)


@rule(layer=GLOBAL_MAX_POOLS, keeps="function")
def global_max_pool_to_relu(match: Match) -> Outcome:
    """GlobalMaxPooling on a map of fixed size  ->  maxima of a few cells each, down to 1x1.

    Where the result is to take larger maps, too, the window slides over them by single cells.
    """
    tensor = match.before(match.node)
    sizes = match.layout(tensor).sizes
    if problem := unknown_channels(match, tensor):
        return match.skip(problem)
    if not are_known(sizes):
        return match.skip(f"a maximum over the whole map needs a fixed size, got {tensor.shape}")
    if problem := problem_with_window(sizes):
        return match.skip(problem)
    plan = max_steps(sizes, (1,) * len(sizes)) if match.any_size else global_max_steps(sizes)
    maximum = stepwise(match, tensor, plan)
    return maximum if match.node.config["keepdims"] else flattened(match, maximum)


def _same(
    match: Match,
    tensor: Node,
    window: Sequence[int],
    strides: Sequence[int],
    pads: Pads | None,
    last: str = "",
) -> Node:
    """Take the maximum over a window that reaches over the border, of values >= 0."""
    if pads is None or max(strides) == 1:
        return same_maximum(match, tensor, window, strides, last)
    return window_maximum(match, zero_padded(match, tensor, pads), window, strides, last)


def _in_few_digits(bound: float) -> float:
    """Find a number not above a bound that all floats hold: a Rescaling rounds others."""
    fraction, exponent = math.frexp(bound)
    return math.ldexp(math.floor(fraction * 256), exponent - 8)
