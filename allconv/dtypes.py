"""In which dtypes layers compute and have their weights, and which tensors hold whole numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from allconv.graph import ITEM, OF_ALIKE, Node
from allconv.layers.kinds import RELABELS, SPATIAL

PICKS = frozenset(f"ops.{name}" for name in ("GetItem", "Take", "Flip", "Stack")) | OF_ALIKE
"""Operations that give some of a tensor's values, or the same ones in another order."""

KEEPS_TYPE = SPATIAL | RELABELS | PICKS | {"Identity", "Concatenate", ITEM}
"""Layers that return integers where they take integers."""


def policy_of(node: Node) -> Any:
    """The dtype policy of a layer, by its name or description, without quantization.

    An operation has none and computes in its tensor's dtype: that of the nearest layer above.
    """
    while "dtype" not in node.config and node.inputs:
        node = node.inputs[0]
    policy = node.config.get("dtype") or "float32"
    if isinstance(policy, Mapping) and "Quantized" in str(policy.get("class_name")):
        policy = policy.get("config", {}).get("source_name", "float32")
    return "float32" if isinstance(policy, str) and "float" not in policy else policy


def variable_dtype(policy: Any) -> str:
    """The dtype in which a layer of a dtype policy, by its name or description, has its weights."""
    name = policy.get("config", {}).get("name") if isinstance(policy, Mapping) else policy
    return name if name in ("float64", "float16", "bfloat16") else "float32"


def holds_integers(node: Node) -> bool:
    """Whether a tensor holds whole numbers, as images are given."""
    # Not the tensor's own dtype: Keras' symbolic ZeroPadding says float32 where it returns uint8.
    if node.kind in ("InputLayer", "ops.Cast"):
        return "int" in str(node.config.get("dtype"))
    return node.kind in KEEPS_TYPE and holds_integers(node.inputs[0])
