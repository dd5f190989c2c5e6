"""Numbers that a vector is scaled and shifted by, value by value: `scale * x + shift`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from allconv.dtypes import holds_integers
from allconv.graph import Node
from allconv.kernels import batchnorm_affine, listed
from allconv.layout import is_vector
from allconv.weights import Array

Affine = tuple[Any, Any]
"""Scale and shift."""

_OF_VALUE_AND_CONSTANT: Mapping[str, Callable[[Any], Affine]] = {
    "ops.Add": lambda c: (1.0, c),
    "ops.Subtract": lambda c: (1.0, -c),
    "ops.Multiply": lambda c: (c, 0.0),
    "ops.Divide": lambda c: (1 / c, 0.0),
    "ops.TrueDivide": lambda c: (1 / c, 0.0),
}
_OF_CONSTANT_AND_VALUE: Mapping[str, Callable[[Any], Affine]] = {
    "ops.Add": lambda c: (1.0, c),
    "ops.Subtract": lambda c: (-1.0, c),
    "ops.Multiply": lambda c: (c, 0.0),
}
"""`x - c` and `c - x` as affine maps of x."""


def affine_of(node: Node) -> tuple[Array, Array] | None:
    """Read what a layer on a vector scales and shifts its values by; None for other layers."""
    if node.kind == "BatchNormalization":
        return batchnorm_affine(node.spec.weights, node.config["epsilon"])
    if len(node.inputs) != 1 or not is_vector(node) or not is_vector(node.inputs[0]):
        return None
    found = affine_in_config(node)
    count = int((node.shape or (0, 0))[1] or 0)
    if found is None or not all(np.isfinite(each).all() for each in found):
        return None
    if not all(np.shape(each) in ((), (1,), (count,), (1, count)) for each in found):
        return None
    scale, shift = (np.broadcast_to(each, (1, count))[0].tolist() for each in found)
    return listed(scale), listed(shift)


def is_affine(node: Node) -> bool:
    """Tell whether a layer scales and shifts a vector's values."""
    return affine_of(node) is not None


def affine_in_config(node: Node) -> Affine | None:
    """Read by what a Rescaling, or an operation with a constant, scales and shifts any tensor."""
    return _rescaling(node) if node.kind == "Rescaling" else _operation(node)


def _rescaling(node: Node) -> Affine | None:
    scale, shift = (_array(node.config.get(key, 0.0)) for key in ("scale", "offset"))
    if scale is None or shift is None:
        return None
    # Keras takes them through float32, in float64 too.
    return scale.astype("float32").astype("float64"), shift.astype("float32").astype("float64")


def _operation(node: Node) -> Affine | None:
    if len(node.args) != 2 or node.kwargs or holds_integers(node.inputs[0]):  # these may overflow
        return None
    constants = [_array(value) for value in node.args]
    (first, second), folds = constants, None
    if first is None and second is not None:
        folds = _OF_VALUE_AND_CONSTANT.get(node.kind)
    elif first is not None and second is None:
        folds = _OF_CONSTANT_AND_VALUE.get(node.kind)
    constant = second if first is None else first
    with np.errstate(divide="ignore"):
        return folds(constant) if folds else None


def _array(value: Any) -> Any:
    """Read finite numbers as an array of float64; None for anything else."""
    if isinstance(value, Mapping):
        written = value.get("config")
        value = written.get("value") if isinstance(written, Mapping) else None
    if not isinstance(value, (int, float, list, tuple, np.ndarray)):
        return None
    try:
        found = np.asarray(value)
    except ValueError:  # lists of different lengths
        return None
    return found.astype("float64") if found.dtype.kind in "iuf" else None
