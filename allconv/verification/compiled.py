"""Networks that TensorFlow runs on a CPU for certain only where XLA compiles them.

It has no convolutions there whose channels come first (oneDNN has them, which is not on every
processor), no transposed ones with dilation, and not in all cases depthwise ones whose strides
differ. That is asked of the layers, and not of an error, so that all processors give one answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from allconv.layers.kinds import CONVOLUTIONS

NOTE = "compiled by XLA, without which TensorFlow may not run them on a CPU"

Layer = tuple[str, Mapping[str, Any]]
"""A layer's class and its settings."""


def needs_xla(layers: Iterable[Layer]) -> bool:
    """Whether the backend runs some layers for certain only where XLA compiles them."""
    return _is_tensorflow_on_a_cpu() and any(_lacks_a_kernel(*layer) for layer in layers)


def layers_of(model: Any) -> Iterator[Layer]:
    """The layers of a Keras model, those of nested models too; none of a plain function."""
    for layer in getattr(model, "layers", ()):
        if hasattr(layer, "layers"):
            yield from layers_of(layer)
        else:
            names = ("data_format", "strides", "dilation_rate")
            settings = {name: getattr(layer, name) for name in names if hasattr(layer, name)}
            yield type(layer).__name__, settings


def by_xla(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled."""
    import tensorflow as tf

    compiled: Callable[..., Any] = tf.function(function, jit_compile=True)
    return compiled


def _is_tensorflow_on_a_cpu() -> bool:
    import keras

    if keras.config.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return all(device.device_type == "CPU" for device in tf.config.list_logical_devices())


def _lacks_a_kernel(kind: str, settings: Mapping[str, Any]) -> bool:
    if kind not in CONVOLUTIONS:
        return False
    first = settings.get("data_format") == "channels_first"
    spread = kind.endswith("Transpose") and max(_each(settings.get("dilation_rate", 1))) > 1
    return first or spread or (_is_depthwise(kind) and _differ(settings.get("strides", 1)))


def _is_depthwise(kind: str) -> bool:
    return kind in ("DepthwiseConv2D", "SeparableConv2D")


def _differ(strides: Any) -> bool:
    return len(set(_each(strides))) > 1


def _each(values: Any) -> list[int]:
    return [values] if isinstance(values, int) else list(values)
