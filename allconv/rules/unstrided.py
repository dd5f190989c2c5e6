"""Max pools whose stride is to become dilation: the maximum at stride 1, then every cell of it.

At stride 1 a maximum is made axis by axis, and costs half of what it costs with the stride: where
the stride goes, that is what is left.
"""

from __future__ import annotations

from collections.abc import Collection

from allconv.graph import Graph
from allconv.layers.kinds import MAX_POOLS
from allconv.rule import Match, Outcome, Rule, rule
from allconv.rules.windows import strided
from allconv.strategies import ExactPool, Pooling, strategy_of_each


@rule(layer=MAX_POOLS, keeps="function")
def strided_max_pool_to_max_pool(match: Match) -> Outcome:
    """MaxPooling(window, strides)  ->  MaxPooling(window, 1), then every `strides`-th cell."""
    config = match.node.config
    if max(config["strides"]) == 1:
        return match.absent("its stride is 1")
    if config["padding"] != "valid":
        return match.absent("where its windows begin depends on its stride")
    spec = match.node.spec.with_config(strides=(1,) * len(config["strides"]))
    maximum = match.again(match.node, *match.node.inputs, spec=spec)
    return strided(match, maximum, "strided", config["strides"])


def rules_for_finer_maps(
    graph: Graph, pooling: Pooling, names: Collection[str]
) -> tuple[Rule, ...]:
    """Return the rule for those of the named pools that are exact; none if none are."""
    pools = list(dict.fromkeys(node.name for node in graph.nodes if node.kind in MAX_POOLS))
    chosen = strategy_of_each(pooling, pools)
    exact = [name for name in pools if name in names and isinstance(chosen[name], ExactPool)]
    return (strided_max_pool_to_max_pool.with_options(None, only=exact),) if exact else ()
