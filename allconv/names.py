"""Names of the layers of a rewritten graph: the old ones kept, each given once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from allconv.graph import Graph, Node, Spec


def with_unique_layers(
    graph: Graph, before: Graph
) -> tuple[Graph, dict[Node, Node], dict[Spec, Spec]]:
    """Give every layer a name of its own, and calls that a rewrite added a layer of their own.

    A layer without weights that is called more often than before (the `Flatten` that two `Dense`
    took) is split. Names of the model come first; where two layers claim one, the first has it and
    the other is numbered.

    Args:
        graph: The rewritten graph.
        before: The graph as it was, whose names are to be kept.

    Returns:
        The graph; its nodes by the nodes they replace; for each new spec the one it was.
    """
    calls = Counter(node.spec for node in before.nodes)
    used: Counter[Spec] = Counter()
    was: dict[Spec, Spec] = {}
    layers: dict[Node, Spec] = {}
    for node in graph.nodes:
        used[node.spec] += 1
        split = not node.spec.weights and used[node.spec] > max(1, calls[node.spec])
        layers[node] = replace(node.spec) if split else node.spec
        was[layers[node]] = node.spec
    renamed = _renamed(list(was), {spec.name for spec in before.specs()})
    nodes: dict[Node, Node] = {}
    for node in graph.nodes:
        inputs = tuple(nodes[source] for source in node.inputs)
        nodes[node] = replace(node, spec=renamed[layers[node]], inputs=inputs)
    specs = {renamed[spec]: old for spec, old in was.items()}
    return graph.with_nodes(nodes), nodes, specs


def _renamed(specs: list[Spec], old_names: set[str]) -> dict[Spec, Spec]:
    """Give each spec a free name; those that have that of a layer of the model choose first."""
    taken: dict[str, int] = {}
    names: dict[Spec, str] = {}
    # A part of "pool" may be called "pool_relu", but so may a layer of the model.
    inherit = {spec: spec.name in old_names and spec.part_of in ("", spec.name) for spec in specs}
    for spec in sorted(specs, key=lambda spec: not inherit[spec]):
        names[spec] = free_name(spec.name, taken)
    return {
        spec: replace(spec, name=names[spec], config={**spec.config, "name": names[spec]})
        for spec in specs
    }


def free_name(name: str, taken: dict[str, int]) -> str:
    """Take a name, or the first of `name_1`, `name_2`, ... that is free.

    `taken` remembers for each name how far it was counted: many blocks with a "conv" each would
    otherwise count from one again and again.
    """
    free = name
    while free in taken:
        taken[name] += 1
        free = f"{name}_{taken[name]}"
    taken[free] = 0
    return free
