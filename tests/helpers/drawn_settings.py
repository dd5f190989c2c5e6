"""How settings of layers are written, and constraints: what changes no number of an inference."""

from __future__ import annotations

import numpy as np

NAMED = ("relu", "tanh", "softplus")
"""Activations that may be functions, or layers, as well as names."""


def written(chance, value):
    """A setting in another form that Keras takes for the same: lists, NumPy's numbers, flags."""
    if isinstance(value, dict):
        return {key: written(chance, part) for key, part in value.items()}
    if isinstance(value, bool):
        return chance.one(value, int(value), np.bool_(value))
    if isinstance(value, int):
        return chance.one(value, np.int64(value), np.int32(value))
    if isinstance(value, float):
        return chance.one(value, np.float64(value))
    if isinstance(value, tuple | list):
        return chance.one(list, tuple)(written(chance, part) for part in value)
    return value


def constrained(chance, kind):
    """A constraint and penalties for a layer with one kernel; none where nobody asked for any."""
    if not _has_kernel(kind) or not chance.wants("constrained"):
        return {}
    name = "depthwise" if kind.startswith("Depthwise") else "kernel"
    options = {
        f"{name}_constraint": chance.one(None, "max_norm", "non_neg", "unit_norm"),
        f"{name}_regularizer": chance.one(None, "l2", "l1"),
        "activity_regularizer": chance.one(None, None, "l2"),
        "bias_constraint": chance.one(None, "non_neg"),
        "bias_regularizer": chance.one(None, "l2"),
    }
    return {key: value for key, value in options.items() if value}


def _has_kernel(kind):
    return kind == "Dense" or kind.startswith(("Conv", "DepthwiseConv"))
