"""Maps as the vectors and lists that an original makes of its own maps at its outputs.

A model that was converted with `input_size` gives maps. Which value of a map is which of the list
is what the original's last Flatten, Reshape and Permute say; so these are called on the map, too.
Any other conversion has them at its own end.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from allconv.layers.kinds import ACTIVATION_LAYERS, IDENTITY_AT_INFERENCE, RELABELS

BETWEEN = IDENTITY_AT_INFERENCE | ACTIVATION_LAYERS
"""Layers among them that leave each value in its place."""


def arranged(
    result: np.ndarray, reference: np.ndarray, output: Any, converted: Any = None
) -> np.ndarray:
    """Arrange a map as the original's values; leave anything else as it is.

    Args:
        result: What the converted model gives.
        reference: What the original gives.
        output: The original's output as a symbolic tensor; None where it is no graph of layers.
        converted: That of the converted model.
    """
    if output is not None and not (result.shape == reference.shape and _ends(converted)):
        source, layers = _last_relabels(output)
        if layers and _is_alike(result.shape, source.shape):
            return reduce(_called, layers, result)
    as_many = result.size == reference.size and result.shape[:1] == reference.shape[:1]
    is_map = as_many and result.ndim > reference.ndim
    return result.reshape(reference.shape) if is_map else result


def _ends(converted: Any) -> bool:
    """Tell whether a model's last layers arrange its output; what is no graph ends so."""
    return converted is None or bool(_last_relabels(converted)[1])


def _last_relabels(tensor: Any) -> tuple[Any, list[Any]]:
    """Find the map of which a model's last layers make an output, and those that arrange it."""
    layers: list[Any] = []
    while True:
        layer, node, _ = tensor._keras_history
        kind, before = type(layer).__name__, layer._inbound_nodes[node].input_tensors
        if len(before) != 1 or kind not in RELABELS | BETWEEN:
            return tensor, layers
        layers = [layer, *layers] if kind in RELABELS else layers
        tensor = before[0]


def _is_alike(shape: tuple[int, ...], symbolic: Any) -> bool:
    pairs = zip(shape[1:], symbolic[1:], strict=False)
    return len(shape) == len(symbolic) and all(b in (a, None) for a, b in pairs)


def _called(values: np.ndarray, layer: Any) -> np.ndarray:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(layer(values)))
