"""A network without its final softmax, sigmoid or tanh, on weights that can be trained."""

from __future__ import annotations

from dataclasses import replace

from allconv.graph import Graph, Node, Slot, call
from allconv.layers.kinds import PLAIN_LINEAR
from allconv.verification.logits import PASSED, SATURATING


def without_ends(first: Graph, second: Graph) -> tuple[Graph, Graph, list[str]]:
    """Return two networks that take inputs alike, without the activations that both end with.

    Where they end with different ones, these stay.

    Returns:
        The networks, and for each output the activation that was left out, "" for none.
    """
    ends = [[_without_end(node) for node in graph.outputs] for graph in (first, second)]
    names, others = ([name for _, name in of_graph] for of_graph in ends)
    if names == others:
        cut = [[node for node, _ in of_graph] for of_graph in ends]
        first = first.with_outputs(first.inputs, cut[0])
        second = second.with_outputs(second.inputs, cut[1])
    else:
        names = [""] * len(names)
    return _taking_tuples(first), _taking_tuples(second), names


def _taking_tuples(graph: Graph) -> Graph:
    """Let the network take one input, or a tuple of them; TensorFlow's data sets have no lists."""
    slots = tuple(Slot(i) for i in range(len(graph.inputs)))
    return replace(graph, input_structure=slots[0] if len(slots) == 1 else slots)


def _without_end(node: Node) -> tuple[Node, str]:
    """Find an output before its last activation, and the activation's name; "" for none."""
    if node.kind in PASSED and len(node.inputs) == 1:
        source, name = _without_end(node.inputs[0])
        return (call(node.spec, [source], node.args, node.kwargs, node.shape), name)
    activation = node.config.get("activation")
    if node.kind == "Softmax" and node.config.get("axis", -1) != -1:
        return node, ""
    if node.kind == "Softmax" or (node.kind == "Activation" and activation in SATURATING):
        return node.inputs[0], str(activation or "softmax")
    if node.kind in PLAIN_LINEAR and activation in SATURATING:
        spec = node.spec.with_config(activation="linear")
        return replace(node, spec=spec), str(activation)
    return node, ""
