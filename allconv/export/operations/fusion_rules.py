"""The rules by which operations go into convolutions; each is one function with its algebra.

A rule is called on the last operation of its pattern. Products and sums of weights are made in
float64.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from allconv.export.operations.kernel_algebra import (
    by_channel,
    channels_in,
    channels_out,
    scaled_inputs,
    scaled_results,
    summed,
)
from allconv.export.operations.neighbours import CONVOLUTIONS, Fusion, Neighbours
from allconv.export.operations.onnx_graph import Operation


def identity_to_nothing(neighbours: Neighbours, operation: Operation) -> Fusion | None:
    """`1 x + 0`  ->  `x`."""
    affine = _affine(neighbours, operation)
    if affine is None or operation.outputs[0] in neighbours.outputs:
        return None
    if (affine.scale != 1).any() or affine.shift.any():
        return None
    return Fusion({operation: None}, same={operation.outputs[0]: affine.tensor})


def convolution_then_affine(neighbours: Neighbours, operation: Operation) -> Fusion | None:
    """`s (K x + b) + t`  ->  `(s K) x + (s b + t)`, with s and t for each channel."""
    affine = _affine(neighbours, operation)
    conv = None if affine is None else neighbours.only_producer(affine.tensor)
    if affine is None or conv is None or not _has_known_kernel(neighbours, conv):
        return None
    kernel, bias = _weights(neighbours, conv)
    affine = affine.for_channels(channels_out(conv, kernel))
    if affine is None:
        return None
    kernel = scaled_results(conv, kernel, affine.scale)
    fresh = replace(conv, outputs=operation.outputs)
    return _fusion(conv, fresh, kernel, affine.scale * bias + affine.shift, gone=operation)


def affine_then_convolution(neighbours: Neighbours, conv: Operation) -> Fusion | None:
    """`K (s x + t) + b`  ->  `(K s) x + (K t + b)`.

    Where it pads, or is transposed, there is no t: the zeros of the border are not shifted.
    """
    if not _has_known_kernel(neighbours, conv):
        return None
    source = neighbours.only_producer(conv.inputs[0])
    affine = None if source is None else _affine(neighbours, source)
    if source is None or affine is None:
        return None
    if affine.shift.any() and (conv.kind != "Conv" or _pads(conv)):
        return None
    kernel, bias = _weights(neighbours, conv)
    affine = affine.for_channels(channels_in(conv, kernel))
    if affine is None:
        return None
    if affine.shift.any():
        bias = bias + summed(conv, kernel, affine.shift)
    kernel = scaled_inputs(conv, kernel, affine.scale)
    fresh = replace(conv, inputs=(affine.tensor, *conv.inputs[1:]))
    return _fusion(conv, fresh, kernel, bias, gone=source)


def pad_then_convolution(neighbours: Neighbours, conv: Operation) -> Fusion | None:
    """Pad with zeros in space, then Conv  ->  a Conv that pads by both."""
    if conv.kind != "Conv" or "auto_pad" in conv.attributes:
        return None
    pad = neighbours.producer(conv.inputs[0])
    pads = None if pad is None or pad.kind != "Pad" else _zeros_in_space(neighbours, pad)
    if pad is None or pads is None:
        return None
    own = np.array(conv.attributes.get("pads", np.zeros(pads.size, int))).reshape(2, -1)
    attributes = dict(conv.attributes)
    if (total := own + pads).any():
        attributes["pads"] = total.reshape(-1).tolist()
    inputs = (pad.inputs[0], *conv.inputs[1:])
    return Fusion({conv: replace(conv, inputs=inputs, attributes=attributes)})


RULES = (
    identity_to_nothing,
    convolution_then_affine,
    affine_then_convolution,
    pad_then_convolution,
)
"""In the order in which they are tried on an operation."""


@dataclass(frozen=True)
class _Affine:
    """`scale * tensor + shift`, each one number or one for each channel, in float64."""

    tensor: str
    scale: np.ndarray
    shift: np.ndarray

    def for_channels(self, channels: int) -> _Affine | None:
        """Return it with a number for each channel; None where it has another count of them."""
        if not all(values.size in (1, channels) for values in (self.scale, self.shift)):
            return None
        scale, shift = (np.broadcast_to(v, channels) for v in (self.scale, self.shift))
        return _Affine(self.tensor, scale, shift)


def _affine(neighbours: Neighbours, operation: Operation) -> _Affine | None:
    """Read an Add, Sub, Mul or Div of a tensor and a constant."""
    if operation.kind not in ("Add", "Sub", "Mul", "Div"):
        return None
    first, second = operation.inputs
    if first in neighbours.constants and operation.kind in ("Add", "Mul"):
        first, second = second, first
    if second not in neighbours.constants or first in neighbours.constants:
        return None
    values = by_channel(neighbours.constants[second])
    if values is None or (operation.kind == "Div" and not values.all()):
        return None
    if values.size > 1 and neighbours.channels(first) not in (None, values.size):
        return None
    one, zero = np.ones(1), np.zeros(1)
    match operation.kind:
        case "Add":
            return _Affine(first, one, values)
        case "Sub":
            return _Affine(first, one, -values)
        case "Mul":
            return _Affine(first, values, zero)
        case _:
            return _Affine(first, 1 / values, zero)


def _has_known_kernel(neighbours: Neighbours, operation: Operation) -> bool:
    return operation.kind in CONVOLUTIONS and operation.inputs[1] in neighbours.constants


def _weights(neighbours: Neighbours, conv: Operation) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel and the bias of a convolution, this in float64."""
    kernel = neighbours.constants[conv.inputs[1]]
    if len(conv.inputs) > 2:
        return kernel, neighbours.constants[conv.inputs[2]].astype("float64")
    return kernel, np.zeros(channels_out(conv, kernel))


def _fusion(
    conv: Operation, fresh: Operation, kernel: np.ndarray, bias: np.ndarray, gone: Operation
) -> Fusion:
    """Put a convolution with other weights in the place of one, and of an operation beside it."""
    names = tuple(f"{fresh.outputs[0]}_{role}" for role in ("kernel", "bias"))
    fresh = replace(fresh, inputs=(fresh.inputs[0], *names))
    constants = dict(zip(names, (kernel, bias.astype("float32")), strict=True))
    return Fusion({conv: fresh, gone: None}, constants)


def _zeros_in_space(neighbours: Neighbours, pad: Operation) -> np.ndarray | None:
    """Return the cells that a Pad adds, (before, after) x axes; None where it does more."""
    mode = pad.attributes.get("mode", b"constant")
    value = neighbours.constants[pad.inputs[2]] if len(pad.inputs) > 2 else np.zeros(1)
    pads = neighbours.constants[pad.inputs[1]].reshape(2, -1)
    is_of_zeros = mode in (b"constant", "constant") and not value.any()
    is_in_space = not pads[:, :2].any() and (pads >= 0).all()
    return pads[:, 2:] if is_of_zeros and is_in_space else None


def _pads(conv: Operation) -> bool:
    return "auto_pad" in conv.attributes or any(conv.attributes.get("pads", ()))
