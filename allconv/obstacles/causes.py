"""Which of the layers that stand in the way do so of themselves, and which because of these.

To tell, the model is planned again with something harmless in the place of what is no convolution
by its nature: what then no longer stands in the way was only held up. So one cause is one obstacle,
and nobody mends one to be told of the next.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace

from allconv.errors import AllconvError
from allconv.graph import Graph, Node, Spec, call, topological
from allconv.layers import kinds
from allconv.layout import Layout, is_map, is_vector, layout, origin_of_vector
from allconv.obstacles.found import Obstacle, layers_in_the_way
from allconv.obstacles.problems import BETWEEN
from allconv.read.settings import checked_settings
from allconv.rewrite import UNKNOWN_INPUT, Plan, rewrite
from allconv.shape_walk import images
from allconv.shapes import Shape
from allconv.weights import fresh

NEEDS_SIZE = "needs a fixed"
"""What the reasons say of which a free size is the cause."""

BY_NATURE, LAST = 0, 3
"""How easily a layer is held up by others: not at all, and most easily of all."""


def by_cause(plan: Plan, found: Mapping[str, Obstacle]) -> tuple[Obstacle, ...]:
    """List the obstacles of a plan, each for all layers that stay because of it."""
    names = causes(plan, found)
    held = _holding(plan, found, names)
    groups: dict[tuple[str, str], list[str]] = {}
    for name in names:
        groups.setdefault(_cause_in_words(found[name], plan), []).append(name)
    return tuple(
        replace(
            found[first],
            alike=tuple(others),
            held=tuple(name for name, cause in held.items() if cause in (first, *others)),
        )
        for first, *others in groups.values()
    )


def causes(plan: Plan, found: Mapping[str, Obstacle]) -> list[str]:
    """List the names of the layers that would stand in the way alone, in order."""
    graph, left, own = plan.before, found, set[str]()
    for ease in range(LAST):
        mended = {name for name in left if _ease(found[name]) <= ease}
        own |= mended
        left = {name: each for name, each in left.items() if name not in own}
        if not left or not mended:
            continue
        try:
            graph = _without(graph, mended)
            again = replace(rewrite(graph, plan.rules, plan.any_size), kept=plan.kept)
        except AllconvError:  # what is behind does not fit what was put there
            return list(found)
        left = {name: each for name, each in left.items() if name in layers_in_the_way(again)}
    own |= {name for name in left if found[name].reason != UNKNOWN_INPUT}
    return [name for name in found if name in own] or list(found)


def _ease(obstacle: Obstacle) -> int:
    """Say how easily a layer is held up by others, from `BY_NATURE` to `LAST`."""
    if obstacle.reason in (UNKNOWN_INPUT, BETWEEN):
        return LAST
    if obstacle.kind in kinds.RELABELS:
        return LAST - 1
    return LAST - 2 if obstacle.kind == "Dense" else BY_NATURE


def _without(graph: Graph, names: Container[str]) -> Graph:
    """Put something harmless in the place of some layers."""
    nodes: dict[Node, Node] = {}
    inputs, outputs = list(graph.inputs), list[Node]()
    for node in graph.nodes:
        sources = [nodes[source] for source in node.inputs]
        nodes[node] = replace(node, inputs=tuple(sources))
        if node.name not in names:
            continue
        if sources and all(source.shape == node.shape for source in sources):
            linear = Spec("Activation", node.name, {"activation": "linear"})
            nodes[node] = call(linear, sources[:1])
            outputs += sources[1:]
        else:
            nodes[node] = _given(node)
            inputs += [each for each in topological([nodes[node]]) if each.kind == "InputLayer"]
            outputs += sources
    ends = [nodes[node] for node in graph.outputs]
    return graph.with_outputs([nodes.get(node, node) for node in inputs], [*ends, *outputs])


def _given(node: Node) -> Node:
    """Make what gives a tensor like a node's, in the middle of a network where the node is there.

    An input of the model would do too much good: it may be reshaped as no map between layers may.
    """
    if is_map(node):
        return _behind_convolution(node, node.shape or (), layout(node))
    if is_vector(node) and origin_of_vector(node) is not None:
        return _vector_of_cell(node)
    return _entrance(node.name, node.shape, node.data_format)


def _vector_of_cell(node: Node) -> Node:
    """Make a vector as layers between a network's maps give it."""
    above = next((each for each in reversed([*topological([node])]) if is_map(each)), None)
    rank = 2 if above is None else layout(above).rank
    batch, values = node.shape or (None, None)
    cell = Layout("channels_last", (1,) * rank, int(values or 0))
    tensor = _behind_convolution(node, (batch, *cell.shape(cell.sizes, cell.channels)), cell)
    flatten = checked_settings("Flatten", {"data_format": cell.data_format}, node.name)
    return call(Spec("Flatten", node.name, flatten), [tensor])


def _behind_convolution(node: Node, shape: Shape, lies: Layout) -> Node:
    """Make a map that a convolution of 1x1 gives of an input of the model."""
    kind, window = f"Conv{lies.rank}D", (1,) * lies.rank
    settings = {"filters": lies.channels, "kernel_size": window, "data_format": lies.data_format}
    config = checked_settings(kind, {**settings, "use_bias": False}, node.name)
    kernel = fresh((*window, lies.channels, lies.channels))
    tensor = _entrance(f"{node.name}_given", shape, lies.data_format)
    return call(Spec(kind, node.name, config, {"kernel": kernel}), [tensor])


def _entrance(name: str, shape: Shape | None, data_format: str) -> Node:
    spec = Spec("InputLayer", name, {"batch_shape": shape})
    return Node(spec, shape=shape, data_format=data_format)


def _cause_in_words(obstacle: Obstacle, plan: Plan) -> tuple[str, str]:
    """Return what obstacles of one cause share: class and reason, or the size that is free."""
    is_free = any(None in image.sizes for image in images(plan.before))
    if is_free and NEEDS_SIZE in obstacle.reason:
        return "", NEEDS_SIZE
    return obstacle.kind, obstacle.reason


def _holding(plan: Plan, found: Mapping[str, Obstacle], names: Container[str]) -> dict[str, str]:
    """Find the nearest cause of each layer that is held up; of a Flatten that behind it."""
    graph = plan.before
    behind = _nearest(graph, names, {node: node.inputs for node in graph.nodes})
    before = _nearest(graph, names, graph.users())
    holding = {}
    for name, obstacle in found.items():
        if name not in names:
            near = (behind, before) if obstacle.kind in kinds.RELABELS else (before, behind)
            holding[name] = next((way[name] for way in near if name in way), "")
    return holding


def _nearest(
    graph: Graph, names: Container[str], ways: Mapping[Node, Iterable[Node]]
) -> dict[str, str]:
    """Find the nearest of `names` for each layer that ways lead to from one of them."""
    queue = [node for node in graph.nodes if node.name in names]
    nearest = {node.name: node.name for node in queue}
    for node in queue:
        for following in ways[node]:
            if following.name not in nearest:
                nearest[following.name] = nearest[node.name]
                queue.append(following)
    return nearest
