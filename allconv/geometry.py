"""`geometry`: where the cells of a class map look, and from which image size on there is one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING

from allconv.dense_maps.dense_plan import at_output_stride, refuse_coarse
from allconv.dense_maps.strides import OutputStride
from allconv.errors import ConversionError
from allconv.graph import Graph, Node
from allconv.layers import kinds
from allconv.layout import layout
from allconv.layout.made_images import images_made
from allconv.obstacles import refuse_obstacles
from allconv.plan import plan_conversion
from allconv.read.file import ModelFile
from allconv.resize import InputSize, at_own_size, giving_maps, resized
from allconv.shape_walk import Image, images
from allconv.shapes import span
from allconv.sizes.field import Field, Fields
from allconv.sizes.map_geometry import Geometry
from allconv.sizes.margins import extents
from allconv.sizes.receptive_field import common_stride, joins_places, receptive_fields
from allconv.sizes.smallest_size import smallest_and_step
from allconv.sizes.windows import Margin, window_axes

if TYPE_CHECKING:
    import keras


def geometry(
    model: keras.Model | str | os.PathLike[str] | ModelFile,
    *,
    input_size: Sequence[int] | None = None,
    output_stride: OutputStride | None = None,
) -> Geometry:
    """Say where the cells of the class map look that `convert(model, input_size="any")` gives.

    Strides multiply from layer to layer and receptive fields grow by `(window - 1) * stride`
    (Araujo, Norris and Sim 2019, "Computing Receptive Fields of Convolutional Neural Networks",
    Distill, https://distill.pub/2019/computing-receptive-fields; `allconv.sizes.receptive_field`
    has the equations); where branches meet, the field holds those of all of them. How far padding
    `same` shifts the first cell's centre is that of the model's own size.

    Args:
        model: A built Sequential or Functional model, or a `.keras` or `.h5` file, with images at
            its inputs and one output.
        input_size: The images' size. With an `output_stride` it is that of `convert`, on which
            padding `same` depends; else the own size of a model that leaves it open, and has layers
            that need one.
        output_stride: As of `convert`; the cells are then those of the finer map.

    Raises:
        ConversionError: Layers stand in the way, of a conversion or of a finer map; the model has
            no image or several outputs, branches with different strides meet, or maps are joined
            side by side.
        FileError: The file cannot be opened.
        ModelError: The model is not built, empty or subclassed.

    Example:
        >>> import allconv, keras
        >>> model = keras.Sequential([
        ...     keras.Input((28, 28, 1)),
        ...     keras.layers.Conv2D(4, 5, activation="relu"),
        ...     keras.layers.MaxPooling2D(2),
        ...     keras.layers.Flatten(),
        ...     keras.layers.Dense(10),
        ... ])
        >>> print(allconv.geometry(model))
        output stride 2x2, receptive field 28x28, first cell's centre at (13.5, 13.5), smallest
        image 28x28
    """
    size: InputSize = input_size or "any"
    plan = plan_conversion(model, input_size=size, output_stride=output_stride)
    if output_stride is None:
        refuse_obstacles(plan, "they have no geometry")
        return _geometry(giving_maps(plan.after))
    refuse_coarse(plan, output_stride)
    own = at_own_size(plan)
    if input_size is None:
        return _geometry(at_output_stride(own, output_stride, free=True).after, own.after)
    maps = resized(plan, input_size)  # padding `same` is that of this size
    return _geometry(at_output_stride(maps, output_stride).after, own.after)


def graph_geometry(graph: Graph, own: Graph | None = None) -> Geometry | None:
    """Work out the geometry of an all-convolutional network; None where it has none.

    Args:
        graph: The network.
        own: The same at its own size and its own stride, where `graph` gives a finer map.
    """
    try:
        return _geometry(giving_maps(graph), own and giving_maps(own))
    except ConversionError:
        return None


def _geometry(maps: Graph, own_maps: Graph | None = None) -> Geometry:
    found, output = _fields_at_output(maps), maps.outputs[0]
    fields, axes = found[output], range(len(found[output]))
    periods = tuple(common_stride(found.values(), axis) for axis in axes)
    own = _image(maps).sizes
    sizes = [smallest_and_step(maps, axis, own[axis], periods[axis]) for axis in axes]
    return Geometry(
        output_stride=tuple(_number(field.stride) for field in fields),
        receptive_field=tuple(
            None if field.whole else floor(field.last - field.first) + 1 for field in fields
        ),
        offset=_offsets(fields, own_maps or maps),
        field_offset=tuple(map(_middle, fields)),
        minimum_input_size=tuple(smallest for smallest, _ in sizes),
        input_size_step=tuple(step for _, step in sizes),
        period=periods,
        input_size=own,
        output_size=layout(output).sizes,
        margin=_margin(maps, output),
        padded=tuple(dict.fromkeys(node.name for node in maps.nodes if _treats_border_apart(node))),
    )


def _fields_at_output(maps: Graph) -> dict[Node, Fields]:
    """Work out what all cells see, where there is one output and it sees an image."""
    if len(maps.outputs) != 1:
        count = len(maps.outputs)
        raise ConversionError(f"model '{maps.name}' has {count} outputs; geometry is that of one")
    found = receptive_fields(maps)
    if joined := next(filter(joins_places, maps.nodes), None):
        raise ConversionError(
            f"layer '{joined.name}' ({joined.kind}) has no receptive field: it joins maps side by "
            "side, and each of them looks elsewhere"
        )
    if maps.outputs[0] not in found:
        made = images_made(maps)
        raise ConversionError(
            f"model '{maps.name}' makes its output of no image{made and f': {made}'}"
        )
    return found


def _offsets(fields: Fields, maps: Graph) -> tuple[float, ...]:
    """Find the middle of what the first cell speaks for: the image, where it is the only cell.

    Args:
        fields: What the first cell sees; of a finer map it is the same cell.
        maps: The network at its own stride: a finer map may have more cells on the same image.
    """
    axes = zip(fields, _image(maps).sizes, layout(maps.outputs[0]).sizes, strict=True)
    return tuple(
        (image - 1) / 2 if image and cells == 1 else _middle(field) for field, image, cells in axes
    )


def _middle(field: Field) -> float:
    return float(field.first + field.last) / 2


def _margin(maps: Graph, output: Node) -> tuple[Margin, ...] | None:
    found = extents(maps).get(output)
    return None if found is None else tuple(each.margin for each in found)


def _number(stride: Fraction) -> int | float:
    return stride.numerator if stride.denominator == 1 else float(stride)


def _image(maps: Graph) -> Image:
    """Find the first image with as many axes as the map."""
    rank = layout(maps.outputs[0]).rank
    found = next((image for image in images(maps) if len(image.sizes) == rank), None)
    if found is None:
        raise ConversionError(
            f"model '{maps.name}' takes no image of {rank} axes, as its output is a map of; "
            "geometry compares them axis by axis"
        )
    return found


def _treats_border_apart(node: Node) -> bool:
    """Tell whether the outermost cells of a layer are made of fewer cells than others are."""
    if node.kind in kinds.UP_SAMPLINGS:
        return bool(node.config.get("interpolation", "nearest") != "nearest")
    if node.kind in kinds.ZERO_PADDINGS:
        return True
    if node.kind in kinds.TRANSPOSED_CONVOLUTIONS:
        return any(span(k, dilation) > stride for _, k, stride, dilation in window_axes(node))
    if node.kind not in kinds.WINDOWS or node.config.get("padding") not in ("same", "causal"):
        return False
    return any(k > 1 for _, k, _, _ in window_axes(node))
