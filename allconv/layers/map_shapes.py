"""Shapes of layers that work on maps: convolutions, pools, padding, cropping and resizing.

A map is `(batch, height, width, channels)` or, with `data_format="channels_first"`,
`(batch, channels, height, width)`; with one axis or three between them for the 1D and 3D layers.
Every public function gives the output shape of one layer class from its number of axes, its
`get_config()` dictionary and its input shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from allconv.errors import ShapeError
from allconv.layers.transposed_shapes import transposed_output
from allconv.shapes import Shape, Size, window_output

Config = Mapping[str, Any]

_AXES = {1: "length", 2: "height, width", 3: "depth, height, width"}


def split(rank: int, config: Config, shape: Shape) -> tuple[Size, tuple[Size, ...], Size]:
    """Split a shape into batch, sizes and channels of a map with `rank` sizes.

    Raises:
        ShapeError: the shape has another number of axes.
    """
    if config.get("data_format") == "channels_first":
        expect_axes(shape, f"batch, channels, {_AXES[rank]}")
        return shape[0], shape[2:], shape[1]
    expect_axes(shape, f"batch, {_AXES[rank]}, channels")
    return shape[0], shape[1:-1], shape[-1]


def join(config: Config, batch: Size, sizes: Iterable[Size], channels: Size) -> Shape:
    """Put the shape of a map together: the inverse of `split`."""
    if config.get("data_format") == "channels_first":
        return (batch, channels, *sizes)
    return (batch, *sizes, channels)


def expect_axes(shape: Shape, names: str) -> None:
    """Raise a ShapeError unless the shape has one axis for each of the names."""
    expected = names.count(",") + 1
    if len(shape) != expected:
        raise ShapeError(f"expects {expected} axes ({names}), got {shape}")


def conv(rank: int, config: Config, shape: Shape) -> Shape:
    """Return the shape after a Conv or SeparableConv."""
    batch, sizes, _ = split(rank, config, shape)
    strides = config.get("strides", 1)
    return join(
        config, batch, _slide(config, sizes, config["kernel_size"], strides), config["filters"]
    )


def depthwise_conv(rank: int, config: Config, shape: Shape) -> Shape:
    """Return the shape after a DepthwiseConv: `depth_multiplier` channels for every channel."""
    channels = split(rank, config, shape)[2]
    filters = None if channels is None else channels * config.get("depth_multiplier", 1)
    return conv(rank, {**config, "filters": filters}, shape)


def conv_transpose(rank: int, config: Config, shape: Shape) -> Shape:
    """Return the shape after a Conv1DTranspose, Conv2DTranspose or Conv3DTranspose."""
    batch, sizes, _ = split(rank, config, shape)
    padding = config.get("padding", "valid")
    settings = (config["kernel_size"], config.get("strides", 1), config.get("output_padding"))
    grown = (
        transposed_output(size, window, stride, padding, extra, dilation)
        for size, window, stride, extra, dilation in by_axis(
            sizes, *settings, config.get("dilation_rate", 1)
        )
    )
    return join(config, batch, grown, config["filters"])


def pool(rank: int, config: Config, shape: Shape) -> Shape:
    """Return the shape after a MaxPooling or AveragePooling; strides default to the window."""
    batch, sizes, channels = split(rank, config, shape)
    strides = config.get("strides") or config["pool_size"]
    return join(config, batch, _slide(config, sizes, config["pool_size"], strides), channels)


def global_pool(rank: int, config: Config, shape: Shape) -> Shape:
    """Return the shape after a GlobalMaxPooling or GlobalAveragePooling."""
    batch, _, channels = split(rank, config, shape)
    return join(config, batch, (1,) * rank if config.get("keepdims") else (), channels)


def zero_padding(rank: int, config: Config, shape: Shape) -> Shape:
    """Return the shape after a ZeroPadding."""
    batch, sizes, channels = split(rank, config, shape)
    added = margins(config["padding"], rank)
    padded = (
        None if size is None else before + size + after
        for size, (before, after) in zip(sizes, added, strict=True)
    )
    return join(config, batch, padded, channels)


def cropping(rank: int, config: Config, shape: Shape) -> Shape:
    """Return the shape after a Cropping; at least one cell must be left."""
    batch, sizes, channels = split(rank, config, shape)
    removed = margins(config["cropping"], rank)
    for size, (before, after) in zip(sizes, removed, strict=True):
        if size is not None and size <= before + after:
            raise ShapeError(f"cropping {before} + {after} leaves nothing of a map of {size}")
    left = (
        None if size is None else size - before - after
        for size, (before, after) in zip(sizes, removed, strict=True)
    )
    return join(config, batch, left, channels)


def up_sampling(rank: int, config: Config, shape: Shape) -> Shape:
    """Return the shape after an UpSampling."""
    batch, sizes, channels = split(rank, config, shape)
    repeated = (
        None if size is None else size * factor for size, factor in by_axis(sizes, config["size"])
    )
    return join(config, batch, repeated, channels)


def resizing(rank: int, config: Config, shape: Shape) -> Shape:
    """Return the shape of a batch of images after a Resizing."""
    batch, _, channels = split(rank, config, shape)
    return join(config, batch, (config["height"], config["width"]), channels)


def _slide(config: Config, sizes: tuple[Size, ...], window: Any, strides: Any) -> Iterator[Size]:
    """Yield the sizes after a window went over a map."""
    padding, dilations = config.get("padding", "valid"), config.get("dilation_rate", 1)
    for size, cells, stride, dilation in by_axis(sizes, window, strides, dilations):
        yield window_output(size, cells, stride, padding, dilation)


def by_axis(sizes: Sequence[Any], *settings: Any) -> Iterator[tuple[Any, ...]]:
    """Yield each size, or whatever there is of each axis, with its settings."""
    return zip(sizes, *(_each(setting, len(sizes)) for setting in settings), strict=True)


def _each(setting: Any, count: int) -> tuple[Any, ...]:
    """List a value for each axis: layers take `2` as well as `(2, 2)`, JSON makes it `[2, 2]`."""
    return tuple(setting) if isinstance(setting, (list, tuple)) else (setting,) * count


def margins(setting: Any, rank: int) -> list[tuple[int, int]]:
    """Return the cells `(before, after)` on each axis; the 1D layers write the pair itself."""
    sides = (setting,) if rank == 1 else _each(setting, rank)
    return [(before, after) for before, after in (_each(side, 2) for side in sides)]
