"""What an output of the graph ends with, and what its rounding is relative to."""

from __future__ import annotations

from allconv.graph import Node
from allconv.verification import logits

SIGMOIDS = frozenset(name.replace("_", "") for name in logits.SIGMOIDS)
"""Activations that give a yes or no at 0.5, as `_activation` names them."""

OF_ONE = SIGMOIDS | {"silu", "swish", "hardsilu", "hardswish", "gelu"}
"""Activations whose rounding is relative to one, not to their values.

They add to, or cut off at, a constant of about one. So behind a large negative bias, where Keras
gives 1e-17, ONNX Runtime gives zero, and 4.54e-05 where Keras gives 4.55e-05.
"""


def is_sigmoid(output: Node) -> bool:
    """Tell whether an output's values say yes above 0.5 and no below."""
    return _activation(_arranged_by(output)) in SIGMOIDS


def scale(node: Node) -> float:
    """Say what rounding at a node is relative to, where its values spread less; 0 for them."""
    return 1.0 if _activation(_arranged_by(node)) in OF_ONE else 0.0


def scale_before(node: Node) -> float:
    """Say the same of what the final activation takes, which may be another's result."""
    last = _arranged_by(node)
    is_alone = last.kind in ("Activation", "Softmax") or last.kind.startswith("ops.")
    return scale(last.inputs[0]) if is_alone and last.inputs else 0.0


def only_arranges(node: Node) -> bool:
    """Tell whether a node only says how values lie, or does nothing at inference."""
    is_linear = node.kind == "Activation" and node.config.get("activation") == "linear"
    return bool(node.inputs) and (node.kind in logits.PASSED or is_linear)


def _arranged_by(node: Node) -> Node:
    """Return the node whose values the nodes from there to this one only arrange."""
    while only_arranges(node):
        (node,) = node.inputs
    return node


def _activation(node: Node) -> str:
    """Name the activation that a node ends with, or is, as a layer or as an operation."""
    name = node.config.get("activation") or node.kind.removeprefix("ops.")
    return str(name).replace("_", "").lower()
