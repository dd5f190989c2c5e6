"""Networks that TensorFlow runs on a CPU for certain only where XLA compiles them.

It has no convolutions there whose channels come first (oneDNN has them, which is not on every
processor), no transposed ones with dilation, and not in all cases depthwise ones whose strides
differ; and of some on one channel oneDNN leaves cells unwritten. That is asked of the layers, and
not of an error, so that all processors give one answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from allconv.layers.kinds import CONVOLUTIONS
from allconv.layers.unwritten import may_be_unwritten

NOTE = "compiled by XLA, without which TensorFlow may not run them, or not rightly, on a CPU"

Layer = tuple[str, Mapping[str, Any]]
"""A layer's class and its settings."""


def needs_xla(layers: Iterable[Layer]) -> bool:
    """Tell whether the backend runs some layers for certain only where XLA compiles them."""
    return _is_tensorflow_on_a_cpu() and any(_lacks_a_kernel(*layer) for layer in layers)


def layers_of(model: Any) -> Iterator[Layer]:
    """Yield the layers of a Keras model, those of nested models too; none of a plain function."""
    for layer in getattr(model, "layers", ()):
        if hasattr(layer, "layers"):
            yield from layers_of(layer)
        else:
            names = ("data_format", "strides", "dilation_rate", "kernel_size")
            settings = {name: getattr(layer, name) for name in names if hasattr(layer, name)}
            yield type(layer).__name__, {**settings, "channels": _channels(layer)}


def _channels(layer: Any) -> int | None:
    """Count the channels that a convolution takes; None for any other layer."""
    kernel = getattr(layer, "depthwise_kernel", getattr(layer, "kernel", None))
    return kernel.shape[-2] if type(layer).__name__ in CONVOLUTIONS and kernel is not None else None


def by_xla(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile the function."""
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
    uneven = _is_depthwise(kind) and _differ(settings.get("strides", 1))
    return first or spread or uneven or is_unwritten(kind, settings)


def is_unwritten(kind: str, settings: Mapping[str, Any]) -> bool:
    """Tell whether oneDNN may leave cells of its result unwritten, at some size of the image."""
    if kind.endswith("Transpose"):
        return False
    window, strides = _each(settings.get("kernel_size", 1)), _each(settings.get("strides", 1))
    return may_be_unwritten(settings.get("channels"), window, strides, [None] * len(window))


def _is_depthwise(kind: str) -> bool:
    return kind in ("DepthwiseConv2D", "SeparableConv2D")


def _differ(strides: Any) -> bool:
    return len(set(_each(strides))) > 1


def _each(values: Any) -> list[int]:
    return [values] if isinstance(values, int) else list(values)
