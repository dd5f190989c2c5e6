"""The image sizes along an axis that a network takes: the smallest, and in which steps more follow.

Arithmetic tells them of most networks. Of others sizes are tried, all of which go through a layer
together: behind a stride many are alike, and what is alike is worked out once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import repeat

from allconv.errors import ConversionError, ShapeError
from allconv.graph import Graph, Node
from allconv.shape_walk import Image, call_shape, images
from allconv.shapes import Shape
from allconv.sizes.size_arithmetic import smallest_by_arithmetic

LARGE = 1 << 14
"""A size at which any network fits that fits at all; for models whose own size is free."""
CALLS = 1 << 16
"""The most calls of layers that are worked out at once: a stranger's strides can be a billion."""

LONGEST = 1 << 12
"""A period above it is not searched: no network made for images has one."""


def smallest_and_step(maps: Graph, axis: int, own: int | None, period: int) -> tuple[int, int]:
    """Find the smallest size along one axis at which all layers fit, the others being the model's.

    The sizes along other axes are the model's own. The step is 1 where all sizes fit from the
    smallest on, otherwise the period.

    Args:
        maps: A network.
        axis: 0 for the first axis of the image.
        own: The model's own size, None where it is free.
        period: The stride that all cells of the network share along this axis.

    Raises:
        ConversionError: No size fits, or the period is too long to look for one.
    """
    if period > LONGEST:
        raise ConversionError(
            f"model '{maps.name}': its strides come to more than {LONGEST:,} cells, too many to "
            "look for its smallest image"
        )
    varied = [image.node for image in _varied(maps, axis)]
    exact = smallest_by_arithmetic(maps, axis, varied)
    if exact is not None and exact <= (own or LARGE - 1):
        return exact, 1
    smallest = _smallest_tried(maps, axis, own, period)
    return smallest, _step_tried(maps, axis, smallest, period)


def _smallest_tried(maps: Graph, axis: int, own: int | None, period: int) -> int:
    """Find the smallest size by trying.

    Where a size fits, so do those that are larger by periods; of others nothing is known, since
    branches may not meet there. So the sizes just below the smallest found are tried, and from one
    that fits the search goes on by halving, in steps of a period.
    """
    tried = min(period, _most(maps))
    smallest = own or _first_that_fits(maps, axis, _below(LARGE, tried))
    if smallest is None:
        raise ConversionError(f"model '{maps.name}' fits no image of up to {LARGE} cells")
    while smaller := _first_that_fits(maps, axis, _below(smallest, tried)):
        alike = range((smaller - 1) % period + 1, smaller + 1, period)
        fit = bisect_left(alike, True, key=lambda size: _fit(maps, axis, [size])[0])
        smallest = alike[fit]
    return smallest


def _step_tried(maps: Graph, axis: int, smallest: int, period: int) -> int:
    """Return 1 where all sizes fit from the smallest on, else the period, even if vast.

    Maps of one cell meet any other, as a merge spreads them. Two periods on no map that grows has
    one, and then what fits repeats itself.
    """
    if period > _most(maps):
        return period
    starts = (smallest, smallest + 2 * period)
    tried = (_fit(maps, axis, range(start + 1, start + period)) for start in starts)
    return 1 if all(map(all, tried)) else period


def _most(maps: Graph) -> int:
    """Say how many sizes are tried at once."""
    return max(CALLS // len(maps.nodes), 1)


def _below(size: int, tried: int) -> range:
    return range(max(size - tried, 1), size)


def _first_that_fits(maps: Graph, axis: int, sizes: Sequence[int]) -> int | None:
    fit = zip(sizes, _fit(maps, axis, sizes), strict=True)
    return next((size for size, fits in fit if fits), None)


def _fit(maps: Graph, axis: int, sizes: Sequence[int]) -> list[bool]:
    """Tell whether all layers fit, for each of some sizes along an axis."""
    fits = [True] * len(sizes)
    shapes: dict[Node, list[Shape | None]] = {
        image.node: [image.shape([*image.sizes[:axis], n, *image.sizes[axis + 1 :]]) for n in sizes]
        for image in _varied(maps, axis)
    }
    for node in maps.nodes:
        if node in shapes:
            continue
        columns = [shapes[source] for source in node.inputs]
        given = zip(*columns, strict=True) if columns else repeat((), len(sizes))
        known: dict[tuple[Shape | None, ...], tuple[Shape | None, bool]] = {}
        shapes[node] = []
        for place, inputs in enumerate(given):
            if inputs not in known:
                known[inputs] = _called(node, inputs)
            shape, does_fit = known[inputs]
            shapes[node].append(shape)
            fits[place] &= does_fit
    return fits


def _varied(maps: Graph, axis: int) -> list[Image]:
    """List the images that are tried at other sizes: those whose own is free, or else all."""
    along = [image for image in images(maps) if len(image.sizes) > axis]
    return [image for image in along if image.sizes[axis] is None] or along


def _called(node: Node, inputs: Sequence[Shape | None]) -> tuple[Shape | None, bool]:
    """Work out the shape that a call gives, and whether its layer fits."""
    try:
        return call_shape(node, list(inputs)), True
    except ShapeError:
        return None, False
