"""Where a model makes its images of an input that is none: of rows, or of a vector."""

from __future__ import annotations

from allconv.graph import Graph, Node
from allconv.layers.kinds import RELABELS


def images_made(graph: Graph) -> str:
    """Say what to do about images that a first Reshape makes, in words; "" where none does."""
    return next(filter(None, map(images_made_by, graph.nodes)), "")


def images_made_by(node: Node) -> str:
    """Say the same of a layer, "" where it is no such Reshape.

    `Input((28, 28))` with a `Reshape((28, 28, 1))` behind it has no axes whose sizes could be free:
    the Reshape has one size, and of its input Keras takes the columns for channels.
    """
    if node.kind not in RELABELS or node.inputs[0].kind != "InputLayer":
        return ""
    made, given = (each.shape or () for each in (node, node.inputs[0]))
    if len(made) <= max(3, len(given)) or set(made[1:-1]) == {1}:
        return ""
    return (
        f"layer '{node.name}' ({node.kind}) makes images {made[1:]} of what input "
        f"'{node.inputs[0].name}' takes, {given[1:]}; begin the model with keras.Input({made[1:]}) "
        "and leave that layer out (set_weights(model.get_weights()) gives the new one the weights)"
    )
