"""Where the cells of a tensor lie in the image, as fractions, so that maps meet in place.

Along one axis a layer takes position `x` of its input to position `y` of its result. A window of
`k` cells (dilation included) with stride `s` lies with its middle over what it sees, and a
transposed convolution spreads each cell out around one place:

    y = (x + p - (k - 1) / 2) / s    a convolution or pool, padded by p cells before
    y = s x + (k - 1) / 2 - p        a transposed convolution that leaves out p cells before

All of these are affine, and so is the whole way from the image to a tensor. A frozen kernel that
picks one cell of its window, as that of an exact pool does, stands for the window all the same.
Branches may meet a part of a cell apart (a window of three and one of one, with stride 2 and
padding `same` on an even size); what they make together lies in their middle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

from allconv.errors import ConversionError
from allconv.graph import Graph, Node
from allconv.layers import kinds
from allconv.layers.map_shapes import by_axis, margins
from allconv.layout import layout
from allconv.shapes import padding_cells, span
from allconv.sizes.margins import WINDOWS, window_axes
from allconv.sizes.receptive_field import CELLWISE
from allconv.sizes.spread_fields import cropped_before


@dataclass(frozen=True)
class Position:
    """Where what lies at position `x` of the image lies along one axis of a tensor.

    Attributes:
        scale: Cells of the tensor to one pixel of the image.
        shift: The position of pixel 0 in the tensor: what lies at `x` lies at `scale * x + shift`.
    """

    scale: Fraction = Fraction(1)
    shift: Fraction = Fraction(0)

    def moved(self, cells: Fraction | int) -> Position:
        """Find the positions in the same tensor with so many cells more before it."""
        return Position(self.scale, self.shift + cells)

    def through(self, window: int, stride: int, before: int) -> Position:
        """Find the positions behind a window over the tensor, padded by `before` cells."""
        middle = self.moved(before - Fraction(window - 1, 2))
        return Position(middle.scale / stride, middle.shift / stride)

    def spread(self, factor: int, centre: Fraction) -> Position:
        """Find the positions where each cell makes `factor`, the first one around `centre`."""
        return Position(self.scale * factor, self.shift * factor + centre)


Positions = tuple[Position, ...]
"""One for each axis."""

Step = Callable[[Position], Position]
"""What a layer does to the positions along one axis."""


def crop_between(tensor: Position, other: Position) -> int | None:
    """Count the cells to leave out before a tensor, so that its cells lie as those of another.

    A negative number says how many to leave out before the other one.

    Returns:
        None where the cells of the two never lie in the same places: their scales differ, or their
        shifts by a part of a cell.
    """
    cells = tensor.shift - other.shift
    is_whole = tensor.scale == other.scale and cells.denominator == 1
    return int(cells) if is_whole else None


def positions(graph: Graph) -> dict[Node, Positions]:
    """Work out where the cells of every tensor lie in the image, along each axis.

    Returns:
        A position for each spatial axis, by node; nodes that are made of no image, or by a global
        pool of all of it, are left out.

    Raises:
        ConversionError: A layer does not keep what it sees in place, branches meet a cell apart or
            more, or the size of the image is free and decides where the cells of a layer lie.
    """
    found: dict[Node, Positions] = {}
    for node in graph.nodes:
        if node.kind == "InputLayer":
            if len(node.shape or ()) > 2:
                found[node] = (Position(),) * layout(node).rank
            continue
        sources = [found[source] for source in node.inputs if source in found]
        if sources and node.kind not in kinds.GLOBAL_POOLS:
            found[node] = _behind(node, sources)
    return found


def _behind(node: Node, sources: Sequence[Positions]) -> Positions:
    """Find the positions behind one layer."""
    if node.kind in CELLWISE and not _joins_in_space(node):
        return _met(node, sources)
    steps: Iterator[Step] | None = None
    if node.kind in WINDOWS:
        steps = _windows(node)
    elif node.kind in _STEPS:
        steps = _STEPS[node.kind](node, len(sources[0]))
    if steps is None:
        raise ConversionError(
            f"layer '{node.name}' ({node.kind}) leaves nothing in the place where the image has "
            "it; expected convolutions, pools, and layers that work cell by cell"
        )
    return tuple(step(each) for step, each in zip(steps, sources[0], strict=True))


def _joins_in_space(node: Node) -> bool:
    """Tell whether a Concatenate joins maps side by side."""
    if node.kind != "Concatenate":
        return False
    lies = layout(node)
    return node.config["axis"] % (lies.rank + 2) in lies.spatial_axes


def _met(node: Node, sources: Sequence[Positions]) -> Positions:
    """Find the position where branches meet; a map of one cell counts for all places."""
    sizes = [layout(source).sizes for source in node.inputs if len(source.shape or ()) > 2]
    if len(sizes) == len(sources):
        whole = [all(size == 1 for size in each) for each in sizes]
        sources = [each for each, one in zip(sources, whole, strict=True) if not one] or sources
    for other in sources:
        if any(_are_apart(a, b) for a, b in zip(sources[0], other, strict=False)):
            raise ConversionError(
                f"layer '{node.name}' ({node.kind}) joins branches whose cells lie in different "
                f"places of the image: {_words(sources[0])} and {_words(other)} (where pixel x "
                "lies in each); expected branches with the same strides, less than a cell apart"
            )
    return tuple(map(_mean, zip(*sources, strict=True)))


def _are_apart(one: Position, other: Position) -> bool:
    return one.scale != other.scale or abs(one.shift - other.shift) >= 1


def _mean(branches: Sequence[Position]) -> Position:
    """Find the middle of branches, as the sum of ramps that they give has it."""
    shift = sum((each.shift for each in branches), Fraction(0)) / len(branches)
    return Position(branches[0].scale, shift)


def _words(places: Positions) -> str:
    return ", ".join(dict.fromkeys(f"{each.scale} x + {each.shift}" for each in places))


def _windows(node: Node) -> Iterator[Step]:
    padding = node.config.get("padding", "valid")
    for size, cells, stride, dilation in window_axes(node):
        before = _cells_before(node, size, (cells, stride, padding, dilation))
        reach = span(cells, dilation)
        yield partial(Position.through, window=reach, stride=stride, before=before)


def _cells_before(node: Node, size: int | None, window: tuple[int, int, str, int]) -> int:
    """Count the cells of padding before a window; refuse a free size that decides about them."""
    stride = window[1]
    before = sorted({padding_cells(size, *window)[0]} if size else _all_before(window))
    if len(before) > 1:
        raise ConversionError(
            f"layer '{node.name}' ({node.kind}) pads its map by {' or '.join(map(str, before))} "
            f"cells before, depending on the size (padding 'same' with stride {stride}), and the "
            "size is free; give the size of the images"
        )
    return before[0]


def _all_before(window: tuple[int, int, str, int]) -> set[int]:
    """Count the cells that a padding may add before a window, on maps of any size."""
    cells, stride, _, dilation = window
    reach = span(cells, dilation)
    return {padding_cells(size, *window)[0] for size in range(reach, reach + stride)}


def depend_on_size(graph: Graph) -> bool:
    """Tell whether the size of the images decides where the cells of some layer lie."""
    return any(
        len(_all_before((cells, stride, node.config.get("padding", "valid"), dilation))) > 1
        for node in graph.nodes
        if node.kind in WINDOWS
        for _, cells, stride, dilation in window_axes(node)
    )


def _transposed(node: Node, rank: int) -> Iterator[Step]:
    config = node.config
    settings = (config["kernel_size"], config.get("strides", 1), config.get("dilation_rate", 1))
    axes = by_axis((None,) * rank, *settings, config.get("output_padding"))
    for _, cells, stride, dilation, extra in axes:
        reach = span(cells, dilation)
        dropped = cropped_before(reach, stride, config.get("padding", "valid"), extra)
        centre = Fraction(reach - 1, 2) - dropped
        yield partial(Position.spread, factor=stride, centre=centre)


def _repeated(node: Node, rank: int) -> Iterator[Step]:
    for _, factor in by_axis((None,) * rank, node.config["size"]):
        yield partial(Position.spread, factor=factor, centre=Fraction(factor - 1, 2))


def _padded(node: Node, rank: int) -> Iterator[Step]:
    for before, _ in margins(node.config["padding"], rank):
        yield partial(Position.moved, cells=before)


def _cropped(node: Node, rank: int) -> Iterator[Step]:
    for before, _ in margins(node.config["cropping"], rank):
        yield partial(Position.moved, cells=-before)


def _ranks(name: str) -> list[str]:
    return [name.format(rank) for rank in (1, 2, 3)]


_STEPS: Mapping[str, Callable[[Node, int], Iterator[Step]]] = {
    **dict.fromkeys(_ranks("Conv{}DTranspose"), _transposed),
    **dict.fromkeys(_ranks("UpSampling{}D"), _repeated),
    **dict.fromkeys(_ranks("ZeroPadding{}D"), _padded),
    **dict.fromkeys(_ranks("Cropping{}D"), _cropped),
}
