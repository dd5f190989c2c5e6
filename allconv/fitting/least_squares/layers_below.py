"""Layers that were there before: which of them are fitted again, and to what.

A layer below a new one is to give what it gave, before its activation. Where a relu follows, and
nothing else, all results that are not above zero are as good.
"""

from __future__ import annotations

from collections.abc import Mapping

from allconv.fitting.least_squares.targets import Fit, Target
from allconv.graph import Graph, Node, Spec, call
from allconv.layers.kinds import IDENTITY_AT_INFERENCE, PLAIN_LINEAR
from allconv.layout import is_along, layout
from allconv.weights import Array


def is_refitted(old: Node, new: Node) -> bool:
    """Tell whether a layer below is a convolution, or was a Dense, of as many results as before."""
    if not {old.kind, new.kind} <= PLAIN_LINEAR:
        return False
    plain = new.spec.weights.keys() <= {"kernel", "bias"} and "kernel" in new.spec.weights
    if not plain or not _plain_weights(old.spec.weights) or new.config.get("groups", 1) != 1:
        return False
    same_end = old.config["activation"] == new.config["activation"]
    return same_end and old.spec.weights["kernel"].shape[-1] == new.spec.weights["kernel"].shape[-1]


def _plain_weights(weights: Mapping[str, Array]) -> bool:
    """Tell whether a layer has a kernel, perhaps a bias, and nothing else."""
    return "kernel" in weights and weights.keys() <= {"kernel", "bias"}


def is_renormed(old: Node, new: Node) -> bool:
    """Tell whether both are the same BatchNormalization over channels, with own statistics."""
    if old.kind != "BatchNormalization" or new.kind != old.kind or old.shape is None:
        return False
    return is_along(old.config["axis"], layout(old).channel_axis, len(old.shape))


def fit_below(before: Graph, after: Graph, calls: list[Node], places: list[int]) -> Fit:
    """Fit a layer that was there before, to give what it gave before its activation."""
    spec = calls[0].spec.with_config(activation="linear")
    results = [call(spec, node.inputs, node.args, node.kwargs, node.shape) for node in calls]
    folded = _folded(before, after, calls)
    targets = tuple(Target(*pair) for pair in zip(places, folded or results, strict=True))
    relu, norm = _relu_behind(before, folded or calls)
    return Fit(calls[0].name, "", targets, relu, norm)


def _folded(before: Graph, after: Graph, calls: list[Node]) -> list[Node]:
    """List the BatchNormalization that the converted layer has taken into its weights, if any."""
    users = before.users()[calls[0]]
    names = {node.name for node in after.nodes}
    gone = [node for node in users if is_renormed(node, node) and node.name not in names]
    return gone if len(users) == len(calls) == 1 else []


def _relu_behind(before: Graph, calls: list[Node]) -> tuple[bool, Spec | None]:
    """Tell whether nothing but a relu takes what a layer gives, and what normalizes between."""
    node, norm = calls[0], None
    activation = node.config.get("activation", "linear")
    if activation != "linear" or len(calls) > 1:
        return activation == "relu", None
    users = before.users()
    while node not in before.outputs and len(users[node]) == 1:
        (node,) = users[node]
        if node.kind == "BatchNormalization" and norm is None and is_renormed(node, node):
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
