"""The network that scores every pixel: scores, skips, margin, upsampling, crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from allconv.dtypes import policy_of, variable_dtype
from allconv.errors import ConversionError
from allconv.graph import Graph, Node
from allconv.kernels import constant
from allconv.layout import layout
from allconv.segmentation.finer_maps import finer_maps
from allconv.segmentation.layer_steps import depend_on_size
from allconv.segmentation.margin import plain_layer, with_margin
from allconv.segmentation.positions import positions
from allconv.segmentation.upsampled import Axis, at_pixels, axes_to_pixels
from allconv.sizes.windows import Margin

MOST_TRIES = 1000
"""Margins that are tried; each try grows by the pixels that had no score."""


@dataclass(frozen=True)
class Margins:
    """A network with the margin that its images need.

    Attributes:
        graph: It, with a map of scores for each output: the head's, then the skips'.
        around: Pixels of zeros before and behind, along each axis.
        axes: How each map of scores comes to the pixels.
    """

    graph: Graph
    around: tuple[Margin, ...]
    axes: list[list[Axis]]


def with_skips(scored: Graph, skips: int) -> Graph:
    """Add a layer of scores, which begins at zero, on each of the next finer maps."""
    score = scored.outputs[0]
    added = [_skip(node, score) for node in finer_maps(scored, skips)]
    return scored.with_outputs(scored.inputs, [score, *added])


def _skip(node: Node, score: Node) -> Node:
    """Score a finer map with zeros."""
    rank, policy = layout(node).rank, policy_of(score)
    filters, dtype = layout(score).channels, variable_dtype(policy)
    spec = plain_layer(
        f"Conv{rank}D",
        f"{score.name}_of_{node.name}",
        filters=filters,
        kernel_size=[1] * rank,
        kernel_initializer="zeros",
        dtype=policy,
    )
    shapes = {"kernel": (*(1,) * rank, layout(node).channels, filters), "bias": (filters,)}
    weights = {name: constant(shape, 0.0).in_dtype(dtype) for name, shape in shapes.items()}
    return replace(spec, weights=weights)(node)


def with_scores_for_all_pixels(graph: Graph, sizes: Sequence[int], own: Sequence[int]) -> Margins:
    """Find the least margin with which every pixel lies between cells of all maps of scores.

    Args:
        graph: Gives maps of scores.
        sizes: Of the images.
        own: Of the classifier's images; with the margin they are no smaller, and where the size
            decides about padding, larger by whole strides, so that no layer pads otherwise.
    """
    steps = _steps(graph)
    around = [(0, max(least - size, 0)) for size, least in zip(sizes, own, strict=True)]
    for _ in range(MOST_TRIES):
        around = [
            (a, b + (least - size - a - b) % step)
            for (a, b), size, least, step in zip(around, sizes, own, steps, strict=True)
        ]
        padded = with_margin(graph, sizes, around)
        places = positions(padded)
        axes = [axes_to_pixels(node, places[node], sizes) for node in padded.outputs]
        missing = [_most([each.missing for each in along]) for along in zip(*axes, strict=True)]
        if not any(map(any, missing)):
            return Margins(padded, tuple(around), axes)
        around = [(a + c, b + d) for (a, b), (c, d) in zip(around, missing, strict=True)]
    raise ConversionError(
        f"model '{graph.name}' has no score for some pixels of images of {tuple(sizes)}, however "
        "wide a margin they are given"
    )


def _steps(graph: Graph) -> list[int]:
    """Count the pixels by which sizes may differ, so that each layer pads as before."""
    places = positions(graph)[graph.outputs[0]]
    depends = depend_on_size(graph)
    return [(1 / each.scale).numerator if depends else 1 for each in places]


def _most(margins: Sequence[Margin]) -> Margin:
    return max(before for before, _ in margins), max(behind for _, behind in margins)


def summed(margins: Margins, trainable: bool) -> Graph:
    """Bring all maps of scores to the pixels, and add them up.

    Args:
        margins: The network, and how its maps come there.
        trainable: Whether the kernels that upsample are to be trained.
    """
    graph = margins.graph
    maps = [
        at_pixels(node, axes, trainable)
        for node, axes in zip(graph.outputs, margins.axes, strict=True)
    ]
    end = maps[0]
    if len(maps) > 1:
        end = plain_layer("Add", "sum_of_scores", dtype=policy_of(graph.outputs[0]))(*maps)
    result = graph.with_outputs(graph.inputs, [end])
    return replace(result, sequential=graph.sequential and result.is_chain())
