"""Convolutions and pools: channels behind the batch, then as many axes as are convolved along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from allconv.export.operations.graph_writer import Value, Writer
from allconv.export.operations.onnx_graph import Operation
from allconv.export.operations.tensor_view import View
from allconv.shapes import Shape, span

PER_AXIS = ("kernel_shape", "strides", "dilations", "output_padding")


def windowed(
    writer: Writer, operation: Operation, inputs: Sequence[Value | None], shapes: Sequence[Shape]
) -> list[Value] | None:
    """Write a convolution or pool on as many axes as there are: one where TensorFlow has made two.

    TensorFlow convolves along one axis as along two, of which the other has one cell.
    """
    image = inputs[0]
    assert isinstance(image, View)
    attributes = with_pads(operation.attributes, image.shape)
    kept, idle = _as_it_lies(image, attributes)
    if operation.kind == "Conv" and isinstance(inputs[1], np.ndarray) and image.shape[1]:
        # tf2onnx sees groups along two axes only
        attributes["group"] = image.shape[1] // inputs[1].shape[1]
    spatial = [axis - 2 for axis in range(2, len(image.axes)) if axis not in idle]
    further = [_kernel(writer, value, idle) for value in inputs[1:]]
    outputs = writer.write(
        operation.kind,
        [writer.plain(kept), *further],
        _along(spatial, len(image.axes) - 2, attributes),
        len(shapes),
    )
    lying: list[int | None] = []
    for axis in range(len(image.axes)):
        lying.append(None if axis in idle else axis - sum(i < axis for i in idle))
    return [
        View(name, len(image.axes) - len(idle), tuple(lying), shape)
        for name, shape in zip(outputs, shapes, strict=True)
    ]


def _as_it_lies(image: View, attributes: Mapping[str, Any]) -> tuple[View, list[int]]:
    """Drop the axes of the map along which nothing is and nothing happens; list them, too."""
    for seen in image.named_ones():
        idle = [axis for axis in range(2, len(seen.axes)) if _is_idle(seen, axis, attributes)]
        kept = seen.without(idle)
        if len(kept.axes) > 2 and kept.is_plain:
            return kept, idle
    return image, []


def _is_idle(image: View, axis: int, attributes: Mapping[str, Any]) -> bool:
    """Tell whether an axis is only seen, and nothing happens along it."""
    rank, place = len(image.axes) - 2, axis - 2
    pads = attributes.get("pads", [0] * 2 * rank)
    further = attributes.get("output_padding", [0] * rank)
    still = not (pads[place] or pads[rank + place] or further[place])
    window = attributes.get("kernel_shape", [0] * rank)[place]
    return image.axes[axis] is None and still and window == 1


def _kernel(writer: Writer, value: Value | None, idle: Sequence[int]) -> str | np.ndarray:
    if value is None:
        return ""
    if isinstance(value, View):
        return writer.plain(value)
    return np.squeeze(value, tuple(idle)) if value.ndim > 1 and idle else value


def _along(spatial: Sequence[int], rank: int, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the attributes for some of the axes, without those that say nothing."""
    few = dict(attributes)
    for name in PER_AXIS:
        if name in few:
            few[name] = [few[name][axis] for axis in spatial]
    if "pads" in few:
        both = [*spatial, *(rank + axis for axis in spatial)]
        few["pads"] = [few["pads"][axis] for axis in both]
    for name, idle in (("pads", 0), ("output_padding", 0), ("dilations", 1), ("strides", 1)):
        if name in few and set(few[name]) == {idle}:
            del few[name]
    if few.get("group") == 1:
        del few["group"]
    return few


def with_pads(attributes: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    """Write numbers in place of `auto_pad`, where these are the same at all sizes.

    It is where the size is known, and where the stride is 1: `dilation * (window - 1)` cells, the
    smaller half in front. A window of two cells and a larger stride may take one behind the last.
    """
    attributes = dict(attributes)
    if attributes.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID"):
        attributes.pop("auto_pad", None)
        return attributes
    rank = len(shape) - 2
    strides = attributes.get("strides", [1] * rank)
    dilations = attributes.get("dilations", [1] * rank)
    cells = [
        _added(size, window, stride, dilation)
        for size, window, stride, dilation in zip(
            shape[2:], attributes["kernel_shape"], strides, dilations, strict=True
        )
    ]
    known = [number for number in cells if number is not None]
    if len(known) == rank:
        del attributes["auto_pad"]
        before = [number // 2 for number in known]
        attributes["pads"] = before + [n - half for n, half in zip(known, before, strict=True)]
    return attributes


def _added(size: int | None, window: int, stride: int, dilation: int) -> int | None:
    """Say how many cells padding `same` adds along an axis; None where that depends on its size."""
    if size is None:
        return span(window, dilation) - 1 if stride == 1 or span(window, dilation) < 3 else None
    return max((-(-size // stride) - 1) * stride + span(window, dilation) - size, 0)
