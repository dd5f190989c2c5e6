"""Branches that meet: what they have to agree on, and by how much some are longer than others.

Cell 0 of all of them is the same cell. At the network's own stride they have as many cells, but
what its strides dropped behind the last window is there on a finer map, more of it on one branch
than on another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from allconv.dense_maps.strides import Spacing
from allconv.graph import Node
from allconv.layout import layout
from allconv.sizes.margins import Extents

Spacings = tuple[Spacing, ...]
"""One for each axis."""


def meeting_problem(node: Node, spacings: Mapping[Node, Spacings]) -> str:
    """Say why the tensors that a node takes do not meet cell by cell, "" where they do."""
    sources = [source for source in node.inputs if source in spacings]
    for source in node.inputs:
        sizes = layout(source).sizes if len(source.shape or ()) > 2 else ()
        if source not in sources and set(sizes) - {1}:
            return f"its input '{source.name}' is made of no image, and has cells of its own"
    found = list(dict.fromkeys(spacings[source] for source in sources))
    if len(found) > 1:
        words = " and ".join("x".join(str(each.own) for each in one) for one in found)
        return f"its inputs do not meet cell by cell, they have strides {words}"
    return ""


def excess(
    tensors: Sequence[Node], spacings: Spacings, extents: Mapping[Node, Extents], free: bool
) -> list[list[int]] | None:
    """Count by how many cells each tensor is longer than the shortest, along each axis.

    Args:
        tensors: Those that meet.
        spacings: How their cells lie.
        extents: The numbers of their cells.
        free: Whether the size of the images is to be free.

    Returns:
        The cells to crop at the end; None where that depends on the size of the image.
    """
    along = []
    for axis, spacing in enumerate(spacings):
        sizes = [layout(tensor).sizes[axis] for tensor in tensors]
        if spacing.apart == 1:  # as the network's own, up to here
            along.append([0] * len(tensors))
        elif None not in sizes and not free:
            known = [size or 0 for size in sizes]
            along.append([size - min(known) for size in known])
        else:
            ends = [extents[tensor][axis].size for tensor in tensors]
            if any((end - min(ends)) % spacing.stride for end in ends):
                return None
            along.append([(end - min(ends)) // spacing.stride for end in ends])
    return [list(each) for each in zip(*along, strict=True)]
