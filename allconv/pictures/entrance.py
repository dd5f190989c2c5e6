"""Whether a network takes pixels as pictures have them, 0 to 255, and scales them itself."""

from __future__ import annotations

import numpy as np

from allconv.graph import Graph, Node
from allconv.layers.kinds import IDENTITY_AT_INFERENCE

_BY_A_CONSTANT = ("ops.Add", "ops.Subtract", "ops.Multiply", "ops.TrueDivide")
_PASSING = {"ZeroPadding2D", "Cropping2D", "ops.GetItem", "ops.Stack"} | IDENTITY_AT_INFERENCE


def takes_pixels(graph: Graph) -> bool:
    """Whether whatever a network does with its first input begins with scaling it.

    That is a Rescaling, a Normalization, or a constant that is added or multiplied, as
    `preprocess_input` does within a model; or its input is of bytes.
    """
    entrance = graph.inputs[0]
    return entrance.config.get("dtype") == "uint8" or _is_scaled(entrance, graph.users())


def _is_scaled(node: Node, users: dict[Node, list[Node]]) -> bool:
    """Whether each layer that takes a tensor scales it, or hands it on to such layers."""
    takers = users[node]
    return bool(takers) and all(
        _scales(taker) or (_hands_on(taker) and _is_scaled(taker, users)) for taker in takers
    )


def _scales(node: Node) -> bool:
    if node.kind == "Rescaling":
        return not _hands_on(node)
    return node.kind == "Normalization" or (node.kind in _BY_A_CONSTANT and len(node.inputs) == 1)


def _hands_on(node: Node) -> bool:
    """Whether a layer gives the same numbers, to which zeros may be added or some not given."""
    if node.kind == "Rescaling":  # a cast is one by 1
        return bool(np.all(np.equal(node.config["scale"], 1)) and not np.any(node.config["offset"]))
    return node.kind in _PASSING
