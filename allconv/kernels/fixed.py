"""Fixed kernels in the configuration of their layers, from which Keras makes clones.

A kernel that treats every channel alike is the same small one for each of them, and Keras'
`Constant` takes a nested list, which it broadcasts. So `clone_model`, `from_config` and
`model_from_json` make the layer with its kernel. What differs from channel to channel, the
diagonal of a full convolution or the identity that gathers a map, is too large for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from allconv.graph import Spec
from allconv.weights import Array, broadcast

MOST_WRITTEN = 256
"""Numbers of a kernel that are written down in a configuration."""

INITIALIZERS = ("kernel_initializer", "depthwise_initializer", "bias_initializer")
"""The settings that say how a convolution's weights begin."""


def initializers(kind: str, weights: Mapping[str, Array]) -> dict[str, Any]:
    """Write the settings that give a layer its fixed weights, where they are few numbers."""
    said = {_setting(kind, name): _initializer(array) for name, array in weights.items()}
    return {setting: value for setting, value in said.items() if value is not None}


def with_weights(spec: Spec, weights: Mapping[str, Array]) -> Spec:
    """Give a layer other weights; keep in its configuration only those that are still fixed."""
    if not is_fixed(spec):
        return replace(spec, weights=weights)
    given = {_setting(spec.kind, name) for name in spec.weights}
    config = {key: value for key, value in spec.config.items() if key not in given}
    return replace(spec, config={**config, **initializers(spec.kind, weights)}, weights=weights)


def is_fixed(spec: Spec) -> bool:
    """Tell whether a rule made up all weights of a layer, and training is to leave them."""
    frozen = not spec.config.get("trainable", True)
    return frozen and bool(spec.weights) and all(array.fixed for array in spec.weights.values())


def needs_set_weights(spec: Spec) -> bool:
    """Tell whether a layer is fixed, and a clone of it draws weights until it is given them."""
    unsaid = [name for name in spec.weights if _setting(spec.kind, name) not in spec.config]
    return is_fixed(spec) and bool(unsaid)


def _setting(kind: str, weight: str) -> str:
    is_depthwise = kind.startswith("Depthwise") and weight == "kernel"
    return "depthwise_initializer" if is_depthwise else f"{weight}_initializer"


def _initializer(array: Array) -> dict[str, Any] | None:
    """Write the initializer of an array's values as Keras does; None if there is none."""
    if not array.fixed or array.recipe is not broadcast or array.parts[0].size > MOST_WRITTEN:
        return None
    small = array.parts[0]
    values = small.recipe(*small.parts)  # in float64, and no weight of the model that is read
    plain = {0.0: "Zeros", 1.0: "Ones"}.get(values.item()) if values.ndim == 0 else None
    config = {} if plain else {"value": values.tolist()}
    return {
        "module": "keras.initializers",
        "class_name": plain or "Constant",
        "config": config,
        "registered_name": None,
    }
