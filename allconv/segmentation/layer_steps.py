"""What each layer does to positions, axis by axis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from functools import partial

from allconv.errors import ConversionError
from allconv.graph import Graph, Node
from allconv.layers import kinds
from allconv.layers.map_shapes import by_axis, margins
from allconv.segmentation.position import Position
from allconv.shapes import padding_cells, span
from allconv.sizes.spread_fields import cropped_before
from allconv.sizes.windows import window_axes

Step = Callable[[Position], Position]
"""What a layer does to the positions along one axis."""


def depend_on_size(graph: Graph) -> bool:
    """Tell whether the size of the images decides where the cells of some layer lie."""
    return any(
        len(_all_before((cells, stride, node.config.get("padding", "valid"), dilation))) > 1
        for node in graph.nodes
        if node.kind in kinds.WINDOWS
        for _, cells, stride, dilation in window_axes(node)
    )


def _windows(node: Node, rank: int) -> Iterator[Step]:
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


STEPS: Mapping[str, Callable[[Node, int], Iterator[Step]]] = {
    **dict.fromkeys(kinds.WINDOWS, _windows),
    **dict.fromkeys(kinds.TRANSPOSED_CONVOLUTIONS, _transposed),
    **dict.fromkeys(kinds.UP_SAMPLINGS, _repeated),
    **dict.fromkeys(kinds.ZERO_PADDINGS, _padded),
    **dict.fromkeys(kinds.CROPPINGS, _cropped),
}
"""For each kind of layer that moves cells, what it does along each axis."""
