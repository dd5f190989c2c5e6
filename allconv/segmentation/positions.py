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

from collections.abc import Sequence
from fractions import Fraction

from allconv.errors import ConversionError
from allconv.graph import Graph, Node
from allconv.layers import kinds
from allconv.layout import layout
from allconv.segmentation.layer_steps import STEPS
from allconv.segmentation.position import Position, Positions
from allconv.sizes.receptive_field import CELLWISE, joined_axis


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
    joins_in_space = node.kind == "Concatenate" and joined_axis(node) is not None
    if node.kind in CELLWISE and not joins_in_space:
        return _met(node, sources)
    if node.kind not in STEPS:
        raise ConversionError(
            f"layer '{node.name}' ({node.kind}) leaves nothing in the place where the image has "
            "it; expected convolutions, pools, and layers that work cell by cell"
        )
    steps = STEPS[node.kind](node, len(sources[0]))
    return tuple(step(each) for step, each in zip(steps, sources[0], strict=True))


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
