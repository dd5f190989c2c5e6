"""Layers that work along a vector, made to work along the channels of the cell that holds it."""

from __future__ import annotations

import numpy as np

from allconv.graph import Node, Spec
from allconv.layers.axes import axes_of
from allconv.layers.kinds import couples_channels
from allconv.layout import Layout


def over_channels(node: Node, layout: Layout) -> Spec | str:
    """Make a layer along a vector work along the channels of a cell; or say why not."""
    spec, axis = node.spec, layout.channel_axis
    if noise_shape := node.config.get("noise_shape"):
        if len(noise_shape) != 2:
            return f"its noise_shape {tuple(noise_shape)} is not that of a vector"
        batch, count = noise_shape
        return spec.with_config(noise_shape=[batch, *layout.shape((1,) * layout.rank, count)])
    if node.kind == "Normalization":
        return _normalization(spec, layout)
    if node.kind == "RMSNormalization" and axis != -1:
        return _first(node.kind)  # Keras 3.15 computes another shape there than it says
    if node.kind != "Activation":
        return spec.with_config(axis=axis) if "axis" in node.config else spec
    if axis == -1 or not couples_channels(node.kind, node.config):
        return spec
    if node.config["activation"] != "softmax":
        return _first(node.kind)
    kept = {key: node.config[key] for key in ("dtype", "trainable") if key in node.config}
    return Spec("Softmax", node.name, {**kept, "axis": axis})


def _first(kind: str) -> str:
    return f"{kind} over channels that come first"


def _normalization(spec: Spec, layout: Layout) -> Spec:
    """Put a Normalization of a vector's values, each or all alike, on the channels of a cell.

    Keras spreads numbers that it is given from the last axis on, and asks for an axis for each of
    their own; so where the channels come first, they are numbers for the cell along all axes.
    """
    if not axes_of(spec.kind, spec.config, 2):
        return spec
    if not layout.channels_first or not isinstance(spec.config.get("mean"), list):
        return spec.with_config(axis=layout.channel_axis)
    numbers = {
        key: np.reshape(spec.config[key], (-1, *(1,) * layout.rank)).tolist()
        for key in ("mean", "variance")
    }
    return spec.with_config(axis=list(range(1, layout.rank + 2)), **numbers)
