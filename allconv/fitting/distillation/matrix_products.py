"""Convolutions whose window covers the map, computed as one matrix product.

Such is a Dense layer after a conversion. TensorFlow's gradient of it took thirteen times as long as
that of the product on the CPU (a window of 4x4 cells, 64 channels to 512): two thirds of all the
time that training the CIFAR-10 CNN took.
"""

from __future__ import annotations

import math
from typing import Any

from allconv.layers.kinds import PLAIN_CONVOLUTIONS


def as_products(model: Any) -> None:
    """Let layers of a model of our own compute differently; weights and results stay the same."""
    for layer in model.layers:
        if type(layer).__name__ in PLAIN_CONVOLUTIONS and _covers_the_map(layer):
            layer.convolution_op = _product


def _covers_the_map(layer: Any) -> bool:
    """Tell whether each call sees a map of the window's size, channels last, and gives one cell."""
    if layer.data_format != "channels_last" or layer.groups != 1 or layer.padding == "causal":
        return False
    maps = [node.input_tensors[0].shape[1:-1] for node in layer._inbound_nodes]
    results = [node.outputs[0].shape[1:-1] for node in layer._inbound_nodes]
    one = (1,) * len(layer.kernel_size)
    return all(m == layer.kernel_size for m in maps) and all(r == one for r in results)


def _product(inputs: Any, kernel: Any) -> Any:
    """Compute what the convolution gives, without its bias: `(batch, 1, ..., filters)`."""
    from keras import ops

    *window, filters = kernel.shape
    columns = math.prod(window)
    flat = ops.reshape(inputs, (-1, columns)) @ ops.reshape(kernel, (columns, filters))
    return ops.reshape(flat, (-1, *(1 for _ in window[:-1]), filters))
