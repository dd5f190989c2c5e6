"""Two maps of one network on images of one size: which cells of the one are which of the other.

A map of stride 2 of a network of stride 8 holds four of the network's own along each axis: that of
the image, and those of the image moved by 2, 4 and 6 cells. Images are moved in a ring, so that
they keep their size; cells are compared that see neither padding nor the place where it is closed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from allconv.dense_maps.dense_plan import at_output_stride
from allconv.errors import ConversionError
from allconv.graph import Graph
from allconv.layout import is_biased_along_width
from allconv.resize import at_own_size, resized
from allconv.rewrite import Plan
from allconv.shape_walk import images, size_words
from allconv.sizes.image_sizes import resized_sizes
from allconv.sizes.margins import Extent, Extents, extents
from allconv.verification.inputs import MOST_VALUES

MOST_MOVES = 6
"""Ways to move the images, of all that there are; each is a pass through the network."""

SAMPLES = 2

TURNS = 4
"""Sizes that are tried, where Keras on TensorFlow is wrong on some."""

Cells = tuple[range, range]
"""Numbers of cells of the map of moved images, and of the finer map."""


@dataclass(frozen=True)
class Pair:
    """The two networks on images of one size, before they are built.

    Attributes:
        coarse: The network with maps of its own stride.
        finer: That with the finer maps.
        size: Of the images.
        extents: For each output of the finer network the cells of its map.
        strides: For each output the stride of the network's own map.
    """

    coarse: Graph
    finer: Graph
    size: tuple[int, ...]
    extents: list[Extents]
    strides: list[tuple[int, ...]]

    @property
    def is_biased(self) -> bool:
        """Whether Keras on TensorFlow adds a bias in the wrong place on maps of these sizes."""
        nodes = (*self.coarse.nodes, *self.finer.nodes)
        return any(is_biased_along_width(node, node.shape) for node in nodes)

    def moves(self) -> list[tuple[int, ...]]:
        """List by how many cells the images are moved along each axis."""
        axes = list(zip(*map(self._steps, range(len(self.strides))), strict=True))
        along = [max(axis, key=len) for axis in axes]
        # Axes at different paces, so that a few moves tell rows from columns.
        every = [
            tuple(
                axis[(number * (1 + 2 * turn) + turn) % len(axis)]
                for turn, axis in enumerate(along)
            )
            for number in range(max(map(len, along)))
        ]
        moves = list(dict.fromkeys([(0,) * len(along), *every]))
        count = min(len(moves), MOST_MOVES)
        return [moves[number * (len(moves) - 1) // max(count - 1, 1)] for number in range(count)]

    def _steps(self, output: int) -> list[range]:
        """List along each axis the moves by less than the network's own stride."""
        axes = zip(self.strides[output], self.extents[output], strict=True)
        return [range(0, own, each.stride) for own, each in axes]

    def cells(self, output: int, move: Sequence[int]) -> list[Cells]:
        """Find along each axis the cells of an output to compare where images are moved so."""
        axes = zip(self.strides[output], self.extents[output], move, self.size, strict=True)
        return [_cells(*axis) for axis in axes]


def _cells(own: int, extent: Extent, move: int, image: int) -> Cells:
    """Find the cells to compare of both maps along one axis.

    Those of the coarse map that padding does not reach are behind the first clean one of the image
    as it is; the same cells of moved images see what lies further on.
    """
    each, clean = own // extent.stride, extent.clean_cells(image)
    begin = -(-clean.start // each)
    last = ((clean.stop - 1) * extent.stride - move) // own
    if move % extent.stride or last < begin:
        return range(0), range(0)
    first = (begin * own + move) // extent.stride
    count = last - begin + 1
    return range(begin, begin + count), range(first, first + count * each, each)


def pair_of(plan: Plan, result: Plan) -> Pair:
    """Plan both networks, on images of the result's size, or of the first that shows enough.

    Args:
        plan: The conversion, for the model's own size.
        result: The same with the finer map.

    Raises:
        ConversionError: There is no such size, or it is too large.
    """
    found = images(result.after)
    if len({image.sizes for image in found}) != 1:
        raise ConversionError("its images have different sizes")
    size, periods = tuple(each or 0 for each in found[0].sizes), (0,) * len(found[0].sizes)
    if 0 in size:
        size, periods = _large_enough(plan, result.output_stride or ())
    pair = _pair_at(plan, result, size)
    for _ in range(TURNS if any(periods) else 0):
        if not pair.is_biased:
            break
        size = tuple(map(sum, zip(size, periods, strict=True)))
        pair = _pair_at(plan, result, size)
    _refuse_little(pair)
    _refuse_much(pair)
    return pair


def _pair_at(plan: Plan, result: Plan, size: tuple[int, ...]) -> Pair:
    coarse = resized(plan, size)
    finer = at_output_stride(coarse, result.output_stride or ())
    cells, own = extents(finer.after), extents(coarse.after)
    return Pair(
        coarse=coarse.after,
        finer=finer.after,
        size=size,
        extents=[cells[node] for node in finer.after.outputs],
        strides=[tuple(each.stride for each in own[node]) for node in coarse.after.outputs],
    )


def _large_enough(plan: Plan, strides: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Find the first size like the model's own with a cell out of padding's reach for each move.

    Returns:
        The size, and from it the cells to the next one that is like it.
    """
    own = at_own_size(plan)
    finer = at_output_stride(own, strides, free=True).after
    sizes, cells, coarse = resized_sizes(own.after), extents(finer), extents(own.after)
    needed, periods = [], []
    for axis, smallest in enumerate(sizes.smallest):
        least = smallest
        for node, old in zip(finer.outputs, own.after.outputs, strict=True):
            each, stride = cells[node][axis], coarse[old][axis].stride
            begin = -(-each.first * each.stride // stride) * stride
            least = max(least, begin + stride - each.clean)
        period = math.lcm(*(each[axis].stride for each in coarse.values() if len(each) > axis))
        periods.append(math.lcm(period, sizes.step[axis] or 1))
        start = (images(own.after)[0].sizes[axis] or 0) % period
        needed.append(start + -(-max(least - start, 0) // period) * period)
    return sizes.at_least(needed), tuple(periods)


def _refuse_little(pair: Pair) -> None:
    """Raise a ConversionError where padding reaches every cell of a map."""
    for output in range(len(pair.extents)):
        if not any(has_cells(pair.cells(output, move)) for move in pair.moves()):
            raise ConversionError(
                f"padding reaches every cell of it that moved images of {size_words(pair.size)} "
                "have, too"
            )


def has_cells(axes: Sequence[Cells]) -> bool:
    """Tell whether there are cells to compare."""
    return all(len(finer) > 0 for _, finer in axes)


def _refuse_much(pair: Pair) -> None:
    """Raise a ConversionError where a map is too large to be made for a comparison."""
    for node in pair.finer.nodes:
        values = SAMPLES * math.prod(size or 1 for size in (node.shape or ())[1:])
        if values > MOST_VALUES:
            raise ConversionError(
                f"'{node.name}' gives {values:,} values for {SAMPLES} images of "
                f"{size_words(pair.size)}, too many to be tried"
            )
