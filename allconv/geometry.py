"""`geometry`: where the cells of a class map look, and from which image size on there is one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING

from allconv.convert import plan_conversion, refuse_obstacles
from allconv.errors import ConversionError
from allconv.graph import Graph, Node
from allconv.input_size import giving_maps
from allconv.layers.kinds import CONVOLUTIONS
from allconv.layout import layout
from allconv.receptive_field import Fields, receptive_fields
from allconv.shape_walk import Image, by_words, images, shapes_at

if TYPE_CHECKING:
    import keras

LARGEST_SEARCHED = 1 << 14
"""Where the search for the smallest image ends, for a model whose own size is free."""


@dataclass(frozen=True)
class Geometry:
    """Where the cells of a model's output look, along each axis (height, width).

    Cell `i` sees `receptive_field` cells of the image, around `offset + output_stride * i`. Cells
    of the image are numbered from 0, at their centres; those below 0 are padding.

    Attributes:
        output_stride: Cells of the image from one cell of the map to the next; a fraction where the
            map is finer than the image.
        receptive_field: Cells of the image that one cell of the map depends on, padding included;
            None where it depends on all of them.
        offset: Position of the first cell's centre in the image.
        minimum_input_size: The smallest image that gives a map of at least one cell.
        input_size: The model's own size; None where it is free.
        output_size: The map's size there.
        padded: Names of the layers that pad with zeros (`padding="same"`, ZeroPadding).
    """

    output_stride: tuple[int | float, ...]
    receptive_field: tuple[int | None, ...]
    offset: tuple[float, ...]
    minimum_input_size: tuple[int, ...]
    input_size: tuple[int | None, ...]
    output_size: tuple[int | None, ...]
    padded: tuple[str, ...]

    def __str__(self) -> str:
        fields = "the whole image"
        if any(self.receptive_field):
            fields = "x".join(str(cells or "all") for cells in self.receptive_field)
        centre = ", ".join(f"{number:g}" for number in self.offset)
        return (
            f"output stride {'x'.join(f'{stride:g}' for stride in self.output_stride)}, "
            f"receptive field {fields}, first cell's centre at ({centre}), "
            f"smallest image {by_words(self.minimum_input_size)}"
        )


def geometry(model: keras.Model | str | os.PathLike[str]) -> Geometry:
    """Say where the cells of the class map look that `convert(model, input_size="any")` gives.

    Strides multiply from layer to layer and receptive fields grow by `(window - 1) * stride`
    (Araujo, Norris and Sim 2019, "Computing Receptive Fields of Convolutional Neural Networks",
    Distill, https://distill.pub/2019/computing-receptive-fields; `allconv.receptive_field` has the
    equations); where branches meet, the field holds those of all of them. How far padding `same`
    shifts the first cell's centre is that of the model's own size.

    Args:
        model: A built Sequential or Functional model, or a `.keras` or `.h5` file, with images at
            its inputs and one output.

    Raises:
        ConversionError: Layers stand in the way, the model has no image or several outputs, or
            branches with different strides meet.
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
    plan = plan_conversion(model, input_size="any")
    refuse_obstacles(plan)
    maps = giving_maps(plan.after)
    if len(maps.outputs) != 1:
        count = len(maps.outputs)
        raise ConversionError(f"model '{maps.name}' has {count} outputs; geometry is that of one")
    fields = receptive_fields(maps)
    if maps.outputs[0] not in fields:
        raise ConversionError(f"model '{maps.name}' makes its output of no image")
    return _geometry(maps, fields)


def graph_geometry(graph: Graph) -> Geometry | None:
    """The geometry of an all-convolutional network; None where it has none."""
    maps = giving_maps(graph)
    if len(maps.outputs) != 1:
        return None
    try:
        fields = receptive_fields(maps)
    except ConversionError:
        return None
    return _geometry(maps, fields) if maps.outputs[0] in fields else None


def _geometry(maps: Graph, found: Mapping[Node, Fields]) -> Geometry:
    output = maps.outputs[0]
    fields = found[output]
    return Geometry(
        output_stride=tuple(_number(field.stride) for field in fields),
        receptive_field=tuple(
            None if field.whole else floor(field.last - field.first) + 1 for field in fields
        ),
        offset=tuple(float(field.first + field.last) / 2 for field in fields),
        minimum_input_size=tuple(_smallest(maps, axis) for axis in range(len(fields))),
        input_size=_image(maps).sizes,
        output_size=layout(output).sizes,
        padded=tuple(dict.fromkeys(node.name for node in maps.nodes if _pads(node))),
    )


def _number(stride: Fraction) -> int | float:
    return stride.numerator if stride.denominator == 1 else float(stride)


def _smallest(maps: Graph, axis: int) -> int:
    """The smallest size along one axis at which all layers fit, the others being the model's own.

    Found by halving between a size that fits and one that does not.
    """
    own = _image(maps).sizes[axis]
    too_small, fitting = 0, own or next(n for n in _doubling() if _fits(maps, axis, n))
    while fitting - too_small > 1:
        middle = (too_small + fitting) // 2
        if _fits(maps, axis, middle):
            fitting = middle
        else:
            too_small = middle
    return fitting


def _image(maps: Graph) -> Image:
    """The first image with as many axes as the map."""
    rank = layout(maps.outputs[0]).rank
    return next(image for image in images(maps) if len(image.sizes) == rank)


def _doubling() -> list[int]:
    return [1 << n for n in range(LARGEST_SEARCHED.bit_length())]


def _fits(maps: Graph, axis: int, size: int) -> bool:
    tried = {}
    for image in images(maps):
        if len(image.sizes) > axis:
            sizes = [size if i == axis else own for i, own in enumerate(image.sizes)]
            tried[image.node] = image.shape(sizes)
    return not shapes_at(maps, tried)[1]


def _pads(node: Node) -> bool:
    """Whether a layer pads with zeros; a window of one cell never does."""
    if node.kind.startswith("ZeroPadding"):
        return True
    same = node.config.get("padding") in ("same", "causal")
    if node.kind not in CONVOLUTIONS or not same or not node.inputs:
        return False
    window = node.config["kernel_size"]
    rank = layout(node).rank
    return any(k > 1 for k in ((window,) * rank if isinstance(window, int) else window))
