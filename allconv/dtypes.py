"""In which dtypes layers compute and have their weights, and which tensors hold whole numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from allconv.graph import ITEM, OF_ALIKE, Node
from allconv.layers.kinds import RELABELS, SPATIAL
from allconv.layers.layer_shapes import KNOWN_KINDS

PICKS = frozenset(f"ops.{name}" for name in ("GetItem", "Take", "Flip", "Stack")) | OF_ALIKE
"""Operations that give some of a tensor's values, or the same ones in another order."""

KEEPS_TYPE = SPATIAL | RELABELS | PICKS | {"Identity", "Concatenate", ITEM}
"""Layers that return integers where they take integers."""


def policy_of(node: Node) -> Any:
    """Return the dtype policy of a layer, by its name or description, without quantization.

    An operation has none and computes in its tensor's dtype: that of the nearest layer above.
    """
    while "dtype" not in node.config and node.inputs:
        node = node.inputs[0]
    policy = node.config.get("dtype") or "float32"
    if isinstance(policy, Mapping) and "Quantized" in str(policy.get("class_name")):
        policy = policy.get("config", {}).get("source_name", "float32")
    return "float32" if isinstance(policy, str) and "float" not in policy else policy


def variable_dtype(policy: Any) -> str:
    """Return the dtype of the weights of a layer with a dtype policy (its name or description)."""
    name = policy.get("config", {}).get("name") if isinstance(policy, Mapping) else policy
    return name if name in ("float64", "float16", "bfloat16") else "float32"


def compute_dtype(policy: Any) -> str:
    """Return the dtype in which a layer with a dtype policy (its name or description) computes."""
    name = policy.get("config", {}).get("name") if isinstance(policy, Mapping) else policy
    return str(name or "float32").removeprefix("mixed_")


def with_32_bits(policy: Any) -> Any:
    """Return the policy that computes in the same dtype, with weights in 32 bits for 16."""
    stored = variable_dtype(policy)
    return f"mixed_{stored}" if "16" in stored else policy


def dtype_of(node: Node) -> str:
    """Return the dtype of a tensor, "" where it is not known."""
    while holds_integers(node) and node.kind in KEEPS_TYPE:
        node = node.inputs[0]
    if node.kind in ("InputLayer", "ops.Cast"):
        return str(node.config.get("dtype") or "float32")
    return compute_dtype(policy_of(node)) if node.kind in KNOWN_KINDS else ""


def holds_integers(node: Node) -> bool:
    """Tell whether a tensor holds whole numbers, as images are given."""
    # Not the tensor's own dtype: Keras' symbolic ZeroPadding says float32 where it returns uint8.
    if node.kind in ("InputLayer", "ops.Cast"):
        return "int" in str(node.config.get("dtype"))
    return node.kind in KEEPS_TYPE and holds_integers(node.inputs[0])
