"""The names of a model's outputs, kept where other layers than before give them.

Keras calls an output after the layer that gives it, and finds losses, metrics and targets by that
name. A rewrite moves Flatten to the end: `Conv2D 'age'`, `Flatten 'flatten'` where there was a
Dense `'age'`. A single output needs no name to be found, and there the convolution keeps it. Of
several outputs the last layer takes the name, and the one that had it another: `Conv2D 'age_conv'`,
`Flatten 'age'`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace

from allconv.dtypes import policy_of
from allconv.graph import ITEM, Graph, Node, Spec, topological
from allconv.layers.kinds import RELABELS
from allconv.names import free_name

NAMED_ELSEWHERE = frozenset({"InputLayer", ITEM})
"""Kinds that keep their names: inputs have names of their own to keep, items are no layers."""

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def with_output_names(graph: Graph, before: Graph) -> tuple[Graph, dict[Node, Node]]:
    """Call the last layers of a network of several outputs as its outputs are called.

    Where a layer cannot be called so, since it gives another output, too, or is an input, one that
    changes nothing is put behind it.

    Args:
        graph: The rewritten network.
        before: The network as it was, whose outputs have the dtypes that they are to have.

    Returns:
        The network, and its nodes by those of `graph`.
    """
    names = graph.names_of_outputs()
    if len(names) < 2:
        return graph, {node: node for node in graph.nodes}
    layers = _named_ends(graph, names)
    renamed = _renamed(graph, layers, set(names))
    nodes: dict[Node, Node] = {}
    for node in graph.nodes:
        sources = tuple(nodes[source] for source in node.inputs)
        nodes[node] = replace(node, spec=renamed[layers[node]], inputs=sources)
    used = {spec.name for spec in renamed.values()}
    outputs = [
        nodes[node] if name in used or names.count(name) > 1 else _behind(nodes[node], name, old)
        for name, node, old in zip(names, graph.outputs, before.outputs, strict=True)
    ]
    inputs = [nodes[node] for node in graph.inputs]
    order = tuple(topological([*nodes.values(), *outputs]))
    return replace(graph, nodes=order, inputs=tuple(inputs), outputs=tuple(outputs)), nodes


def _named_ends(graph: Graph, names: Sequence[str]) -> dict[Node, Spec]:
    """Give each node its layer, under another name where that gives an output."""
    layers = {node: node.spec for node in graph.nodes}
    ends: dict[str, list[Node]] = defaultdict(list)
    for name, node in zip(names, graph.outputs, strict=True):
        ends[name].append(node)
    taken = {node.spec for name, nodes in ends.items() for node in nodes if node.name == name}
    given = {node for name, nodes in ends.items() for node in nodes if node.name == name}
    for name, nodes in ends.items():
        alike = _taking_one_name(nodes, graph, taken)
        if given.isdisjoint(nodes) and alike:
            layers |= dict.fromkeys(alike, _called(nodes[0].spec, name))
            taken |= {node.spec for node in nodes}
            given |= set(nodes)
    return layers


def _taking_one_name(nodes: Sequence[Node], graph: Graph, taken: Set[Spec]) -> list[Node]:
    """List the nodes whose layer gets a new name so that these can have it; none where none can.

    A layer that only says how values lie is made as often as it is needed; all calls of any other
    go along.
    """
    first = nodes[0].spec
    if first.kind in RELABELS and all(node.spec.same_layer(first) for node in nodes):
        return list(nodes)
    fixed = first.kind in NAMED_ELSEWHERE or first in taken
    if fixed or any(node.spec is not first for node in nodes):
        return []
    return [node for node in graph.nodes if node.spec is first]


def _renamed(graph: Graph, layers: Mapping[Node, Spec], wanted: set[str]) -> dict[Spec, Spec]:
    """Rename the layers that have an output's name and do not give it."""
    ends = {layers[node] for node in graph.outputs}
    specs = list(dict.fromkeys(layers.values()))
    displaced = [
        spec
        for spec in specs
        if spec.name in wanted and spec not in ends and spec.kind not in NAMED_ELSEWHERE
    ]
    taken = dict.fromkeys((spec.name for spec in specs), 0) | dict.fromkeys(wanted, 0)
    new = {spec: spec for spec in specs}
    for spec in displaced:
        new[spec] = _called(spec, free_name(f"{spec.name}_{part(spec.kind)}", taken))
    return new


def part(kind: str) -> str:
    """Name a layer as a part of what had its name: `"conv"`, `"batch_normalization"`."""
    name = re.split(r"[>.]", kind)[-1]
    return "conv" if "Conv" in name else _CAMEL.sub("_", name).lower()


def _behind(node: Node, name: str, old: Node) -> Node:
    """Give a tensor that has a name already another one."""
    if node.kind in RELABELS:
        return replace(node, spec=_called(node.spec, name))
    dtype = policy_of(old)
    return Spec("Identity", name, {"name": name, "trainable": True, "dtype": dtype})(node)


def _called(spec: Spec, name: str) -> Spec:
    return replace(spec, name=name, config={**spec.config, "name": name})


def with_old_names(graph: Graph, before: Graph) -> Graph:
    """Name the layers of a converted network as they are where outputs take no names.

    So its layers can be paired with the original's by name, wherever the converted network comes
    from.

    Args:
        graph: The converted network; it may have been saved in between.
        before: The original.
    """
    if len(graph.outputs) < 2:
        return graph
    old_names = {spec.name for spec in before.specs()}
    new: dict[Spec, Spec] = {}
    names = before.names_of_outputs()
    for name, old, node in zip(names, before.outputs, graph.outputs, strict=True):
        if node.name == name and node.spec not in new:
            new |= dict(_undone(name, old, node, old_names, graph))
    return graph.with_specs(new)


def _undone(
    name: str, old: Node, node: Node, old_names: set[str], graph: Graph
) -> Iterator[tuple[Spec, Spec]]:
    """Yield the layers that `with_output_names` renamed at an output, with their former names."""
    if node.kind in RELABELS:
        if old.kind in RELABELS and old.name == name:
            return
        other = _displaced(name, node, old_names)
        if other is not None:
            yield other.spec, _called(other.spec, name)
        taken = dict.fromkeys((*old_names, *(spec.name for spec in graph.specs())), 0)
        yield node.spec, _called(node.spec, free_name(f"{name}_{part(node.kind)}", taken))
        return
    while old.kind in RELABELS:
        old = old.inputs[0]
    if old.name != name and old.name not in {spec.name for spec in graph.specs()}:
        yield node.spec, _called(node.spec, old.name)


def _displaced(name: str, node: Node, old_names: set[str]) -> Node | None:
    """Find the layer above an output that had its name; None where there is none."""
    while len(node.inputs) == 1:
        (node,) = node.inputs
        if node.name.startswith(f"{name}_") and node.name not in old_names:
            return node
    return None
