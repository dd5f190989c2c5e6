"""What a network may end in: lists of the values of its last maps.

Behind the last map, values may be put in another order and side by side and go through activations:
lists of boxes, of cells or of characters. A *list* has no weights and leads to outputs only.
"""

from __future__ import annotations

from allconv.graph import Graph, Node, Slot
from allconv.layers.kinds import (
    BINARY_OPS,
    IDENTITY_AT_INFERENCE,
    OF_GROUPS,
    RELABELS,
    is_elementwise,
)
from allconv.layout import is_along, is_map, layout
from allconv.layout.relabels import lies_along, map_before
from allconv.rule import Match


def lists(graph: Graph) -> set[Node]:
    """Find the nodes behind the last maps, that only say how an output's values lie."""
    users, found = graph.users(), set[Node]()
    for node in reversed(graph.nodes):
        if arranges(node) and all(user in found for user in users[node]):
            found.add(node)
    behind = set[Node]()
    for node in graph.nodes:
        if node in found and (node.kind in RELABELS or any(i in behind for i in node.inputs)):
            behind.add(node)
    return behind


def output_formats(graph: Graph) -> list[str]:
    """Say how each output lies: a data format; "" for a list along whose end no channels lie."""
    found = lists(graph)
    return [
        "" if node in found and not lies_along(_relabel_above(node), -1) else node.data_format
        for node in graph.outputs
    ]


def _relabel_above(node: Node) -> Node:
    while node.kind not in RELABELS and len(node.inputs) == 1:
        node = node.inputs[0]
    return node


def leads_to_outputs(match: Match, node: Node) -> bool:
    """Tell whether every way down from a node only arranges the values of outputs."""
    users = match.users(node)
    return all(user is node or (arranges(user) and leads_to_outputs(match, user)) for user in users)


def arranges(node: Node) -> bool:
    """Tell whether a layer has a place in a list."""
    if node.kind in RELABELS | IDENTITY_AT_INFERENCE | {"Concatenate"}:
        return True
    return acts_elementwise(node) or is_along_last(node)


def acts_elementwise(node: Node) -> bool:
    """Tell whether a call makes each value from the value in its place, and all alike."""
    if node.kind not in BINARY_OPS:
        return is_elementwise(node.kind, node.config)
    operands = (*node.args, *node.kwargs.values())
    return len(node.inputs) == 1 and all(isinstance(x, (int, float, Slot)) for x in operands)


def is_along_last(node: Node) -> bool:
    """Tell whether a layer is a softmax, or its like, along the last axis."""
    if node.kind == "Softmax":
        axis, shape = node.config.get("axis", -1), node.shape
        return shape is not None and is_along(axis, -1, len(shape))
    return node.kind == "Activation" and str(node.config.get("activation")) in OF_GROUPS


def groups_within_cells(node: Node) -> bool:
    """Tell whether what lies along a list's last axis are channels of one cell of a map."""
    source = map_before(node)
    in_one_cell = is_map(source) and layout(source).is_cell
    return in_one_cell or lies_along(node, -1) or _holds(node, int((node.shape or (0,))[-1] or 0))


def _holds(node: Node, count: int) -> bool:
    """Tell whether each run of so many values, row by row, lies in one cell of a map."""
    if node.kind == "Reshape" or (node.kind == "Flatten" and not _turns(node)):
        return _holds(node.inputs[0], count)
    if node.kind == "Concatenate" and node.config.get("axis") in (1, 1 - len(node.shape or ())):
        return all(_holds(source, count) for source in node.inputs)
    if node.kind not in RELABELS and len(node.inputs) == 1 and arranges(node):
        return _holds(node.inputs[0], count)
    if node.kind in RELABELS or not is_map(node) or not count:
        return False
    lies = layout(node)
    return lies.channels % count == 0 and (lies.is_cell or not lies.channels_first)


def _turns(flatten: Node) -> bool:
    """Tell whether a Flatten takes the values in another order than row by row."""
    source, wish = flatten.inputs[0], flatten.config.get("data_format")
    return wish == "channels_first" and not (is_map(source) and layout(source).is_cell)
