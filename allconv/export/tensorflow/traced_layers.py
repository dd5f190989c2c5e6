"""Layers that are traced otherwise than Keras calls them: as the one TensorFlow operation they are.

Keras' own way to convolutions is made for running: grouped ones are compiled apart, dilated
depthwise ones cut the map in pieces, and on a CPU channels go last first. All of this would be
in the graph. Nothing of it is run here, so each layer is written as it reads. And Keras 3.15 asks
of an UpSampling2D with interpolation whether the new size is positive, which in a graph of
TensorFlow no size that is free can answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from allconv.layers.kinds import CONVOLUTIONS, TRANSPOSED_CONVOLUTIONS

DIRECT = CONVOLUTIONS - TRANSPOSED_CONVOLUTIONS
"""Kinds of convolutions that are one operation of TensorFlow's, or two."""

INTERPOLATED = ("bilinear", "bicubic")
"""What ONNX' Resize does, too; Keras' lanczos it does not."""


def traced_directly(layer: Any, kind: str, tensor: Any) -> Any | None:
    """Call such a layer on a symbolic tensor; None for a layer that Keras may call itself."""
    import tensorflow as tf

    if kind in DIRECT:
        return _convolved(layer, kind, tf.cast(tensor, "float32"))
    if kind == "UpSampling2D" and layer.interpolation in INTERPOLATED:
        return _enlarged(layer, tf.cast(tensor, "float32"))
    return None


def _convolved(layer: Any, kind: str, tensor: Any) -> Any:
    if layer.padding == "causal":
        tensor = _with_past(layer, tensor)
    if kind.startswith("Separable"):
        tensor = _convolution(layer, tensor, layer.depthwise_kernel, "depthwise")
        result = _convolution(layer, tensor, layer.pointwise_kernel, "pointwise")
    else:
        result = _convolution(layer, tensor, layer.kernel, kind[: kind.index("Conv")].lower())
    if layer.use_bias:
        result = result + _along_channels(layer, layer.bias)
    return result if layer.activation is None else layer.activation(result)


def _convolution(layer: Any, tensor: Any, kernel: Any, form: str) -> Any:
    """Run one convolution; TensorFlow has two or three axes, so one axis becomes two."""
    import tensorflow as tf

    kernel, rank = tf.convert_to_tensor(kernel), layer.rank
    if rank > 1:
        return _operation(layer, tensor, kernel, form, range(rank))
    axis = 2 if layer.data_format == "channels_first" else 1
    wide = _operation(layer, tf.expand_dims(tensor, axis), kernel[None], form, (None, 0))
    return tf.squeeze(wide, [axis])


def _operation(layer: Any, tensor: Any, kernel: Any, form: str, axes: Sequence[int | None]) -> Any:
    import tensorflow as tf

    def each(settings: Sequence[int]) -> list[int]:
        sizes = [1 if axis is None or form == "pointwise" else settings[axis] for axis in axes]
        return [1, 1, *sizes] if layer.data_format == "channels_first" else [1, *sizes, 1]

    operations = {(2, "depthwise"): tf.raw_ops.DepthwiseConv2dNative, (3, ""): tf.raw_ops.Conv3D}
    letters, rates = "DHW"[-len(axes) :], list(layer.dilation_rate)
    if layer.rank == 3 and _exchanges_dilations():
        rates[1:] = reversed(rates[1:])
    return operations.get((len(axes), form), tf.raw_ops.Conv2D)(
        input=tensor,
        filter=kernel,
        strides=each(layer.strides),
        padding="SAME" if layer.padding == "same" else "VALID",
        data_format=f"NC{letters}" if layer.data_format == "channels_first" else f"N{letters}C",
        dilations=each(rates),
    )


@cache
def _exchanges_dilations() -> bool:
    """Tell whether TensorFlow works out a Conv3D's shape with its last two dilations exchanged.

    TensorFlow 2.18 and 2.21 do, and may find that nothing is left of the map. So they are given to
    it in the other order, and what is written has them from the layer itself.
    """
    import tensorflow as tf

    with tf.Graph().as_default():
        image, kernel = tf.zeros((1, 1, 1, 5, 1)), tf.zeros((1, 1, 2, 1, 1))
        settings = {"strides": [1] * 5, "padding": "VALID", "dilations": [1, 1, 1, 2, 1]}
        result = tf.raw_ops.Conv3D(input=image, filter=kernel, **settings)
    return bool(result.shape[3] == 4)  # 5 - 1, where 5 - 2 is right


def _with_past(layer: Any, tensor: Any) -> Any:
    """Pad `causal`: with zeros before the beginning, so that no cell sees those after it."""
    import tensorflow as tf

    before = [layer.dilation_rate[0] * (layer.kernel_size[0] - 1), 0]
    first = layer.data_format == "channels_first"
    return tf.pad(tensor, [[0, 0], [0, 0], before] if first else [[0, 0], before, [0, 0]])


def _along_channels(layer: Any, values: Any) -> Any:
    import tensorflow as tf

    ones = [1] * layer.rank
    first = layer.data_format == "channels_first"
    return tf.reshape(values, [1, -1, *ones] if first else [1, *ones, -1])


def _enlarged(layer: Any, tensor: Any) -> Any:
    import tensorflow as tf

    first = layer.data_format == "channels_first"
    image = tf.transpose(tensor, [0, 2, 3, 1]) if first else tensor
    bilinear = layer.interpolation == "bilinear"
    resize = tf.raw_ops.ResizeBilinear if bilinear else tf.raw_ops.ResizeBicubic
    sizes = tf.shape(image)[1:3] * list(layer.size)
    result = resize(images=image, size=sizes, half_pixel_centers=True)
    return tf.transpose(result, [0, 3, 1, 2]) if first else result
