"""Which layers of a converted network are fitted, and to what of its original.

Layers are paired by name: a convolution that is called as a max pool was stands for it, and one
that has taken the strides of a pool that is gone stands for both. So it does not matter how the
converted network came to be, or whether it was saved in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from allconv.fitting.least_squares.layers_below import fit_below, is_refitted, is_renormed
from allconv.fitting.least_squares.targets import Fit, Renorm, Target
from allconv.graph import Graph, Node
from allconv.layers.kinds import (
    IDENTITY_AT_INFERENCE,
    MAX_POOLS,
    PLAIN_CONVOLUTIONS,
    is_elementwise,
)

RELU = ("relu", "linear")


@dataclass(frozen=True)
class Pairing:
    """What is fitted, and what is not.

    Attributes:
        steps: Layers to be fitted, each after those above it.
        not_fitted: Max pools that no layer can be fitted to, with the reasons.
    """

    steps: tuple[Fit | Renorm, ...]
    not_fitted: Mapping[str, str]


def pair(before: Graph, after: Graph, refit: bool = True) -> Pairing:
    """Find the layers that stand for max pools, and those below them.

    Args:
        before: The original.
        after: The converted network.
        refit: Whether the layers below are fitted, too.
    """
    stand_ins, not_fitted = _stand_ins(before, after)
    own = {node.name for fit in stand_ins.values() for node in _chain(fit)}
    calls, places = _calls(before), _places(after)
    steps: dict[str, Fit | Renorm | None] = {}
    reached: set[Node] = set()
    for node in after.nodes:
        name, below = node.name, not reached.isdisjoint(node.inputs)
        if below or name in stand_ins:
            reached.add(node)
        if name in stand_ins:
            steps.setdefault(name, stand_ins[name])
        elif below and name not in own and len(calls.get(name, ())) == len(places[name]):
            steps.setdefault(name, _step_below(before, after, calls[name], places[name], refit))
    return Pairing(tuple(filter(None, steps.values())), not_fitted)


def _step_below(
    before: Graph, after: Graph, calls: list[Node], places: list[int], refit: bool
) -> Fit | Renorm | None:
    """Choose what is done with a layer that was there before; None for nothing."""
    new = after.nodes[places[0]]
    if is_renormed(calls[0], new):
        targets = zip(places, (node.inputs[0] for node in calls), strict=True)
        return Renorm(new.name, tuple(Target(place, node) for place, node in targets))
    if refit and is_refitted(calls[0], new):
        return fit_below(before, after, calls, places)
    return None


def _calls(graph: Graph) -> dict[str, list[Node]]:
    """Collect the calls of each layer, by name."""
    return {
        name: [graph.nodes[place] for place in places] for name, places in _places(graph).items()
    }


def _places(graph: Graph) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for number, node in enumerate(graph.nodes):
        places.setdefault(node.name, []).append(number)
    return places


def _stand_ins(before: Graph, after: Graph) -> tuple[dict[str, Fit], dict[str, str]]:
    """Find by name the layers that stand for pools, and why none can for the other pools."""
    fits: dict[str, Fit] = {}
    not_fitted: dict[str, str] = {}
    places = _places(after)
    for name, pools in _calls(before).items():
        if pools[0].kind not in MAX_POOLS:
            continue
        found = [after.nodes[i] for i in places.get(name, ())]
        if found and found[0].kind in PLAIN_CONVOLUTIONS:
            outcome = _in_its_place(pools, found, places[name])
        elif found:
            continue  # the pool is still there, or an exact one
        else:
            outcome = _with_its_strides(before, pools, after, places)
        if isinstance(outcome, Fit):
            fits[outcome.layer] = outcome
        elif outcome:
            not_fitted[name] = outcome
    return fits, not_fitted


def _in_its_place(pools: list[Node], found: list[Node], places: list[int]) -> Fit | str:
    """Fit a convolution that is called as the pool was."""
    pool, conv = pools[0], found[0]
    if len(pools) != len(found):
        return f"it is called {len(pools)} times, the convolution {len(found)} times"
    if problem := _misfit(conv, pool):
        return problem
    targets = zip(places, pools, strict=True)
    return Fit(
        conv.name,
        pool.name,
        tuple(Target(place, pool) for place, pool in targets),
        relu=conv.config["activation"] == "relu",
    )


def _with_its_strides(
    before: Graph, pools: list[Node], after: Graph, places: Mapping[str, list[int]]
) -> Fit | str:
    """Fit a convolution above the pool that has its strides now; "" where there is none."""
    pool = pools[0]
    source = _conv_above(pool)
    if source is None or source.name not in places or len(pools) > 1:
        return ""
    conv = after.nodes[places[source.name][0]]
    took = tuple(conv.config.get("strides", ())) == tuple(pool.config["strides"])
    if conv.kind not in PLAIN_CONVOLUTIONS or not took:
        return ""
    if len(places[source.name]) > 1:
        return f"'{conv.name}', which took its strides, is called several times"
    if problem := _misfit(conv, pool):
        return problem
    fit = fit_below(before, after, [source], places[source.name])
    target = replace(fit.targets[0], pool=pool)
    return replace(fit, stands_for=pool.name, targets=(target,))


def _misfit(conv: Node, target: Node) -> str:
    """Say why the results of a convolution cannot be fitted to a tensor, "" where they can."""
    if conv.shape is None or target.shape is None or len(conv.shape) != len(target.shape):
        return f"'{conv.name}' gives {conv.shape} where it gave {target.shape}"
    pairs = zip(conv.shape, target.shape, strict=True)
    if any(a != b and None not in (a, b) for a, b in pairs):
        return f"'{conv.name}' gives {conv.shape} where it gave {target.shape}"
    if conv.config["activation"] not in RELU:
        return f"'{conv.name}' ends in {conv.config['activation']}, not in relu or linear"
    if conv.config.get("groups", 1) != 1:
        return f"'{conv.name}' works in groups of channels"
    return ""


def _conv_above(pool: Node) -> Node | None:
    """Find the convolution whose results come to a pool, through layers that work cell by cell."""
    node = pool.inputs[0]
    while node.kind not in PLAIN_CONVOLUTIONS:
        cell_wise = node.kind in ("BatchNormalization", "PReLU", "Softmax")
        cell_wise = cell_wise or node.kind in IDENTITY_AT_INFERENCE
        if len(node.inputs) != 1 or not (cell_wise or is_elementwise(node.kind, node.config)):
            return None
        node = node.inputs[0]
    return node


def _chain(fit: Fit) -> Iterator[Node]:
    """Yield the layers between a convolution and the pool whose strides it has."""
    for target in fit.targets:
        node = target.pool.inputs[0] if target.pool else None
        while node is not None and node.name != fit.layer:
            yield node
            node = node.inputs[0]
