"""Merges of flattened maps: merge the maps, then Flatten; or split the Dense behind them."""

from __future__ import annotations

from collections.abc import Sequence

from allconv.graph import Node
from allconv.kernels import kernel_of_flattened, rows
from allconv.layers.kinds import (
    CHANNEL_ACTIVATIONS,
    IDENTITY_AT_INFERENCE,
    MERGES,
    unknown_activation,
)
from allconv.layout import Layout, are_known, is_map, is_vector, not_given
from allconv.rule import Match, Outcome, Skip, rule
from allconv.rules.dense import convolution, entered, with_batchnorms
from allconv.rules.flatten import gathered, leads_to_dense, passed_up

NO_FLATTEN = "none of its inputs is flattened"


@rule(layer=MERGES, keeps="function")
def flattens_merged_to_maps_merged(match: Match) -> Outcome:
    """A merge, element by element, of flattened maps  ->  the merge of the maps, then Flatten."""
    node = match.node
    flattens = [source for source in node.inputs if source.kind == "Flatten"]
    if not flattens:
        return match.absent(NO_FLATTEN)
    maps = [match.before(flatten) for flatten in flattens]
    formats = {str(flatten.config["data_format"]) for flatten in flattens}
    alike = len({(m.shape, match.layout(m).data_format) for m in maps}) == 1 and len(formats) == 1
    if len(flattens) == len(node.inputs) and alike:
        return match.flattened_by(flattens[0], match.again(node, *maps))
    cells = _cells(match, node.inputs)
    if isinstance(cells, Skip):
        return cells
    return match.flattened_by(flattens[0], match.again(node, *cells))


@rule(layer="Concatenate", keeps="function")
def flattens_concatenated_to_cells_concatenated(match: Match) -> Outcome:
    """Concatenate of flattened 1x1 maps  ->  Concatenate of their channels, then Flatten."""
    node = match.node
    flattens = [source for source in node.inputs if source.kind == "Flatten"]
    if not flattens:
        return match.absent(NO_FLATTEN)
    large = not all(match.layout(match.before(flatten)).is_cell for flatten in flattens)
    if large and leads_to_dense(match, node):
        return match.skip("the Dense behind it is split")
    cells = _cells(match, node.inputs)
    if isinstance(cells, Skip):
        return cells
    spec = node.spec.with_config(axis=match.layout(cells[0]).channel_axis)
    return match.flattened_by(flattens[0], match.again(node, *cells, spec=spec))


@rule(layer="Dense", keeps="function")
def concatenate_dense_to_convs(match: Match) -> Outcome:
    """Flattens concatenated, then Dense  ->  a convolution for each, summed, then Flatten.

    The rows of the kernel that meet one branch are that branch's kernel:
    `[x, y] K = x K_x + y K_y`. The bias is added once; the activation follows the sum.
    """
    passable = IDENTITY_AT_INFERENCE | {"BatchNormalization"}
    passed, merge = passed_up(match, match.before(match.node), passable)
    if merge.kind != "Concatenate" or all(source.kind != "Flatten" for source in merge.inputs):
        return match.absent("no Concatenate of flattened maps before it")
    if problem := unknown_activation(match.node.config) or _problem(match, merge.inputs):
        return match.skip(problem)
    idle = [node for node in reversed(passed) if node.kind != "BatchNormalization"]
    kernel, bias = with_batchnorms(match.node, passed)
    start, products = 0, []
    for number, source in enumerate(merge.inputs):
        part = f"branch{number + 1}" if number else ""
        tensor = _map_of(match, source, joined_to=part or "branch1")
        form, (order, sizes) = _flattening(match, source, tensor)
        stop = start + int((source.shape or (0, 0))[1] or 0)
        branch = kernel_of_flattened(rows(kernel, start, stop), order, sizes)
        for node in idle:
            tensor = match.again(node, tensor)
        first_bias = bias if number == 0 else None
        products.append(convolution(match, tensor, form, branch, first_bias, part, "linear"))
        start = stop
    total = match.layer("Add", "sum")(*products) if len(products) > 1 else products[0]
    flatten = next(source for source in merge.inputs if source.kind == "Flatten")
    return match.flattened_by(flatten, _activated(match, total))


def _activated(match: Match, tensor: Node) -> Node:
    activation = match.node.config.get("activation") or "linear"
    if activation == "linear":
        return tensor
    axis = match.layout(tensor).channel_axis
    if activation == "softmax":
        return match.layer("Softmax", "softmax", axis=axis)(tensor)
    return match.layer("Activation", "activation", activation=activation)(tensor)


def _problem(match: Match, sources: Sequence[Node]) -> str:
    """Why the branches cannot be convolved and summed, "" where they can."""
    formats = set()
    for source in sources:
        if source.kind != "Flatten":
            if not is_vector(source) or not_given(source):
                return f"the vector of '{source.name}' ({source.kind}) is not a flattened map"
            continue
        tensor = match.before(source)
        if not is_map(tensor) or not are_known(match.layout(tensor).sizes):
            return f"its Flatten '{source.name}' needs a fixed input size, got {tensor.shape}"
        formats.add((match.layout(tensor).data_format, match.layout(tensor).rank))
    first = ("channels_first", 2) in formats
    if len(formats) > 1 or (
        first and len(sources) > 1 and any(s.kind != "Flatten" for s in sources)
    ):
        return "its branches lie in different data formats"
    if first and match.node.config.get("activation") in CHANNEL_ACTIVATIONS - {"softmax"}:
        return f"its activation '{match.node.config['activation']}' over channels that come first"
    return ""


def _map_of(match: Match, source: Node, joined_to: str) -> Node:
    if source.kind == "Flatten":
        return match.before(source)
    return entered(match, source, f"{joined_to}_reshape")


def _flattening(
    match: Match, source: Node, tensor: Node
) -> tuple[Layout, tuple[tuple[int, ...], tuple[int, ...]]]:
    form = match.layout(tensor)
    data_format = source.config["data_format"] if source.kind == "Flatten" else "channels_last"
    return form, form.flattened(str(data_format))


def _cells(match: Match, sources: Sequence[Node]) -> list[Node] | Skip:
    """Vectors as maps of one cell each, all of them lying alike."""
    cells: list[Node] = []
    for number, source in enumerate(sources, 1):
        if source.kind == "Flatten":
            cell = gathered(match, source, f"gather{number}")
            if isinstance(cell, Skip):
                return cell
        elif is_vector(source) and not not_given(source):
            cell = entered(match, source, f"reshape{number}")
        else:
            return match.skip(f"the vector of '{source.name}' is not a flattened map")
        cells.append(cell)
    if len({(match.layout(cell).data_format, match.layout(cell).rank) for cell in cells}) > 1:
        return match.skip("the maps of its inputs lie in different data formats")
    return cells
