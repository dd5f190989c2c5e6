"""Image sizes to try a network at whose own size is free."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from allconv.errors import AllconvError
from allconv.export.keras_differences import differs_at
from allconv.geometry import graph_geometry
from allconv.graph import Graph
from allconv.obstacles import is_all_convolutional
from allconv.shape_walk import at_size, images, shapes_at

Sizes = tuple[int, ...]

COUNT = 3
LADDER = (8, 15, 16, 23, 32, 33, 47, 64, 65, 96, 128, 192, 224, 225, 299, 384)
"""Sizes tried where nothing is known of which fit; multiples of 32 suit five halvings."""


def trial_sizes(graph: Graph) -> list[Sizes]:
    """Up to three sizes that a network takes: the smallest, and odd ones where these fit.

    None of them is one at which Keras itself is known to be wrong. There are none where the network
    has a size of its own, or where none was found.
    """
    free = [image.sizes for image in images(graph) if None in image.sizes]
    if not free:
        return []
    found: list[Sizes] = []
    for size in _candidates(graph, len(free[0])):
        if size not in found and _fits(graph, size):
            found.append(size)
        if len(found) == COUNT:
            break
    return found


def has_free_sizes(graph: Graph) -> bool:
    """Whether a network takes images of several sizes."""
    return any(None in image.sizes for image in images(graph))


def _candidates(graph: Graph, rank: int) -> Iterator[Sizes]:
    known = _smallest_and_step(graph)
    if known and len(known[0]) == rank:
        smallest, steps = known
        for far in (0, 7, 12) if max(steps) == 1 else (0, 1, 2):
            yield _moved(smallest, steps, far)
    for size in LADDER:
        yield tuple(size + axis for axis in range(rank))
        yield (size,) * rank


def _moved(smallest: Sequence[int], steps: Sequence[int], far: int) -> Sizes:
    """A larger size, another along each axis so that axes are told apart."""
    return tuple(
        size + step * (far + axis if far else 0)
        for axis, (size, step) in enumerate(zip(smallest, steps, strict=True))
    )


def _smallest_and_step(graph: Graph) -> tuple[Sizes, Sizes] | None:
    if not is_all_convolutional(graph):
        return None
    found = graph_geometry(graph)
    return None if found is None else (found.minimum_input_size, found.input_size_step)


def _fits(graph: Graph, size: Sizes) -> bool:
    try:
        shapes, problems = shapes_at(graph, at_size(graph, size))
    except AllconvError:
        return False
    return not problems and not differs_at(shapes)
