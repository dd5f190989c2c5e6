"""Whether a network takes pixels as pictures have them, 0 to 255, and scales them itself."""

from __future__ import annotations

import numpy as np

from allconv.graph import Graph, Node
from allconv.layers.kinds import IDENTITY_AT_INFERENCE
from allconv.rules.constants import affine_in_config

LEAST_SHIFT = 10
"""Means of pixels are beyond it; a network that takes 0 to 1 shifts by less."""
_PASSING = {"ZeroPadding2D", "Cropping2D", "ops.GetItem", "ops.Stack"} | IDENTITY_AT_INFERENCE


def takes_pixels(graph: Graph) -> bool:
    """Tell whether whatever a network does with its first input begins with scaling it.

    That is a Rescaling, a Normalization, or a constant that is added or multiplied, as
    `preprocess_input` does within a model; or its input is of bytes. One that makes numbers larger,
    or shifts them by less than pixels differ, is for numbers from 0 to 1.
    """
    entrance = graph.inputs[0]
    return entrance.config.get("dtype") == "uint8" or _is_scaled(entrance, graph.users())


def _is_scaled(node: Node, users: dict[Node, list[Node]]) -> bool:
    """Tell whether each layer that takes a tensor scales it, or hands it on to such layers."""
    takers = users[node]
    return bool(takers) and all(
        _scales(taker) or (_hands_on(taker) and _is_scaled(taker, users)) for taker in takers
    )


def _scales(node: Node) -> bool:
    """Tell whether a layer makes pixels smaller, or takes a mean of pixels from them."""
    found = _affine(node)
    if found is None:
        return False
    factor, shift = (np.abs(each) for each in found)
    return bool((factor < 1).all() or ((factor == 1).all() and (shift > LEAST_SHIFT).any()))


def _affine(node: Node) -> tuple[np.ndarray, np.ndarray] | None:
    """Read by what a layer multiplies its input, and what it adds; None for other layers."""
    if node.kind == "Normalization":
        mean, variance = (_statistic(node, name) for name in ("mean", "variance"))
        factor = 1 / np.sqrt(np.maximum(variance, np.finfo("float32").tiny))
        return factor, -mean * factor
    found = affine_in_config(node) if len(node.inputs) == 1 else None
    return None if found is None else (np.asarray(found[0]), np.asarray(found[1]))


def _statistic(node: Node, name: str) -> np.ndarray:
    """Read a mean or a variance, which is a setting or a weight."""
    given = node.config.get(name)
    return np.asarray(node.spec.weights[name].read() if given is None else given, "float64")


def _hands_on(node: Node) -> bool:
    """Tell whether a layer gives the same numbers, with zeros added or some left out."""
    if node.kind == "Rescaling":  # a cast is one by 1
        return bool(np.all(np.equal(node.config["scale"], 1)) and not np.any(node.config["offset"]))
    return node.kind in _PASSING
