"""Pixels of zeros around the images, so that each pixel of them gets a score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from allconv.errors import ConversionError, ShapeError
from allconv.graph import Graph, Node, Spec, call
from allconv.read.settings import checked_settings
from allconv.shape_walk import size_words
from allconv.sizes.receptive_field import CELLWISE
from allconv.sizes.windows import Margin


def with_margin(graph: Graph, sizes: Sequence[int], around: Sequence[Margin]) -> Graph:
    """Call a network on images of a size, with zeros around them.

    The zeros come where the padding of its own layers puts them: behind layers that scale pixels.

    Args:
        graph: A network with one input.
        sizes: Of the images, along each axis.
        around: How many pixels are put before and behind them.
    """
    (image,) = graph.inputs
    first = _entrance(graph)
    shape = ((image.shape or (None,))[0], *sizes, (image.shape or (None,))[-1])
    nodes: dict[Node, Node] = {}
    for node in graph.nodes:
        spec = node.spec.with_config(batch_shape=shape) if node is image else node.spec
        called = _called(spec, node, [nodes[source] for source in node.inputs], sizes)
        nodes[node] = replace(called, lower_bound=node.lower_bound, data_format=node.data_format)
        if node is first and any(map(any, around)):
            nodes[node] = _padding(around, dtype=node.config.get("dtype"))(nodes[node])
    padded = graph.with_outputs([], [nodes[node] for node in graph.outputs])
    return replace(padded, inputs=padded.nodes[:1])


def _called(spec: Spec, node: Node, sources: Sequence[Node], sizes: Sequence[int]) -> Node:
    try:
        return call(spec, sources, node.args, node.kwargs)
    except ShapeError as error:
        raise ConversionError(
            f"layer '{node.name}' ({node.kind}) does not fit images of {size_words(sizes)} with "
            f"the margin that they need: {error}; choose another input_size"
        ) from None


def _entrance(graph: Graph) -> Node:
    """Find the last of the layers that prepare the pixels, one by one."""
    node, users = graph.inputs[0], graph.users()
    while len(users[node]) == 1 and users[node][0].kind in CELLWISE:
        node = users[node][0]
    return node


def _padding(around: Sequence[Margin], dtype: Any) -> Spec:
    kind = f"ZeroPadding{len(around)}D"
    return plain_layer(kind, "pad_image", padding=of_rank(around), dtype=dtype or "float32")


def of_rank(margins: Sequence[Margin]) -> list[Any]:
    """Write margins as Keras' layers do: the 1D ones have the pair itself."""
    pairs = [list(margin) for margin in margins]
    return pairs[0] if len(pairs) == 1 else pairs


def plain_layer(kind: str, name: str, **config: Any) -> Spec:
    """Make a layer with Keras' own settings where none are given."""
    settings = {"name": name, "trainable": True, **config}
    return Spec(kind, name, checked_settings(kind, settings, f"layer '{name}' ({kind})"))
