"""What becomes of the kernels of ONNX' convolutions when factors and summands go into them.

A Conv's kernel is `(channels out, channels in of a group, *window)`, a ConvTranspose's
`(channels in, channels out of a group, *window)`.
"""

from __future__ import annotations

import numpy as np

from allconv.export.operations.onnx_graph import Operation


def by_channel(values: np.ndarray) -> np.ndarray | None:
    """Read a constant as one float64 number, or one for each channel; None where it is neither."""
    if values.dtype.kind != "f":
        return None
    if values.size == 1:
        return values.reshape(1).astype("float64")
    along = values.ndim > 2 and values.size == values.shape[1]
    return values.reshape(-1).astype("float64") if along else None


def channels_out(conv: Operation, kernel: np.ndarray) -> int:
    """Return the number of channels that a convolution gives."""
    groups = conv.attributes.get("group", 1)
    return int(kernel.shape[1] * groups if conv.kind == "ConvTranspose" else kernel.shape[0])


def channels_in(conv: Operation, kernel: np.ndarray) -> int:
    """Return the number of channels that a convolution takes."""
    groups = conv.attributes.get("group", 1)
    return int(kernel.shape[0] if conv.kind == "ConvTranspose" else kernel.shape[1] * groups)


def scaled_results(conv: Operation, kernel: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Scale the results of a convolution, channel by channel, in its kernel."""
    if conv.kind == "Conv":
        return _times(kernel, scale[:, None])
    groups = conv.attributes.get("group", 1)
    return _times(kernel, np.repeat(scale.reshape(groups, -1), kernel.shape[0] // groups, axis=0))


def scaled_inputs(conv: Operation, kernel: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Scale the inputs of a convolution in its kernel."""
    if conv.kind == "ConvTranspose":
        return _times(kernel, scale[:, None])
    return _times(kernel, _by_result(conv, kernel, scale))


def _times(kernel: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Multiply the first two axes of a kernel with factors, in float64 and piece by piece."""
    if (factors == 1).all():
        return kernel
    factors = factors.reshape(*factors.shape, *[1] * (kernel.ndim - 2))
    scaled = np.empty_like(kernel)
    np.multiply(kernel, factors, out=scaled, casting="same_kind")
    return scaled


def _by_result(conv: Operation, kernel: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Arrange, for each channel of the result, the values of the channels that it is made of."""
    groups = conv.attributes.get("group", 1)
    return np.repeat(values.reshape(groups, -1), kernel.shape[0] // groups, axis=0)


def summed(conv: Operation, kernel: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Sum up what summands of the input add to each channel of the result."""
    sums = kernel.reshape(*kernel.shape[:2], -1).sum(axis=2, dtype="float64")
    return np.asarray((sums * _by_result(conv, kernel, shift)).sum(axis=1))
