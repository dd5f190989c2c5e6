"""Pools that stay, with `pooling="keep"`: what a global pool becomes between convolutions."""

from __future__ import annotations

from allconv.graph import Node
from allconv.layers.kinds import GLOBAL_POOLS
from allconv.layout import are_known, carries_mask
from allconv.rule import Match, Outcome, rule
from allconv.rules.windows import flattened


@rule(layer=GLOBAL_POOLS, keeps="function")
def global_pool_to_pool(match: Match) -> Outcome:
    """Global pool, kept  ->  the same with a 1x1 map, or a pool as large as the map.

    On a map of its own size `MaxPooling(sizes of the map, strides=1)` gives one cell, the largest
    value of all; on a larger map it slides. Where no other size is asked for the global pool stays,
    with `keepdims=True`, so that a Dense behind it can become a convolution.
    """
    tensor, config = match.before(match.node), match.node.config
    if not match.any_size and config["keepdims"]:
        return match.absent("it gives a map already")
    if not match.any_size:
        spec = match.node.spec.with_config(keepdims=True)
        return flattened(match, match.again(match.node, *match.node.inputs, spec=spec))
    if len(match.node.inputs) > 1 or carries_mask(tensor):
        return match.skip("a mask leaves cells out of it, and it cannot slide")
    if not are_known(match.layout(tensor).sizes):
        return match.skip(f"a pool of the whole map needs a fixed size, got {tensor.shape}")
    pool = _sliding(match, tensor)
    return pool if config["keepdims"] else flattened(match, pool)


def _sliding(match: Match, tensor: Node) -> Node:
    """Make a pool as large as a map of known sizes, which moves by single cells."""
    layout, config = match.layout(tensor), match.node.config
    pool = match.layer(
        match.node.kind.removeprefix("Global"),
        pool_size=layout.sizes,
        strides=(1,) * layout.rank,
        padding="valid",
        data_format=layout.data_format,
        trainable=config.get("trainable", True),
    )
    return pool(tensor)
