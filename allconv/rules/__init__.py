"""The rules, in the order in which they are tried at each layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from allconv.errors import OptionError
from allconv.graph import Graph
from allconv.layers.kinds import MAX_POOLS, POOLS, activation_layer
from allconv.rule import Rule
from allconv.rules.activations import activation_layer_to_layer
from allconv.rules.average_pool import average_pool_to_conv, global_average_pool_to_conv
from allconv.rules.batchnorm import conv_batchnorm_to_conv
from allconv.rules.channels import channels_picked_to_conv
from allconv.rules.classifier import hidden_dense_to_nothing, hidden_denses
from allconv.rules.conv_pool import max_pool_to_conv
from allconv.rules.dense import dense_on_map_to_conv, flatten_dense_to_conv, vector_dense_to_conv
from allconv.rules.flatten import (
    flatten_cellwise_to_cellwise_flatten,
    flatten_elementwise_to_elementwise_flatten,
    flatten_of_vector_to_nothing,
    flatten_prelu_to_prelu_flatten,
)
from allconv.rules.kept_pools import global_pool_to_pool
from allconv.rules.max_pool import global_max_pool_to_relu, max_pool_to_relu
from allconv.rules.merge import (
    concatenate_dense_to_convs,
    flattens_concatenated_to_cells_concatenated,
    flattens_merged_to_maps_merged,
)
from allconv.rules.reshape import (
    reshape_activation_to_activation_reshape,
    reshape_dense_to_dense_reshape,
    reshape_flatten_to_flatten,
    reshape_of_cell_to_nothing,
)
from allconv.rules.resizing import resizing_to_up_sampling
from allconv.rules.stride_pool import max_pool_to_stride
from allconv.rules.unfold import dense_reshape_to_transposed_conv, vector_reshape_to_transposed_conv
from allconv.strategies import (
    ConvPool,
    ExactPool,
    KeepPool,
    Pooling,
    Strategy,
    StridePool,
    keeps_all_others,
    strategy_of_each,
)

Head = Literal["dense", "classifier", "keep"]
HEADS = ("dense", "classifier", "keep")

MAP_RULES = (channels_picked_to_conv, resizing_to_up_sampling)

AVERAGE_POOL_RULES = (average_pool_to_conv, global_average_pool_to_conv)

FLATTEN_RULES = (
    flatten_of_vector_to_nothing,
    reshape_flatten_to_flatten,
    flatten_elementwise_to_elementwise_flatten,
    flatten_prelu_to_prelu_flatten,
    flatten_cellwise_to_cellwise_flatten,
    flattens_merged_to_maps_merged,
    flattens_concatenated_to_cells_concatenated,
    reshape_of_cell_to_nothing,
    dense_reshape_to_transposed_conv,
    vector_reshape_to_transposed_conv,
    reshape_activation_to_activation_reshape,
)

DENSE_RULES = (
    reshape_dense_to_dense_reshape,
    concatenate_dense_to_convs,
    flatten_dense_to_conv,
    dense_on_map_to_conv,
    vector_dense_to_conv,
)

MAX_POOL_RULES = {
    ExactPool: max_pool_to_relu,
    ConvPool: max_pool_to_conv,
    StridePool: max_pool_to_stride,
}


def rules_for(
    graph: Graph,
    pooling: Pooling,
    head: Head,
    others: Sequence[Rule] = (),
    fold_batchnorm: bool = False,
) -> tuple[Rule, ...]:
    """Choose the rules that the user's choices stand for.

    Args:
        graph: The model, whose pools and Dense layers the choices name.
        pooling: A strategy, or strategies by layer name.
        head: `"dense"`, `"classifier"` or `"keep"`.
        others: The user's own rules; they are tried first.
        fold_batchnorm: Whether convolutions take in the BatchNormalization behind them.

    Raises:
        OptionError: A choice is unknown, or names a layer that is no max pool of the model.
    """
    head_rules = (*FLATTEN_RULES, *_dense_rules(graph, head))
    folds = (conv_batchnorm_to_conv,) if fold_batchnorm else ()
    pools = _pool_rules(graph, pooling)
    return (*others, *_of_activations(graph), *MAP_RULES, *pools, *head_rules, *folds)


def _of_activations(graph: Graph) -> tuple[Rule, ...]:
    """Keep the rule to layers that are given a layer; its words would not explain others."""
    names = [s.name for s in graph.specs() if activation_layer(s.config.get("activation"))]
    return (activation_layer_to_layer.with_options(None, names),)


def _pool_rules(graph: Graph, pooling: Pooling) -> tuple[Rule, ...]:
    chosen = _chosen(graph, pooling)
    by_strategy = {choice: [n for n in chosen if chosen[n] == choice] for choice in chosen.values()}
    rules = tuple(
        MAX_POOL_RULES[type(choice)].with_options(choice, only=names)
        for choice, names in by_strategy.items()
        if type(choice) in MAX_POOL_RULES
    )
    if keeps_all_others(pooling):
        return (*rules, global_pool_to_pool)
    return (*rules, global_max_pool_to_relu, *AVERAGE_POOL_RULES)


def _chosen(graph: Graph, pooling: Pooling) -> dict[str, Strategy]:
    """Return the strategy of each max pool of a model, by name."""
    pools = [node.name for node in graph.nodes if node.kind in MAX_POOLS]
    return strategy_of_each(pooling, list(dict.fromkeys(pools)))


def pools_to_keep(graph: Graph, pooling: Pooling) -> frozenset[str]:
    """List the pools that are to stay, as the user chose; with all, average and global ones."""
    chosen = _chosen(graph, pooling)
    names = {name for name, choice in chosen.items() if isinstance(choice, KeepPool)}
    if keeps_all_others(pooling):
        names |= {node.name for node in graph.nodes if node.kind in POOLS - MAX_POOLS}
    return frozenset(names)


def _dense_rules(graph: Graph, head: Head) -> tuple[Rule, ...]:
    if head not in HEADS:
        raise OptionError(f"unknown head {head!r}; choose one of {', '.join(map(repr, HEADS))}")
    if head == "keep":
        return ()
    if head == "dense":
        return DENSE_RULES
    hidden = hidden_denses(graph)
    denses = {node.name for node in graph.nodes if node.kind == "Dense"} - hidden
    rules = (hidden_dense_to_nothing, *DENSE_RULES)
    return tuple(rule.with_options(None, only=denses) for rule in rules)
