"""Image sizes to try a network at whose own size is free."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from allconv.errors import ConversionError, ExportError
from allconv.export.comparison.keras_differences import differs_at
from allconv.graph import Graph
from allconv.shape_walk import shapes_at
from allconv.sizes.image_sizes import ImageSizes, Sizes, free_sizes, has_free_sizes, shapes_of_size

COUNT = 3
MOST = 32
"""Sizes that are looked at to find so many at which Keras is right."""


def trial_sizes(graph: Graph) -> list[Sizes | None]:
    """Choose up to three sizes that a network takes: the smallest, and odd ones where these fit.

    None of them is one at which Keras itself is known to be wrong. Where the network has a size of
    its own there is one: None.

    Raises:
        ExportError: No size was found.
    """
    if not has_free_sizes(graph):
        return [None]
    try:
        sizes = free_sizes(graph)
    except ConversionError as error:
        raise ExportError(f"model '{graph.name}' cannot be tried at any size: {error}") from error
    found = [size for size in _candidates(sizes) if _fits(graph, size)]
    if not found:
        raise ExportError(f"model '{graph.name}': no image size was found that it accepts")
    return [*found[:COUNT]]


def taking(graph: Graph, size: Sizes | None) -> Any:
    """Make something whose inputs have all sizes, for `draw_inputs`."""
    shapes = shapes_of_size(graph, size) if size else {}
    inputs = [SimpleNamespace(shape=shapes.get(node, node.shape)) for node in graph.inputs]
    return SimpleNamespace(inputs=inputs)


def _candidates(sizes: ImageSizes) -> Iterator[Sizes]:
    first = (0, 7, 12) if max(sizes.step) == 1 else (0, 1, 2)
    for far in dict.fromkeys((*first, *range(MOST))):
        yield _moved(sizes, far)
    yield sizes.at_least([max(sizes.smallest) + MOST * max(sizes.step)] * len(sizes.smallest))


def _moved(sizes: ImageSizes, far: int) -> Sizes:
    """Choose a larger size, another along each axis so that axes are told apart."""
    return tuple(
        size + step * (far + axis if far else 0)
        for axis, (size, step) in enumerate(zip(sizes.smallest, sizes.step, strict=True))
    )


def _fits(graph: Graph, size: Sizes) -> bool:
    shapes, problems = shapes_at(graph, shapes_of_size(graph, size))
    return not problems and not differs_at(shapes)
