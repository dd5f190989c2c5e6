"""A lower bound of a tensor's values at inference, from the layers that made it.

A max pool pads with minus infinity. A convolution pads with zeros, which comes to the same only
where no value is below zero or, after a shift, below a known number.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from allconv.layers.kinds import CONVOLUTIONS, DROPOUTS_OF_MAPS, NOISE, POOLS

Bound = float | None
Config = Mapping[str, Any]

LARGEST = 3.4e38
"""The largest float32."""

ACTIVATION_MINIMA = {
    "relu": 0.0,
    "relu6": 0.0,
    "sigmoid": 0.0,
    "hard_sigmoid": 0.0,
    "softmax": 0.0,
    "softplus": 0.0,
    "exponential": 0.0,
    "sparsemax": 0.0,
    "sparse_plus": 0.0,
    "sparse_sigmoid": 0.0,
    "squareplus": 0.0,
    "tanh": -1.0,
    "hard_tanh": -1.0,
    "softsign": -1.0,
    "elu": -1.0,
    "celu": -1.0,
    "selu": -1.7581,
    "silu": -0.2785,
    "swish": -0.2785,
    "gelu": -0.1701,
    "mish": -0.3089,
    "hard_silu": -0.3751,
    "hard_swish": -0.3751,
}
"""Smallest values of `keras.activations` that have one, the decimals rounded down."""

_MOVES = {"Flatten", "Reshape", "Permute", "RepeatVector", "UpSampling1D", "UpSampling3D"} | {
    f"Cropping{rank}D" for rank in (1, 2, 3)
}
ENDS_IN_ITS_ACTIVATION = CONVOLUTIONS | {"Dense", "EinsumDense"}
"""Layers that return what their activation does; that of others may be used inside."""

KEEPS_THE_BOUND = POOLS | NOISE | DROPOUTS_OF_MAPS | _MOVES | {"Identity", "ActivityRegularization"}


def lower_bound(kind: str, config: Config, inputs: Sequence[Bound]) -> Bound:
    """Find the largest number known to lie at or below every value of a layer at inference.

    Args:
        kind: The layer's class name.
        config: Its configuration.
        inputs: Lower bounds of its inputs, None where unknown.

    Returns:
        The bound, or None where nothing is known. Never the bound of a value that training
        could push lower, such as a convolution's without an activation.
    """
    if kind in KEEPS_THE_BOUND and inputs:
        return inputs[0]
    if kind in _BOUNDS:
        bound = _BOUNDS[kind](config, inputs)
        return bound if bound is not None and math.isfinite(bound) else None
    if kind.startswith("ops."):
        return ACTIVATION_MINIMA.get(kind.removeprefix("ops.").lower())
    return _activation_minimum(config) if kind in ENDS_IN_ITS_ACTIVATION else None


def _activation_minimum(config: Config) -> Bound:
    activation = config.get("activation")
    return ACTIVATION_MINIMA.get(activation) if isinstance(activation, str) else None


def _input(config: Config, inputs: Sequence[Bound]) -> Bound:
    return 0.0 if str(config.get("dtype")).startswith(("uint", "bool")) else None


def _activation(config: Config, inputs: Sequence[Bound]) -> Bound:
    return inputs[0] if config["activation"] == "linear" else _activation_minimum(config)


def _in_float32(value: float) -> float:
    """Convert a setting as a layer may do, in whatever precision it computes."""
    return struct.unpack("f", struct.pack("f", value))[0] if abs(value) < LARGEST else value


def _leaky(slope: float, bound: Bound) -> Bound:
    if bound is None or bound >= 0:
        return bound
    return max(slope, _in_float32(slope)) * bound


def _relu(config: Config, inputs: Sequence[Bound]) -> Bound:
    slope, threshold = config.get("negative_slope") or 0.0, config.get("threshold") or 0.0
    if threshold or slope < 0:
        return None
    bound = _leaky(slope, inputs[0]) if slope else max(0.0, inputs[0] or 0.0)
    highest = config.get("max_value")
    return bound if bound is None or highest is None else min(bound, highest)


def _leaky_relu(config: Config, inputs: Sequence[Bound]) -> Bound:
    slope = config.get("negative_slope", 0.3)
    return _leaky(slope, inputs[0]) if slope >= 0 else None


def _elu(config: Config, inputs: Sequence[Bound]) -> Bound:
    return -abs(float(config.get("alpha", 1.0)))


def _rescaling(config: Config, inputs: Sequence[Bound]) -> Bound:
    scale, offset = config["scale"], config.get("offset", 0.0)
    numbers = all(isinstance(value, (int, float)) for value in (scale, offset))
    if not numbers or inputs[0] is None or scale < 0:
        return None
    rounded = _in_float32(scale) * inputs[0] + _in_float32(offset)
    return min(float(scale * inputs[0] + offset), rounded)


def _upsampling(config: Config, inputs: Sequence[Bound]) -> Bound:
    return inputs[0] if config.get("interpolation") in ("nearest", "bilinear") else None


def _resizing(config: Config, inputs: Sequence[Bound]) -> Bound:
    """Allow any value for the border that keeps an image's proportions."""
    return None if config.get("pad_to_aspect_ratio") else _upsampling(config, inputs)


def _of_all(combine: Callable[[list[float]], float]) -> Callable[[Config, Sequence[Bound]], Bound]:
    def bound(config: Config, inputs: Sequence[Bound]) -> Bound:
        known = [value for value in inputs if value is not None]
        return combine(known) if known and len(known) == len(inputs) else None

    return bound


def _multiply(config: Config, inputs: Sequence[Bound]) -> Bound:
    return 0.0 if all(bound is not None and bound >= 0 for bound in inputs) else None


def _maximum(config: Config, inputs: Sequence[Bound]) -> Bound:
    return max((bound for bound in inputs if bound is not None), default=None)


def _zero_padding(config: Config, inputs: Sequence[Bound]) -> Bound:
    return None if inputs[0] is None else min(0.0, inputs[0])


_BOUNDS: dict[str, Callable[[Config, Sequence[Bound]], Bound]] = {
    "InputLayer": _input,
    "Activation": _activation,
    "ReLU": _relu,
    "LeakyReLU": _leaky_relu,
    "PReLU": lambda config, inputs: inputs[0] if inputs[0] is not None and inputs[0] >= 0 else None,
    "ELU": _elu,
    "ops.Elu": _elu,
    "ops.Celu": _elu,
    "Softmax": lambda config, inputs: 0.0,
    "Rescaling": _rescaling,
    "Resizing": _resizing,
    "UpSampling2D": _upsampling,
    "Add": _of_all(sum),
    "Average": _of_all(lambda bounds: sum(bounds) / len(bounds)),
    "Minimum": _of_all(min),
    "Concatenate": _of_all(min),
    "Maximum": _maximum,
    "Multiply": _multiply,
} | {f"ZeroPadding{rank}D": _zero_padding for rank in (1, 2, 3)}
