"""Layers that fit one size of the image only, and do not say so by their shapes.

A network is tried at a larger size (`resize` says at which). There these layers are wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from allconv.graph import Graph, Node
from allconv.layers.kinds import BINARY_OPS, MERGES
from allconv.layout import Sizes, layout
from allconv.layout.relabels import moves_ones_only
from allconv.shape_walk import Problem, size_words
from allconv.shapes import Shape

Shapes = Mapping[Node, Shape | None]


def silent_problems(maps: Graph, shapes: Shapes) -> Iterator[Problem]:
    """Yield the layers whose shapes work out at another size, and that are wrong there.

    Args:
        maps: The network at its own size.
        shapes: Of all of its nodes at the other size, None where they did not work out.
    """
    for node in maps.nodes:
        if node.inputs and shapes[node] is not None and len(node.shape or ()) > 2:
            for look in (_numbers, _spread, _joined, _squeezed):
                for message in look(node, shapes):
                    yield Problem(node.name, node.kind, message)


def _numbers(node: Node, shapes: Shapes) -> Iterator[str]:
    """Report a layer, or a constant of a call, whose settings have numbers for every cell."""
    own = _sizes(node, node.shape)
    if own != _sizes(node, shapes[node]) and _has_numbers_for_cells(node):
        yield f"it has numbers of its own for each of the {size_words(own)} cells"


def _has_numbers_for_cells(node: Node) -> bool:
    map_layout, config = layout(node), node.config
    axes = map_layout.rank + 2
    if node.kind == "Normalization":
        listed = [config["axis"]] if isinstance(config["axis"], int) else config["axis"] or ()
        return any(axis % axes in map_layout.spatial_axes for axis in listed)
    constants = [value for value in (*node.args, *node.kwargs.values()) if _is_array(value)]
    if node.kind == "Rescaling":
        constants += [config["scale"], config["offset"]]
    shapes = [(1,) * (axes - np.ndim(value)) + np.shape(value) for value in constants]
    return any(shape[axis] > 1 for shape in shapes for axis in map_layout.spatial_axes)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def _spread(node: Node, shapes: Shapes) -> Iterator[str]:
    """Report a merge that spreads one cell over a map here, and meets as many by chance there."""
    if node.kind not in MERGES | BINARY_OPS:
        return
    result = _sizes(node, node.shape)
    for source in node.inputs:
        own, other = _sizes(source, source.shape), _sizes(source, shapes[source])
        axes = zip(result, own, other, strict=False)
        if len(own) == len(result) and any(here == 1 != m and n != 1 for m, here, n in axes):
            yield f"it spreads the one cell of '{source.name}', which becomes {size_words(other)}"


def _joined(node: Node, shapes: Shapes) -> Iterator[str]:
    """Report maps laid side by side: where they meet moves with their size."""
    if node.kind == "Concatenate" and len(node.inputs) > 1:
        own, other = node.shape or (), shapes[node] or ()
        axis = node.config["axis"] % len(own)
        if axis in layout(node).spatial_axes and own[axis] != other[axis]:
            yield f"it joins maps along axis {axis}, along which they grow"


def _squeezed(node: Node, shapes: Shapes) -> Iterator[str]:
    """Report a Reshape that drops an axis of one cell here, and moves values if it has more."""
    if moves_ones_only(node):
        (source,) = node.inputs
        other = replace(source, shape=shapes[source])
        if not moves_ones_only(replace(node, shape=shapes[node], inputs=(other,))):
            sizes = size_words(_sizes(source, shapes[source]))
            yield f"it drops axes of one cell, and the map before it becomes {sizes}"


def _sizes(node: Node, shape: Shape | None) -> Sizes:
    """Return the sizes of a map if its shape were this one; none of anything else."""
    return layout(replace(node, shape=shape)).sizes if shape and len(shape) > 2 else ()
