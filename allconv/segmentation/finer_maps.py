"""The maps of a network that have a finer stride than its last one, for skips."""

from __future__ import annotations

from fractions import Fraction

from allconv.errors import OptionError
from allconv.graph import Graph, Node
from allconv.layers import kinds
from allconv.layout import is_map
from allconv.segmentation.position import Positions
from allconv.segmentation.positions import positions

Strides = tuple[Fraction, ...]


def finer_maps(graph: Graph, skips: int) -> list[Node]:
    """Find the last map of each of the next finer strides, from coarse to fine.

    Every way through the network passes such a map: in a block of branches there is none.

    Args:
        graph: Its output is the map of scores.
        skips: How many strides are wanted.

    Raises:
        OptionError: There are not so many.
    """
    found = positions(graph)
    own = _strides(found[graph.outputs[0]])
    last: dict[Strides, Node] = {}
    for node in passed_by_all(graph):
        strides = _strides(found[node]) if node in found and is_map(node) else own
        if strides != own and all(a <= b for a, b in zip(strides, own, strict=True)):
            last[strides] = node
    finer = sorted(last, reverse=True)
    if skips > len(finer):
        listed = ", ".join("x".join(map(str, strides)) for strides in finer) or "none"
        raise OptionError(
            f"skips is {skips}; model '{graph.name}' has maps of {len(finer)} finer strides: "
            f"{listed}"
        )
    return [last[strides] for strides in finer[:skips]]


def passed_by_all(graph: Graph) -> list[Node]:
    """List the nodes behind a first convolution that lie on every way to the output.

    In topological order, no tensor from before such a node is taken behind it.
    """
    place = {node: number for number, node in enumerate(graph.nodes)}
    users, passed = graph.users(), []
    reach, is_convolved = 0, False
    for number, node in enumerate(graph.nodes):
        is_convolved = is_convolved or node.kind in kinds.CONVOLUTIONS
        if reach <= number and is_convolved:
            passed.append(node)
        reach = max([reach, *(place[user] for user in users[node])])
    return passed


def _strides(places: Positions) -> Strides:
    return tuple(1 / each.scale for each in places)
