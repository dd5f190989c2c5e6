"""Which layer of Keras does what an operation of `keras.ops` does, with which settings.

Each function gives the layer's class and settings, or None where no layer does what is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from allconv.graph import Node
from allconv.layers.indexing import is_number
from allconv.layout import are_known, is_map, layout
from allconv.shapes import Shape, product

Config = Mapping[str, Any]
Found = tuple[str, dict[str, Any]] | None


def _axes(value: Any, shape: Shape) -> tuple[int, ...] | None:
    """Count axes from the first, in order; None for all of them, and for what is no axis."""
    listed = value if isinstance(value, (list, tuple)) else [value]
    count = len(shape)
    if not all(is_number(axis) and -count <= axis < count for axis in listed):
        return None
    return tuple(sorted({axis % count for axis in listed}))


def _target(shape: Sequence[int | None]) -> tuple[int, ...] | None:
    """Read the sizes of a Reshape, one of which may be free; None where more are."""
    target = tuple(-1 if size is None else size for size in shape)
    return target if target.count(-1) < 2 else None


def relu(config: Config, tensor: Node) -> Found:
    """Read `keras.activations.relu` on a tensor, which is no operation of `keras.ops`."""
    settings = ("negative_slope", "max_value", "threshold")
    return "ReLU", {key: config[key] for key in settings if key in config}


def _softmax(config: Config, tensor: Node) -> Found:
    axis = config.get("axis", -1)
    return ("Softmax", {"axis": axis}) if is_number(axis) else None


def _along_last(activation: str) -> Callable[[Config, Node], Found]:
    """Read an activation for which no layer of Keras has an axis."""

    def read(config: Config, tensor: Node) -> Found:
        shape = tensor.shape or ()
        last = _axes(config.get("axis", -1), shape) == (len(shape) - 1,)
        return ("Activation", {"activation": activation}) if last else None

    return read


def _pooled(how: str) -> Callable[[Config, Node], Found]:
    """Read a mean or a maximum over a map, or over some of its axes where these are kept."""

    def read(config: Config, tensor: Node) -> Found:
        if not is_map(tensor) or config.get("initial") is not None:
            return None
        tensor_layout, axes = layout(tensor), _axes(config.get("axis"), tensor.shape or ())
        keepdims, lies = bool(config.get("keepdims")), {"data_format": tensor_layout.data_format}
        if axes == tensor_layout.spatial_axes:
            return f"Global{how}Pooling{tensor_layout.rank}D", {"keepdims": keepdims, **lies}
        if not axes or not set(axes) < set(tensor_layout.spatial_axes) or not keepdims:
            return None
        places = list(zip(tensor_layout.spatial_axes, tensor_layout.sizes, strict=True))
        window = [size if axis in axes else 1 for axis, size in places]
        if not are_known(tuple(window)):
            return None
        moves = {"pool_size": window, "strides": [1] * tensor_layout.rank, "padding": "valid"}
        return f"{how}Pooling{tensor_layout.rank}D", {**moves, **lies}

    return read


def _pool(how: str) -> Callable[[Config, Node], Found]:
    def read(config: Config, tensor: Node) -> Found:
        if not is_map(tensor):
            return None
        tensor_layout, size = layout(tensor), config.get("pool_size")
        window = [size] * tensor_layout.rank if is_number(size) else size
        strides = config.get("strides")
        strides = [strides] * tensor_layout.rank if is_number(strides) else strides or window
        lies = {"data_format": config.get("data_format") or tensor_layout.data_format}
        moves = {"pool_size": window, "strides": strides, "padding": config.get("padding", "valid")}
        return f"{how}Pooling{tensor_layout.rank}D", {**moves, **lies}

    return read


def _concatenate(config: Config, tensor: Node) -> Found:
    axes = _axes(config.get("axis", 0), tensor.shape or ())
    return ("Concatenate", {"axis": config["axis"]}) if axes and axes != (0,) else None


def _reshape(config: Config, tensor: Node) -> Found:
    shape, target = tensor.shape or (), config.get("newshape")
    if not isinstance(target, (list, tuple)) or not all(map(is_number, target)) or not target:
        return None
    batch, *sizes = target
    whole = batch == shape[0] or (batch == -1 and -1 not in sizes)
    if not whole or (batch == -1 and product(sizes) != product(shape[1:])):
        return None  # values of one image would become another's
    return "Reshape", {"target_shape": sizes}


def _pad(config: Config, tensor: Node) -> Found:
    pads, is_constant = config.get("pad_width"), config.get("mode", "constant") == "constant"
    axes = len(tensor.shape or ())
    if not is_map(tensor) or not is_constant or not isinstance(pads, (list, tuple)):
        return None
    if len(pads) != axes or not all(isinstance(pair, (list, tuple)) for pair in pads):
        return None
    tensor_layout = layout(tensor)
    others = set(range(axes)) - set(tensor_layout.spatial_axes)
    if any(any(pads[axis]) for axis in others):
        return None
    margins = [tuple(pads[axis]) for axis in tensor_layout.spatial_axes]
    padding = margins if tensor_layout.rank > 1 else margins[0]
    return f"ZeroPadding{tensor_layout.rank}D", {
        "padding": padding,
        "data_format": tensor_layout.data_format,
    }


def _expand_dims(config: Config, tensor: Node) -> Found:
    shape, axis = list(tensor.shape or ()), config.get("axis")
    added = len(axis) if isinstance(axis, (list, tuple)) else 1
    axes = _axes(axis, (*shape, *(1,) * added))
    if not axes or axes[0] == 0:
        return None
    for place in axes:
        shape.insert(place, 1)
    target = _target(shape[1:])
    return None if target is None else ("Reshape", {"target_shape": target})


def _squeeze(config: Config, tensor: Node) -> Found:
    shape = tensor.shape or ()
    ones = tuple(axis for axis, size in enumerate(shape) if size == 1)
    axes = ones if config.get("axis") is None else _axes(config["axis"], shape)
    if not axes or axes[0] == 0 or not set(axes) <= set(ones) or len(axes) > len(shape) - 2:
        return None
    target = _target([size for axis, size in enumerate(shape) if axis and axis not in axes])
    return None if target is None else ("Reshape", {"target_shape": target})


def _transpose(config: Config, tensor: Node) -> Found:
    order, axes = config.get("axes"), len(tensor.shape or ())
    if not isinstance(order, (list, tuple)) or not all(map(is_number, order)):
        return None
    first, *dims = [axis % axes for axis in order]
    return ("Permute", {"dims": dims}) if first == 0 else None


def _swapaxes(config: Config, tensor: Node) -> Found:
    shape = tensor.shape or ()
    pair = _axes([config.get("axis1"), config.get("axis2")], shape)
    if not pair or pair[0] == 0:
        return None
    order = list(range(len(shape)))
    order[pair[0]], order[pair[-1]] = order[pair[-1]], order[pair[0]]
    return "Permute", {"dims": order[1:]}


def _resize(config: Config, tensor: Node) -> Found:
    size = config.get("size")
    if not is_map(tensor) or layout(tensor).rank != 2 or not isinstance(size, (list, tuple)):
        return None
    if len(size) != 2 or config.get("antialias"):
        return None
    names = ("crop_to_aspect_ratio", "pad_to_aspect_ratio", "fill_mode", "fill_value")
    kept = {key: config[key] for key in ("interpolation", *names) if key in config}
    data_format = config.get("data_format") or layout(tensor).data_format
    return "Resizing", {"height": size[0], "width": size[1], **kept, "data_format": data_format}


LAYER_OF: Mapping[str, Callable[[Config, Node], Found]] = {
    "ops.Amax": _pooled("Max"),
    "ops.AveragePool": _pool("Average"),
    "ops.Concatenate": _concatenate,
    "ops.ExpandDims": _expand_dims,
    "ops.LogSoftmax": _along_last("log_softmax"),
    "ops.Max": _pooled("Max"),
    "ops.MaxPool": _pool("Max"),
    "ops.Mean": _pooled("Average"),
    "ops.Pad": _pad,
    "ops.Reshape": _reshape,
    "ops.Resize": _resize,
    "ops.Softmax": _softmax,
    "ops.Sparsemax": _along_last("sparsemax"),
    "ops.Squeeze": _squeeze,
    "ops.Swapaxes": _swapaxes,
    "ops.Transpose": _transpose,
}
"""The operations, each with the function that finds its layer."""
