"""Which layers of a converted network are fitted, and to what of its original.

Layers are paired by name: a convolution that is called as a max pool was stands for it, and one
that has taken the strides of a pool that is gone stands for both. So it does not matter how the
converted network came to be, or whether it was saved in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from allconv.graph import Graph, Node, Spec, call
from allconv.kernels import batchnorm_affine
from allconv.layers.kinds import IDENTITY_AT_INFERENCE, MAX_POOLS, is_elementwise
from allconv.layout import is_along, layout
from allconv.weights import Array

CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv3D")
FITTED = (*CONVOLUTIONS, "Dense")
RELU = ("relu", "linear")


@dataclass(frozen=True)
class Goal:
    """What one call of a layer is to give.

    Attributes:
        place: The number of the call among the nodes of the converted graph.
        values: The tensor of the original to be met; with a `pool`, in the cells that it picks.
        pool: A max pool of the original whose choice is made in what it takes, None for no choice.
    """

    place: int
    values: Node
    pool: Node | None = None


@dataclass(frozen=True)
class Fit:
    """A layer to be fitted.

    Attributes:
        layer: Its name.
        stands_for: The max pool whose place it takes, "" for a layer that was there before.
        goals: One for each of its calls.
        relu: Whether a relu follows: then all results that are not above zero are as good.
        norm: The BatchNormalization between the layer and the relu, None for none.
    """

    layer: str
    stands_for: str
    goals: tuple[Goal, ...]
    relu: bool = False
    norm: Spec | None = None

    def affine(self) -> tuple[np.ndarray | float, np.ndarray | float]:
        """Factor and shift between the layer's results and the relu."""
        if self.norm is None:
            return 1.0, 0.0
        scale, shift = batchnorm_affine(self.norm.weights, self.norm.config["epsilon"])
        return scale.read().astype("float64"), shift.read().astype("float64")


@dataclass(frozen=True)
class Renorm:
    """A BatchNormalization whose statistics are estimated anew.

    Attributes:
        layer: Its name.
        goals: Its calls; the values are what the original's takes.
    """

    layer: str
    goals: tuple[Goal, ...]


@dataclass(frozen=True)
class Pairing:
    """What is fitted, and what is not.

    Attributes:
        steps: Layers to be fitted, each after those above it.
        left: Max pools that no layer can be fitted to, with the reasons.
    """

    steps: tuple[Fit | Renorm, ...]
    left: Mapping[str, str]


def pair(before: Graph, after: Graph, refit: bool = True) -> Pairing:
    """Find the layers that stand for max pools, and those below them.

    Args:
        before: The original.
        after: The converted network.
        refit: Whether the layers below are fitted, too.
    """
    stand_ins, left = _stand_ins(before, after)
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
    return Pairing(tuple(filter(None, steps.values())), left)


def _step_below(
    before: Graph, after: Graph, calls: list[Node], places: list[int], refit: bool
) -> Fit | Renorm | None:
    """What is done with a layer that was there before; None for nothing."""
    new = after.nodes[places[0]]
    if _is_renormed(calls[0], new):
        goals = zip(places, (node.inputs[0] for node in calls), strict=True)
        return Renorm(new.name, tuple(Goal(place, node) for place, node in goals))
    if refit and _is_refitted(calls[0], new):
        return _below(before, after, calls, places)
    return None


def _calls(graph: Graph) -> dict[str, list[Node]]:
    """The calls of each layer, by name."""
    return {
        name: [graph.nodes[place] for place in places] for name, places in _places(graph).items()
    }


def _places(graph: Graph) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for number, node in enumerate(graph.nodes):
        places.setdefault(node.name, []).append(number)
    return places


def _stand_ins(before: Graph, after: Graph) -> tuple[dict[str, Fit], dict[str, str]]:
    """Layers by name that stand for pools, and reasons by the names of pools for which none can."""
    fits: dict[str, Fit] = {}
    left: dict[str, str] = {}
    places = _places(after)
    for name, pools in _calls(before).items():
        if pools[0].kind not in MAX_POOLS:
            continue
        found = [after.nodes[i] for i in places.get(name, ())]
        if found and found[0].kind in CONVOLUTIONS:
            outcome = _in_its_place(pools, found, places[name])
        elif found:
            continue  # the pool is still there, or an exact one
        else:
            outcome = _with_its_strides(before, pools, after, places)
        if isinstance(outcome, Fit):
            fits[outcome.layer] = outcome
        elif outcome:
            left[name] = outcome
    return fits, left


def _in_its_place(pools: list[Node], found: list[Node], places: list[int]) -> Fit | str:
    """A convolution that is called as the pool was."""
    pool, conv = pools[0], found[0]
    if len(pools) != len(found):
        return f"it is called {len(pools)} times, the convolution {len(found)} times"
    if problem := _misfit(conv, pool):
        return problem
    goals = zip(places, pools, strict=True)
    return Fit(
        conv.name,
        pool.name,
        tuple(Goal(place, pool) for place, pool in goals),
        relu=conv.config["activation"] == "relu",
    )


def _with_its_strides(
    before: Graph, pools: list[Node], after: Graph, places: Mapping[str, list[int]]
) -> Fit | str:
    """A convolution above the pool that has its strides now; "" where there is none."""
    pool = pools[0]
    source = _conv_above(pool)
    if source is None or source.name not in places or len(pools) > 1:
        return ""
    conv = after.nodes[places[source.name][0]]
    took = tuple(conv.config.get("strides", ())) == tuple(pool.config["strides"])
    if conv.kind not in CONVOLUTIONS or not took:
        return ""
    if len(places[source.name]) > 1:
        return f"'{conv.name}', which took its strides, is called several times"
    if problem := _misfit(conv, pool):
        return problem
    fit = _below(before, after, [source], places[source.name])
    goal = replace(fit.goals[0], pool=pool)
    return replace(fit, stands_for=pool.name, goals=(goal,))


def _misfit(conv: Node, target: Node) -> str:
    """Why the results of a convolution cannot be fitted to a tensor, "" where they can."""
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
    """The convolution whose results come to a pool, through layers that work cell by cell."""
    node = pool.inputs[0]
    while node.kind not in CONVOLUTIONS:
        cell_wise = node.kind in ("BatchNormalization", "PReLU", "Softmax")
        cell_wise = cell_wise or node.kind in IDENTITY_AT_INFERENCE
        if len(node.inputs) != 1 or not (cell_wise or is_elementwise(node.kind, node.config)):
            return None
        node = node.inputs[0]
    return node


def _chain(fit: Fit) -> Iterator[Node]:
    """The layers between a convolution and the pool whose strides it has."""
    for goal in fit.goals:
        node = goal.pool.inputs[0] if goal.pool else None
        while node is not None and node.name != fit.layer:
            yield node
            node = node.inputs[0]


def _is_refitted(old: Node, new: Node) -> bool:
    """Whether a layer below is a convolution, or was a Dense, with as many results as before."""
    if old.kind not in FITTED or new.kind not in FITTED:
        return False
    plain = new.spec.weights.keys() <= {"kernel", "bias"} and "kernel" in new.spec.weights
    if not plain or not plain_weights(old.spec.weights) or new.config.get("groups", 1) != 1:
        return False
    same_end = old.config["activation"] == new.config["activation"]
    return same_end and old.spec.weights["kernel"].shape[-1] == new.spec.weights["kernel"].shape[-1]


def plain_weights(weights: Mapping[str, Array]) -> bool:
    """Whether a layer has a kernel, perhaps a bias, and nothing else."""
    return "kernel" in weights and weights.keys() <= {"kernel", "bias"}


def _is_renormed(old: Node, new: Node) -> bool:
    """Whether both are the same BatchNormalization over channels, with statistics of its own."""
    if old.kind != "BatchNormalization" or new.kind != old.kind or old.shape is None:
        return False
    return is_along(old.config["axis"], layout(old).channel_axis, len(old.shape))


def _below(before: Graph, after: Graph, calls: list[Node], places: list[int]) -> Fit:
    """A layer that was there before: to give what it gave, before its activation."""
    spec = calls[0].spec.with_config(activation="linear")
    results = [call(spec, node.inputs, node.args, node.kwargs, node.shape) for node in calls]
    folded = _folded(before, after, calls)
    goals = tuple(Goal(*pair) for pair in zip(places, folded or results, strict=True))
    relu, norm = _relu_behind(before, folded or calls)
    return Fit(calls[0].name, "", goals, relu, norm)


def _folded(before: Graph, after: Graph, calls: list[Node]) -> list[Node]:
    """The BatchNormalization that the converted layer has taken into its weights, if it has one."""
    users = before.users()[calls[0]]
    names = {node.name for node in after.nodes}
    gone = [node for node in users if _is_renormed(node, node) and node.name not in names]
    return gone if len(users) == len(calls) == 1 else []


def _relu_behind(before: Graph, calls: list[Node]) -> tuple[bool, Spec | None]:
    """Whether nothing but a relu takes what a layer gives, and what normalizes between."""
    node, norm = calls[0], None
    activation = node.config.get("activation", "linear")
    if activation != "linear" or len(calls) > 1:
        return activation == "relu", None
    users = before.users()
    while node not in before.outputs and len(users[node]) == 1:
        (node,) = users[node]
        if node.kind == "BatchNormalization" and norm is None and _is_renormed(node, node):
            norm = node.spec
        elif _is_relu(node):
            return True, norm
        elif node.kind not in IDENTITY_AT_INFERENCE:
            break
    return False, None


def _is_relu(node: Node) -> bool:
    if node.kind == "ReLU":
        return not any(node.config.get(key) for key in ("max_value", "negative_slope", "threshold"))
    return node.kind == "ops.Relu" or (
        node.kind == "Activation" and node.config.get("activation") == "relu"
    )
