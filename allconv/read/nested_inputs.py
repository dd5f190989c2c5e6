"""What a nested model is called on, which Keras casts to the dtypes of its Inputs.

A nested model is written out in place, without its Inputs; so where a cast changes numbers a layer
of the Input's name does it. Wider floats hold the same numbers, other integers are taken to hold
them, and a layer that computes in the Input's dtype casts by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from allconv.dtypes import compute_dtype, dtype_of
from allconv.graph import Node
from allconv.read.layer_tree import is_model, kind_of, name_of
from allconv.read.scope import Scope

HELD_BY = {
    "float16": {"float16", "float32", "float64"},
    "bfloat16": {"bfloat16", "float32", "float64"},
    "float32": {"float32", "float64"},
    "float64": {"float64"},
}
"""Floats, each with those that hold all of its numbers."""

INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}


def taken(
    data: Mapping[str, Any], tensor: Node, takers: Iterable[Mapping[str, Any]], scope: Scope
) -> Node:
    """Return a tensor as a nested model's Input takes it.

    Args:
        data: The Input.
        tensor: What the nested model is called on.
        takers: The layers that take the Input's tensor.
        scope: The nested model.
    """
    dtype = data["config"].get("dtype") if kind_of(data) == "InputLayer" else None
    found = dtype_of(tensor)
    if not isinstance(dtype, str) or not _changes(found, dtype):
        return tensor
    if found in HELD_BY and all(_computes_in(dtype, taker) for taker in takers):
        return tensor
    if dtype in HELD_BY:  # not an operation, which an `.h5` file would not carry
        settings = {"scale": 1.0, "offset": 0.0, "trainable": False, "dtype": dtype}
        return scope.added("Rescaling", name_of(data), settings)(tensor)
    cast = scope.added("ops.Cast", name_of(data), {"dtype": dtype}, "keras.src.ops.core")
    return cast(tensor)


def _computes_in(dtype: str, data: Mapping[str, Any]) -> bool:
    """Tell whether a layer computes in a dtype of floats; operations and models have none."""
    is_layer = not is_model(data) and not kind_of(data).startswith("ops.")
    return is_layer and compute_dtype(data["config"].get("dtype")) == dtype


def _changes(found: str, dtype: str) -> bool:
    """Tell whether numbers of a dtype are others in another one."""
    if found in INTEGERS:
        return dtype in HELD_BY
    return found in HELD_BY and dtype in (HELD_BY.keys() | INTEGERS) - HELD_BY[found]
