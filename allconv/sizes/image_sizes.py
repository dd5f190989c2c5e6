"""Which sizes of images a model takes, by the shapes of its layers alone; nothing is run.

What a backend makes of an image that is too small tells nothing: TensorFlow with oneDNN may give
numbers for it that mean nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from allconv.errors import ConversionError, OptionError
from allconv.graph import Graph, Node
from allconv.layers.kinds import AVERAGE_POOLS, CONVOLUTIONS, MAX_POOLS, SPATIAL
from allconv.layers.map_shapes import by_axis
from allconv.shape_walk import Image, images, shapes_at, size_words
from allconv.shapes import Shape
from allconv.sizes.smallest_size import smallest_and_step

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class ImageSizes:
    """The sizes of the images that a model takes, along each axis.

    Attributes:
        smallest: The smallest.
        step: Cells from one size that fits to the next; 1 where all do from the smallest on, 0
            where the model has one size of its own.
    """

    smallest: Sizes
    step: Sizes

    def __str__(self) -> str:
        steps = f", in steps of {size_words(self.step)}" if max(self.step) > 1 else ""
        return f"from {size_words(self.smallest)} on{steps}"

    def at_least(self, size: Sequence[int]) -> Sizes:
        """Find the first size that fits and is as large, where any is."""
        return tuple(
            smallest + -(-max(cells - smallest, 0) // step) * step if step else smallest
            for cells, smallest, step in zip(size, self.smallest, self.step, strict=True)
        )

    def nearest(self, size: Sequence[int]) -> list[Sizes]:
        """List the sizes that fit below and above one that does not."""
        below = tuple(
            smallest + max(cells - smallest, 0) // step * step if step else smallest
            for cells, smallest, step in zip(size, self.smallest, self.step, strict=True)
        )
        return list(dict.fromkeys((below, self.at_least(size))))

    def words_for(self, size: Sequence[int]) -> str:
        """Say what to choose in the place of a size that does not fit."""
        words = f"it takes images {self}"
        if max(self.step) < 2 or len(size) != len(self.smallest):
            return words
        nearest = self.nearest(size)
        are = "is" if len(nearest) == 1 else "are"
        return (
            f"{words}; nearest to {size_words(size)} {are} {' and '.join(map(size_words, nearest))}"
        )


def has_free_sizes(graph: Graph) -> bool:
    """Tell whether a model takes images of several sizes."""
    return any(None in image.sizes for image in images(graph))


def free_sizes(graph: Graph) -> ImageSizes:
    """Find the sizes of a model's images, along the axes where it leaves them free.

    Raises:
        ConversionError: No size fits, or a layer is not known well enough to tell.
    """
    found = images(graph)
    own = {axis: _own(found, axis) for axis in range(max(len(image.sizes) for image in found))}
    free = [axis for axis in own if any(None in image.sizes[axis : axis + 1] for image in found)]
    sizes = {axis: (own[axis] or 1, 0) for axis in own}
    sizes |= {axis: _along(graph, axis, None) for axis in free}
    return _tried(graph, ImageSizes(*map(tuple, zip(*sizes.values(), strict=True))))


def resized_sizes(graph: Graph) -> ImageSizes:
    """Find the sizes that a model takes if its images may have another one than their own.

    Raises:
        ConversionError: It fits one size only, none, or a layer is not known well enough to tell.
    """
    found = images(graph)
    axes = range(max((len(image.sizes) for image in found), default=0))
    if not axes:
        raise ConversionError(f"model '{graph.name}' takes no images")
    sizes = [_along(graph, axis, _own(found, axis)) for axis in axes]
    return _tried(graph, ImageSizes(*map(tuple, zip(*sizes, strict=True))), all_axes=True)


def shapes_of_size(graph: Graph, size: Sequence[int], all_axes: bool = False) -> dict[Node, Shape]:
    """Fill in what is free in the shapes of a model's images, axis by axis, or replace sizes."""
    return {
        image.node: image.shape(
            [new if all_axes else own or new for own, new in zip(image.sizes, size, strict=False)]
        )
        for image in images(graph)
    }


def refuse_misfits(graph: Graph, shapes: Sequence[Shape], what: str) -> None:
    """Raise an OptionError where a model's layers do not fit arrays of these shapes.

    Args:
        graph: The model.
        shapes: Of an array for each of its inputs.
        what: What messages call the arrays.
    """
    given = {
        node: ((node.shape or shape)[0], *shape[1:])  # how many there are is no matter of sizes
        for node, shape in zip(graph.inputs, shapes, strict=True)
    }
    problems = shapes_at(graph, given)[1]
    if problems:
        raise OptionError(
            f"{what}: images of shape {' and '.join(map(str, shapes))} do not fit model "
            f"'{graph.name}', at {problems[0]}; {_advice(graph, given)}"
        )


def _advice(graph: Graph, given: Mapping[Node, Shape]) -> str:
    if not has_free_sizes(graph):
        return "give others"
    try:
        sizes = free_sizes(graph)
    except ConversionError as error:
        return str(error)
    asked = next(
        (_sizes_in(image, given[image.node]) for image in images(graph) if None in image.sizes), ()
    )
    return sizes.words_for(asked)


def _sizes_in(image: Image, shape: Shape) -> Sizes:
    sizes = shape[2:] if image.data_format == "channels_first" else shape[1:-1]
    return tuple(size or 0 for size in sizes)


def _own(found: Sequence[Image], axis: int) -> int | None:
    """Find the size along an axis of the first image that has one."""
    sizes = [image.sizes[axis] for image in found if len(image.sizes) > axis]
    return next((size for size in sizes if size), None)


def _along(graph: Graph, axis: int, own: int | None) -> tuple[int, int]:
    """Find the smallest size along an axis, and the step to those that follow."""
    return smallest_and_step(graph, axis, own, _period(graph, axis))


def _tried(graph: Graph, sizes: ImageSizes, all_axes: bool = False) -> ImageSizes:
    """Try the sizes, if all axes fit together; else with all axes alike, as for two swapped."""
    larger = tuple(map(sum, zip(sizes.smallest, sizes.step, strict=True)))
    alike = ImageSizes((max(sizes.smallest),) * len(larger), (max(sizes.step),) * len(larger))
    for each in (sizes, alike):
        two = (each.smallest, each.at_least(larger))
        problems = [_problem(graph, shapes_of_size(graph, size, all_axes)) for size in two]
        if not any(problems):
            return each
    first = next(filter(None, problems))
    raise ConversionError(f"model '{graph.name}' fits no image that was tried: {first}")


def _problem(graph: Graph, given: Mapping[Node, Shape]) -> str:
    """Name the layer that does not fit these shapes; "" where none is.

    Raises:
        ConversionError: It is not known what a layer gives.
    """
    shapes, problems = shapes_at(graph, given)
    if problems:
        return str(problems[0])
    for node, shape in shapes.items():
        if shape is None:
            raise ConversionError(
                f"allconv does not know which sizes of images '{node.name}' ({node.kind}) takes"
            )
    return ""


def _period(graph: Graph, axis: int) -> int:
    """Find the fewest pixels of the images by which all maps grow by whole cells."""
    strides: dict[Node, Fraction] = {}
    for node in graph.nodes:
        before = max((strides[source] for source in node.inputs), default=Fraction(1))
        strides[node] = before * _stride(node, axis)
    return math.lcm(*(stride.numerator for stride in strides.values()))


def _stride(node: Node, axis: int) -> Fraction:
    """Return the cells that a layer takes for one that it gives."""
    config, rank = node.config, len(node.shape or ()) - 2
    windows = CONVOLUTIONS | MAX_POOLS | AVERAGE_POOLS
    if not axis < rank or node.kind not in windows | SPATIAL:
        return Fraction(1)
    if node.kind not in windows:
        setting, spreads = config.get("size", 1), True
    else:
        setting = config.get("strides") or config.get("pool_size", 1)
        spreads = node.kind.endswith("Transpose")
    _, stride = list(by_axis(range(rank), setting))[axis]
    return Fraction(1, stride) if spreads else Fraction(stride)
