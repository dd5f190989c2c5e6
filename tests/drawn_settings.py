"""How settings of layers are written, and constraints: what changes no number of an inference."""

from __future__ import annotations

import numpy as np

NAMED = ("relu", "tanh", "softplus")
"""Activations that may be functions, or layers, as well as names."""


def written(pencil, value):
    """A setting in another form that Keras takes for the same: lists, NumPy's numbers, flags."""
    if isinstance(value, dict):
        return {key: written(pencil, part) for key, part in value.items()}
    if isinstance(value, bool):
        return pencil.one(value, int(value), np.bool_(value))
    if isinstance(value, int):
        return pencil.one(value, np.int64(value), np.int32(value))
    if isinstance(value, float):
        return pencil.one(value, np.float64(value))
    if isinstance(value, tuple | list):
        return pencil.one(list, tuple)(written(pencil, part) for part in value)
    return value


def constrained(pencil, kind):
    """A constraint and penalties for a layer with one kernel; none where nobody asked for any."""
    if not _has_kernel(kind) or not pencil.wants("constrained"):
        return {}
    name = "depthwise" if kind.startswith("Depthwise") else "kernel"
    options = {
        f"{name}_constraint": pencil.one(None, "max_norm", "non_neg", "unit_norm"),
        f"{name}_regularizer": pencil.one(None, "l2", "l1"),
        "activity_regularizer": pencil.one(None, None, "l2"),
        "bias_constraint": pencil.one(None, "non_neg"),
        "bias_regularizer": pencil.one(None, "l2"),
    }
    return {key: value for key, value in options.items() if value}


def _has_kernel(kind):
    return kind == "Dense" or kind.startswith(("Conv", "DepthwiseConv"))
