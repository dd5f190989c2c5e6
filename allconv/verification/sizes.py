"""The shapes of the inputs that two models are compared on, where sizes are free.

They come from the shapes of the layers. Whether a model runs on an image tells nothing: TensorFlow
with oneDNN may give numbers for one that is too small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from allconv.errors import AllconvError, ConversionError
from allconv.graph import Graph
from allconv.read import read
from allconv.resize import on_inputs
from allconv.shape_walk import shapes_at
from allconv.shapes import Shape
from allconv.sizes.image_sizes import free_sizes, has_free_sizes, refuse_misfits, shapes_of_size
from allconv.verification.inputs import DRAWN, MOST_VALUES, USUAL_SIZE, known_sizes


def leaves_sizes_open(model: Any) -> bool:
    """Tell whether an input of a Keras model takes arrays of several shapes."""
    return any(None in tensor.shape[1:] for tensor in model.inputs)


def drawn_shapes(model: Any, other: Any) -> list[Shape]:
    """Return shapes of inputs to draw: 32 cells along an axis, or the first size that fits.

    Args:
        model: A Keras model.
        other: What it is compared with, which may insist on sizes that the model leaves open.

    Raises:
        ConversionError: No size fits, or it is not known which do.
    """
    graph = _of_sizes(_graph(model), known_sizes(model, other))
    if not has_free_sizes(graph):
        return [node.shape or () for node in graph.inputs]
    sizes = free_sizes(graph)
    given = shapes_of_size(graph, sizes.at_least([USUAL_SIZE] * len(sizes.smallest)))
    shapes, problems = shapes_at(graph, given)
    if problems:
        raise ConversionError(f"no size of images was found that fits {problems[0]}")
    _refuse_vast({node.name: shape for node, shape in shapes.items() if shape})
    return [given.get(node) or node.shape or () for node in graph.inputs]


def refuse_sizes(model: Any, shapes: Sequence[Shape], what: str) -> None:
    """Raise an OptionError where images do not fit a Keras model that leaves their sizes open."""
    if not leaves_sizes_open(model):
        return
    try:
        graph = read(model)
    except AllconvError:  # nothing is known of its layers
        return
    refuse_misfits(graph, shapes, what)


def _graph(model: Any) -> Graph:
    try:
        return read(model)
    except AllconvError as error:
        raise ConversionError(f"its layers are not known: {error}") from error


def _of_sizes(graph: Graph, shapes: Sequence[Shape]) -> Graph:
    """Return the model on inputs of these shapes."""
    if shapes == [node.shape for node in graph.inputs]:
        return graph
    try:
        return on_inputs(graph, dict(zip(graph.inputs, shapes, strict=True)))[0]
    except AllconvError as error:
        raise ConversionError(f"the sizes of one do not fit the other: {error}") from error


def _refuse_vast(shapes: dict[str, Shape]) -> None:
    for name, shape in shapes.items():
        values = DRAWN * math.prod(size or 1 for size in shape[1:])
        if values > MOST_VALUES:
            raise ConversionError(
                f"'{name}' gives {values:,} values for {DRAWN} inputs, too many to be tried"
            )
