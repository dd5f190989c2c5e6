"""Layers with LoRA's or quantized weights that stay: copied as they are, or refused by name.

What Keras makes of their configuration differs from one release to the next: its variables in
another order, a LoRA without its factor, a GPTQ layer that takes itself for not calibrated. So such
a copy is held to the numbers of the original.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allconv.building.keras_layers import by_keras
from allconv.errors import ConversionError
from allconv.graph import Spec
from allconv.layers.layer_shapes import is_adapted
from allconv.shapes import Shape

HIDDEN_STATE = ("lora_alpha", "is_gptq_calibrated", "is_awq_calibrated")
"""What such a layer computes with beside its variables, and Keras does not set from all that its
configuration says."""

ROUNDING = 1e-5


def copy_adaptation(spec: Spec, layer: Any, shape: Shape | None) -> None:
    """Give a copy with all its weights what else it computes with, and try it.

    Args:
        spec: A layer; nothing is done for one without LoRA and quantization.
        layer: What was made of it.
        shape: Of the tensor that it takes.

    Raises:
        ConversionError: The copy gives other numbers than the layer.
    """
    fresh = any(array.is_fresh for array in spec.weights.values())
    if spec.layer is None or fresh or shape is None or not is_adapted(spec.config):
        return
    copy_hidden_state(spec.layer, layer)
    values = _sample(spec, shape)
    with by_keras(f"layer '{spec.name}' ({spec.kind})"):
        expected, found = _result(spec.layer, values), _result(layer, values)
    if not np.allclose(found, expected, rtol=0, atol=ROUNDING * np.abs(expected).max()):
        raise no_copy(spec)


def copy_hidden_state(layer: Any, copy: Any) -> None:
    """Copy what a layer computes with and no configuration holds, where there is such a thing."""
    for name in HIDDEN_STATE:
        if hasattr(layer, name):
            setattr(copy, name, getattr(layer, name))


def no_copy(spec: Spec) -> ConversionError:
    """Return the error for a layer of which Keras makes a different one."""
    return ConversionError(
        f"layer '{spec.name}' ({spec.kind}): its weights are quantized, or LoRA's are added to "
        "them, and Keras cannot copy it by its get_config(); convert the model before it is "
        "quantized or given LoRA"
    )


def _sample(spec: Spec, shape: Shape) -> np.ndarray:
    """Return something to try a layer on, the same each time."""
    rng, sizes = np.random.default_rng(0), [size or 2 for size in shape]
    if "input_dim" in spec.config:
        return rng.integers(0, spec.config["input_dim"], sizes)
    return rng.normal(size=sizes).astype("float32")


def _result(layer: Any, values: np.ndarray) -> np.ndarray:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(layer(values)), "float64")
