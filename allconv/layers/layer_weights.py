"""Weights that a layer owns once it is built: names, shapes and order as in `layer.weights`.

Kernels lie as Keras stores them: `(height, width, channels / groups, filters)` for a convolution,
`(height, width, channels, depth_multiplier)` for a depthwise one, `(height, width, filters,
channels)` for a transposed one, `(channels, units)` for a Dense.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from allconv.errors import ShapeError
from allconv.layers.map_shapes import split
from allconv.shapes import Shape

Config = Mapping[str, Any]
Weights = dict[str, tuple[int, ...]]


def _conv(rank: int, config: Config, shape: Shape) -> Weights:
    channels, groups = _channels(rank, config, shape), config.get("groups", 1)
    if channels % groups:
        raise ShapeError(f"{channels} channels cannot be divided into {groups} groups")
    filters = config["filters"]
    kernel = (*_window(rank, config), channels // groups, filters)
    return {"kernel": kernel, **_bias(config, filters)}


def _depthwise_conv(rank: int, config: Config, shape: Shape) -> Weights:
    channels, multiplier = _channels(rank, config, shape), config.get("depth_multiplier", 1)
    kernel = (*_window(rank, config), channels, multiplier)
    return {"kernel": kernel, **_bias(config, channels * multiplier)}


def _separable_conv(rank: int, config: Config, shape: Shape) -> Weights:
    channels, multiplier = _channels(rank, config, shape), config.get("depth_multiplier", 1)
    filters = config["filters"]
    return {
        "depthwise_kernel": (*_window(rank, config), channels, multiplier),
        "pointwise_kernel": (*(1,) * rank, channels * multiplier, filters),
        **_bias(config, filters),
    }


def _conv_transpose(rank: int, config: Config, shape: Shape) -> Weights:
    channels, filters = _channels(rank, config, shape), config["filters"]
    return {"kernel": (*_window(rank, config), filters, channels), **_bias(config, filters)}


def _dense(config: Config, shape: Shape) -> Weights:
    units = config["units"]
    return {"kernel": (*_sizes(shape, -1), units), **_bias(config, units)}


def _batch_normalization(config: Config, shape: Shape) -> Weights:
    names = ["moving_mean", "moving_variance"]
    if config.get("renorm"):
        names += ["moving_stddev", "renorm_mean", "renorm_stddev"]
    channels = _sizes(shape, config.get("axis", -1))
    return _gamma_and_beta(config, channels) | dict.fromkeys(names, channels)


def _layer_normalization(config: Config, shape: Shape) -> Weights:
    sizes = _sizes(shape, config.get("axis", -1))
    if config.get("rms_scaling"):
        return {"gamma": sizes}
    return _gamma_and_beta(config, sizes)


def _group_normalization(config: Config, shape: Shape) -> Weights:
    (channels,) = _sizes(shape, config.get("axis", -1))
    groups = channels if config["groups"] == -1 else config["groups"]
    if channels % groups:
        raise ShapeError(f"{channels} channels cannot be divided into {groups} groups")
    return _gamma_and_beta(config, (channels,))


def _rms_normalization(config: Config, shape: Shape) -> Weights:
    return {"scale": _sizes(shape, config.get("axis", -1))}


def _normalization(config: Config, shape: Shape) -> Weights:
    """Count only adapted numbers as weights; given ones are part of the configuration."""
    if config.get("mean") is not None:
        return {}
    axis = config.get("axis", -1)
    axes = [] if axis is None else [axis] if isinstance(axis, int) else axis
    sizes = _sizes(shape, [position % len(shape) for position in axes])
    return {"mean": sizes, "variance": sizes, "count": ()}


def _prelu(config: Config, shape: Shape) -> Weights:
    shared = config.get("shared_axes") or ()
    alone = tuple(1 if axis in shared else size for axis, size in enumerate(shape))
    return {"alpha": _sizes(alone, range(1, len(shape)))}


def _layer_scale(config: Config, shape: Shape) -> Weights:
    return {"gamma": (config["projection_dim"],)}


def _gamma_and_beta(config: Config, sizes: tuple[int, ...]) -> Weights:
    switches = {"gamma": config.get("scale", True), "beta": config.get("center", True)}
    return {name: sizes for name, wanted in switches.items() if wanted}


def _bias(config: Config, filters: int) -> Weights:
    return {"bias": (filters,)} if config.get("use_bias", True) else {}


def _window(rank: int, config: Config) -> tuple[int, ...]:
    size = config["kernel_size"]
    return (size,) * rank if isinstance(size, int) else tuple(size)


def _channels(rank: int, config: Config, shape: Shape) -> int:
    channels = split(rank, config, shape)[2]
    if channels is None:
        raise ShapeError(f"its weights need a known number of channels, got {shape}")
    return channels


def _sizes(shape: Shape, axes: int | Sequence[int]) -> tuple[int, ...]:
    """Return the sizes of the axes that weights lie along, sorted by number as Keras does."""
    wanted = [axes] if isinstance(axes, int) else sorted(axes)
    if any(not -len(shape) <= axis < len(shape) for axis in wanted):
        raise ShapeError(f"its weights lie along axis {axes}, got {shape}")
    sizes = [shape[axis] for axis in wanted]
    if None in sizes:
        raise ShapeError(f"its weights need a known size on axis {axes}, got {shape}")
    return tuple(size for size in sizes if size is not None)


WEIGHTS: dict[str, Callable[[Config, Shape], Weights]] = {
    "Dense": _dense,
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
    "GroupNormalization": _group_normalization,
    "RMSNormalization": _rms_normalization,
    "Normalization": _normalization,
    "PReLU": _prelu,
    "LayerScale": _layer_scale,
    **{f"Conv{rank}D": partial(_conv, rank) for rank in (1, 2, 3)},
    **{f"Conv{rank}DTranspose": partial(_conv_transpose, rank) for rank in (1, 2, 3)},
    **{f"DepthwiseConv{rank}D": partial(_depthwise_conv, rank) for rank in (1, 2)},
    **{f"SeparableConv{rank}D": partial(_separable_conv, rank) for rank in (1, 2)},
}
