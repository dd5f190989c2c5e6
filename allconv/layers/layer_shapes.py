"""Shapes of layers, from the dictionaries that Keras 3 writes in `get_config()`.

Two tables lead from a layer's class name to a small function: one for the shape that a call gives,
one (in `layer_weights`) for the weights that the layer owns. Errors are bare facts ("a window of 5
does not fit a map of 3"): whoever knows the layer's name adds it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from allconv.errors import ShapeError
from allconv.layers import indexing, map_shapes
from allconv.layers.kinds import (
    ACTIVATION_LAYERS,
    BINARY_OPS,
    IDENTITY_AT_INFERENCE,
    MERGES,
    NORMALIZATIONS,
    UNARY_OPS,
)
from allconv.layers.layer_weights import WEIGHTS, Weights
from allconv.layers.map_shapes import Config, expect_axes
from allconv.layers.sequence_shapes import OF_SEQUENCES
from allconv.shapes import Shape, broadcast, product

__all__ = ["KNOWN_KINDS", "output_shape", "weight_shapes"]


LARGEST = 2**63 - 1
"""Every framework counts cells in 64 bits."""


def output_shape(
    kind: str, config: Config, inputs: Sequence[Shape | None], operands: Sequence[Any] = ()
) -> Shape | None:
    """Return the shape that one call of a layer gives, batch axis included.

    Args:
        kind: class name of the layer, "ops.<ClassName>" for an operation of `keras.ops`.
        config: what the layer's `get_config()` gives, from a live layer or from a file.
        inputs: shapes of the inputs, None where unknown.
        operands: all that the layer is called with; constants of an operation are among them.

    Returns:
        The shape, None where the kind is not known here or the shape of an input is unknown.

    Raises:
        ShapeError: the inputs do not fit the layer, or the map vanishes.

    Example:
        >>> output_shape("MaxPooling2D", {"pool_size": (2, 2)}, [(None, 28, 28, 16)])
        (None, 14, 14, 16)
    """
    known = [shape for shape in inputs if shape is not None]
    if len(known) < len(inputs):
        return None
    if kind == "InputLayer":
        return tuple(config["batch_shape"])
    if kind in BINARY_OPS:
        known += [np.shape(value) for value in operands if isinstance(value, np.ndarray)]
    shape = None
    if known and kind in _OF_OPERANDS:
        shape = _OF_OPERANDS[kind](config, known[0], operands)
    elif known and kind in _OF_MANY_INPUTS:
        shape = _OF_MANY_INPUTS[kind](config, known)
    elif known and kind in _OF_ONE_INPUT:
        shape = _OF_ONE_INPUT[kind](config, known[0])
    elif known and kind in OF_SEQUENCES:
        shape = OF_SEQUENCES[kind](config, known[0])
    if any(size is not None and size > LARGEST for size in shape or ()):
        raise ShapeError("gives a map of more cells along an axis than 64 bits can count")
    return shape


def weight_shapes(kind: str, config: Config, inputs: Sequence[Shape | None]) -> Weights | None:
    """Return the shapes of the weights that a built layer owns, in the order of `layer.weights`.

    The names are those of Keras' variables. Where Keras gives a variable no name (`LayerScale` of
    keras.applications) it is the name of the layer's attribute.

    Args:
        kind: class name of the layer, "ops.<ClassName>" for an operation of `keras.ops`.
        config: what the layer's `get_config()` gives, from a live layer or from a file.
        inputs: shapes of the inputs that the layer is built on, None where unknown.

    Returns:
        Shapes by name, empty where the layer has no weights; None where the kind is not known
        here, the input's shape is unknown, or LoRA or quantization changed the weights.

    Raises:
        ShapeError: a size that the weights need is unknown, or channels and groups disagree.

    Example:
        >>> weight_shapes("Dense", {"units": 10, "use_bias": True}, [(None, 128)])
        {'kernel': (128, 10), 'bias': (10,)}
    """
    if kind not in WEIGHTS:
        return {} if kind in KNOWN_KINDS else None
    if not inputs or inputs[0] is None or is_adapted(config):
        return None
    return WEIGHTS[kind](config, inputs[0])


def is_adapted(config: Config) -> bool:
    """Tell whether LoRA or quantization added variables, and put them in another order."""
    return bool(config.get("lora_rank")) or is_quantized(config)


def is_quantized(config: Config) -> bool:
    """Tell whether a layer's variables hold its weights in fewer bits.

    Policies of quantization, whatever their class, name the one they come from.
    """
    policy = str(config.get("dtype"))
    return bool(config.get("quantization_config")) or "_from_" in policy or "source_name" in policy


def _keep(config: Config, shape: Shape) -> Shape:
    return shape


def _dense(config: Config, shape: Shape) -> Shape:
    if len(shape) < 2:
        raise ShapeError(f"expects at least 2 axes (batch, ..., channels), got {shape}")
    return (*shape[:-1], config["units"])


def _flatten(config: Config, shape: Shape) -> Shape:
    return (shape[0], product(shape[1:]))


def _reshape(config: Config, shape: Shape) -> Shape:
    target = tuple(config["target_shape"])
    values = product(shape[1:])
    if values is None:
        # Keras takes the target at its word where it cannot count.
        return (shape[0], *(None if size == -1 else size for size in target))
    given = math.prod(size for size in target if size != -1)
    rest = values // given if given else 0
    filled = tuple(rest if size == -1 else size for size in target)
    if math.prod(filled) != values:
        raise ShapeError(f"the {values} values of {shape} do not fill the target shape {target}")
    return (shape[0], *filled)


def _permute(config: Config, shape: Shape) -> Shape:
    dims = tuple(config["dims"])
    if len(dims) != len(shape) - 1:
        raise ShapeError(f"the order {dims} is for {len(dims) + 1} axes with batch, got {shape}")
    return (shape[0], *(shape[axis] for axis in dims))


def _repeat_vector(config: Config, shape: Shape) -> Shape:
    expect_axes(shape, "batch, channels")
    return (shape[0], config["n"], shape[1])


def _merge(config: Config, shapes: Sequence[Shape]) -> Shape:
    """Return the shape of a merge: Keras aligns all but the batch at the last axis."""
    batches = {shape[0] for shape in shapes} - {None}
    if len(batches) > 1:
        raise ShapeError(f"inputs {_listed(shapes)} have different batch sizes")
    try:
        sizes = broadcast([shape[1:] for shape in shapes], forget_unknown=True)
    except ShapeError:
        raise ShapeError(f"inputs {_listed(shapes)} do not broadcast together") from None
    return (batches.pop() if batches else None, *sizes)


def _concatenate(config: Config, shapes: Sequence[Shape]) -> Shape:
    """Take other sizes from the first input, as Keras does, even where another one knows more."""
    first, axis = shapes[0], config.get("axis", -1)
    if any(len(shape) != len(first) for shape in shapes) or not -len(first) <= axis < len(first):
        raise ShapeError(f"inputs {_listed(shapes)} cannot be joined along axis {axis}")
    along = [shape[axis] for shape in shapes]
    for position, sizes in enumerate(zip(*shapes, strict=True)):
        if position != axis % len(first) and len(set(sizes) - {None}) > 1:
            raise ShapeError(f"inputs {_listed(shapes)} differ outside of axis {axis}")
    joined = list(first)
    joined[axis] = None if None in along else sum(size for size in along if size is not None)
    return tuple(joined)


def _broadcast(config: Config, shapes: Sequence[Shape]) -> Shape:
    return broadcast(shapes)


def _listed(shapes: Sequence[Shape]) -> str:
    return " and ".join(map(str, shapes))


_SHAPE_KEEPING = (
    ACTIVATION_LAYERS
    | IDENTITY_AT_INFERENCE
    | NORMALIZATIONS
    | UNARY_OPS
    | {"ThresholdedReLU", "GroupNormalization", "Masking", "Rescaling", "LayerScale"}
    | {"ops.Softmax", "ops.LogSoftmax", "ops.Sparsemax", "ops.StopGradient", "ops.Flip"}
)

_OF_ONE_INPUT: Mapping[str, Callable[[Config, Shape], Shape | None]] = {
    **dict.fromkeys(_SHAPE_KEEPING, _keep),
    "Dense": _dense,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Permute": _permute,
    "RepeatVector": _repeat_vector,
    "ops.Split": lambda config, shape: indexing.split(
        shape, config.get("indices_or_sections"), config.get("axis", 0)
    ),
    "ops.Unstack": lambda config, shape: indexing.unstacked(shape, config.get("axis", 0)),
    "Resizing": partial(map_shapes.resizing, 2),
    "DepthwiseConv1D": partial(map_shapes.depthwise_conv, 1),
    "DepthwiseConv2D": partial(map_shapes.depthwise_conv, 2),
    "SeparableConv1D": partial(map_shapes.conv, 1),
    "SeparableConv2D": partial(map_shapes.conv, 2),
    **{
        name.format(rank): partial(rule, rank)
        for rank in (1, 2, 3)
        for name, rule in {
            "Conv{}D": map_shapes.conv,
            "Conv{}DTranspose": map_shapes.conv_transpose,
            "MaxPooling{}D": map_shapes.pool,
            "AveragePooling{}D": map_shapes.pool,
            "GlobalMaxPooling{}D": map_shapes.global_pool,
            "GlobalAveragePooling{}D": map_shapes.global_pool,
            "ZeroPadding{}D": map_shapes.zero_padding,
            "Cropping{}D": map_shapes.cropping,
            "UpSampling{}D": map_shapes.up_sampling,
        }.items()
    },
}

_OF_MANY_INPUTS: Mapping[str, Callable[[Config, Sequence[Shape]], Shape | None]] = {
    **dict.fromkeys(MERGES, _merge),
    **dict.fromkeys(BINARY_OPS, _broadcast),
    "Concatenate": _concatenate,
    "CustomScaleLayer": _broadcast,
    "ops.Stack": lambda config, shapes: indexing.stacked(shapes, config.get("axis", 0)),
}

_OF_OPERANDS: Mapping[str, Callable[[Config, Shape, Sequence[Any]], Shape | None]] = {
    "ops.GetItem": lambda config, shape, operands: indexing.indexed(shape, operands[-1]),
    "ops.Take": lambda config, shape, operands: indexing.taken(
        shape, config.get("axis"), operands[-1]
    ),
}
"""What operations give whose operands say which part of a tensor is taken."""

KNOWN_KINDS = frozenset({"InputLayer", *_OF_ONE_INPUT, *_OF_MANY_INPUTS, *_OF_OPERANDS})
"""Class names of the layers whose shapes, weights and costs are known here."""
