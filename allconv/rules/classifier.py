"""The head as one convolution: hidden Dense layers dropped, the last one fresh, to be trained."""

from __future__ import annotations

from dataclasses import replace

from allconv.graph import Graph, Node
from allconv.layers.layer_shapes import is_adapted
from allconv.rule import Match, Outcome, rule
from allconv.rules.dense import ADAPTED
from allconv.weights import fresh


@rule(layer="Dense", keeps="shape")
def hidden_dense_to_nothing(match: Match) -> Outcome:
    """Dense, ..., Dense at an output  ->  the last alone, fresh, on what the first one took."""
    dense, first = match.node, None
    node = match.before(dense)
    while _is_vector(node) and node.kind != "Flatten" and len(node.inputs) == 1:
        if node.kind == "Dense":
            first = node
        node = match.before(node)
    if len(node.inputs) > 1 and _has_hidden(match, node):
        return match.skip(
            f"several branches with hidden Dense layers join at '{node.name}' ({node.kind}), and "
            "one convolution cannot replace them; use head='dense'"
        )
    if first is None:
        return match.absent("no hidden Dense before it")
    if is_adapted(dense.config):
        return match.skip(ADAPTED)
    source = match.before(first)
    assert source.shape is not None
    kernel = fresh((int(source.shape[-1] or 0), dense.config["units"]))
    weights = {**dense.spec.weights, "kernel": kernel}
    if "bias" in weights:
        weights["bias"] = fresh(weights["bias"].shape)
    dropped = ", ".join(repr(name) for name in _names(match, match.before(dense), source))
    return match.becomes(
        replace(dense.spec, weights=weights)(source), note=f"in the place of {dropped}"
    )


def hidden_denses(graph: Graph) -> set[str]:
    """List the names of the Dense layers of a head that another Dense of the head follows.

    A head is what makes vectors only, down to the outputs; the Dense layers of a
    squeeze-and-excitation block are in none.
    """
    users, outputs = graph.users(), set(graph.outputs)
    head: set[Node] = set()
    before_dense: set[Node] = set()
    for node in reversed(graph.nodes):
        ends = node in outputs or bool(users[node])
        if _is_vector(node) and ends and all(user in head for user in users[node]):
            head.add(node)
        if any(user.kind == "Dense" or user in before_dense for user in users[node]):
            before_dense.add(node)
    return {
        node.name for node in head & before_dense if node.kind == "Dense" and node not in outputs
    }


def _is_vector(node: Node) -> bool:
    return node.shape is not None and len(node.shape) == 2


def _has_hidden(match: Match, merge: Node) -> bool:
    stack, found = list(merge.inputs), False
    while stack and not found:
        node = stack.pop()
        found = node.kind == "Dense"
        if _is_vector(node) and node.kind != "Flatten":
            stack.extend(node.inputs)
    return found


def _names(match: Match, node: Node, end: Node) -> list[str]:
    names: list[str] = []
    while node is not end:
        names.insert(0, node.name)
        node = match.before(node)
    return names
