"""Merges of flattened maps: merge the maps, then Flatten; or split the Dense behind them."""

from __future__ import annotations

from collections.abc import Sequence

from allconv.graph import Node
from allconv.kernels import kernel_of_flattened, rows
from allconv.layers.axes import along_batch
from allconv.layers.kinds import BINARY_OPS, MERGES
from allconv.layout import Layout, are_known, is_map, is_vector, origin_of_vector
from allconv.rule import Match, Outcome, Skip, rule
from allconv.rules.constants import is_affine
from allconv.rules.dense import dense_convolution, problem_with_dense, with_batchnorms
from allconv.rules.flatten import FOLDED, gathered, leads_to_dense, passed_up
from allconv.rules.lists import leads_to_outputs
from allconv.rules.vectors import entered

NO_FLATTEN = "none of its inputs is flattened"
UNLIKE = "the maps of its inputs lie in different data formats, or have different numbers of axes"


@rule(layer=MERGES | BINARY_OPS, keeps="function")
def flattens_merged_to_maps_merged(match: Match) -> Outcome:
    """Merge of flattened maps, element by element  ->  the merge of the maps, then Flatten.

    Maps that are not alike are gathered in cells first. Where one input is a map, Keras spreads the
    vectors over it, along its last axis; the cells of these vectors are spread in the same way.
    """
    node = match.node
    flattens = [source for source in node.inputs if source.kind == "Flatten"]
    if not flattens or (node.kind in BINARY_OPS and len(node.inputs) < 2):
        return match.absent(NO_FLATTEN)
    if not is_vector(node):
        return _spread(match)
    maps = [match.before(flatten) for flatten in flattens]
    formats = {str(flatten.config["data_format"]) for flatten in flattens}
    alike = len({(m.shape, match.layout(m).data_format) for m in maps}) == 1 and len(formats) == 1
    if len(flattens) == len(node.inputs) and alike:
        return match.flattened_by(flattens[0], match.again(node, *maps))
    cells = _cells(match, node.inputs)
    if isinstance(cells, Skip):
        return cells
    # Keras' merges align maps of different numbers of axes at the last one, that of the channels.
    first = any(match.layout(cell).channels_first for cell in cells)
    if not _are_alike(match, cells) and (first or node.kind in BINARY_OPS):
        return match.skip(UNLIKE)
    return match.flattened_by(flattens[0], match.again(node, *cells))


@rule(layer="Concatenate", keeps="function")
def flattens_concatenated_to_cells_concatenated(match: Match) -> Outcome:
    """Concatenate of flattened 1x1 maps  ->  Concatenate of their channels, then Flatten."""
    node = match.node
    flattens = [source for source in node.inputs if source.kind == "Flatten"]
    if not flattens:
        return match.absent(NO_FLATTEN)
    if problem := along_batch(node.kind, node.config, 2):
        return match.skip(problem)
    large = not all(match.layout(match.before(flatten)).is_cell for flatten in flattens)
    if large and leads_to_dense(match, node):
        return match.skip("the Dense behind it is split")
    if large and _is_list(match):
        return match.skip("it only puts the values of an output side by side")
    cells = _cells(match, node.inputs)
    if isinstance(cells, Skip):
        return cells
    if not _are_alike(match, cells):
        return match.skip(UNLIKE)
    spec = node.spec.with_config(axis=match.layout(cells[0]).channel_axis)
    return match.flattened_by(flattens[0], match.again(node, *cells, spec=spec))


def _is_list(match: Match) -> bool:
    """Tell whether flattened maps are joined to a list, as of boxes: a Reshape follows."""
    follow = match.users(match.node)
    return all(user.kind == "Reshape" for user in follow) and leads_to_outputs(match, match.node)


@rule(layer="Dense", keeps="function")
def concatenate_dense_to_convs(match: Match) -> Outcome:
    """Flattens concatenated, then Dense  ->  a convolution for each, summed, then Flatten.

    The rows of the kernel that meet one branch are that branch's kernel:
    `[x, y] K = x K_x + y K_y`. The bias is added once; the activation follows the sum.
    """
    passed, merge = passed_up(match, match.before(match.node), FOLDED)
    if merge.kind != "Concatenate" or all(source.kind != "Flatten" for source in merge.inputs):
        return match.absent("no Concatenate of flattened maps before it")
    if problem := along_batch(merge.kind, merge.config, 2) or _problem(match, merge.inputs):
        return match.skip(problem)
    idle = [node for node in reversed(passed) if not is_affine(node)]
    kernel, bias = with_batchnorms(match.node, passed)
    start, products = 0, []
    for number, source in enumerate(merge.inputs):
        part = f"branch{number + 1}" if number else ""
        tensor = _map_of(match, source, merge.inputs, f"{part or 'branch1'}_reshape")
        layout, (order, sizes) = _flattening(match, source, tensor)
        stop = start + int((source.shape or (0, 0))[1] or 0)
        branch = kernel_of_flattened(rows(kernel, start, stop), order, sizes)
        for node in idle:
            tensor = match.again(node, tensor)
        first_bias = bias if number == 0 else None
        products.append(
            dense_convolution(match, tensor, layout, branch, first_bias, part, "linear")
        )
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
    """Say why the branches cannot be convolved and summed, "" where they can."""
    maps = []
    for source in sources:
        if source.kind != "Flatten":
            if not is_vector(source) or origin_of_vector(source):
                return f"the vector of '{source.name}' ({source.kind}) is not a flattened map"
            continue
        tensor = match.before(source)
        if not is_map(tensor) or not are_known(match.layout(tensor).sizes):
            return f"its Flatten '{source.name}' needs a fixed input size, got {tensor.shape}"
        maps.append(tensor)
    first = any(match.layout(tensor).channels_first for tensor in maps)
    # Products of different numbers of axes are summed as Keras aligns them, at the last axis.
    if first and not _are_alike(match, maps):
        return UNLIKE
    return problem_with_dense(match.node, match.layout(maps[0]))


def _map_of(match: Match, source: Node, sources: Sequence[Node], part: str) -> Node:
    """Find the map that was flattened; a vector that is an input enters as a cell like it."""
    if source.kind == "Flatten":
        return match.before(source)
    flatten = next(other for other in sources if other.kind == "Flatten")
    return entered(match, source, match.layout(match.before(flatten)), part)


def _flattening(
    match: Match, source: Node, tensor: Node
) -> tuple[Layout, tuple[tuple[int, ...], tuple[int, ...]]]:
    layout = match.layout(tensor)
    data_format = source.config["data_format"] if source.kind == "Flatten" else "channels_last"
    return layout, layout.flattened(str(data_format))


def _cells(match: Match, sources: Sequence[Node]) -> list[Node] | Skip:
    """Return the vectors as maps of one cell each."""
    cells: list[Node] = []
    for number, source in enumerate(sources, 1):
        if source.kind == "Flatten":
            cell = gathered(match, source, f"gather{number}")
            if isinstance(cell, Skip):
                return cell
        elif is_vector(source) and not origin_of_vector(source):
            cell = _map_of(match, source, sources, f"reshape{number}")
        else:
            return match.skip(f"the vector of '{source.name}' is not a flattened map")
        cells.append(cell)
    return cells


def _are_alike(match: Match, maps: Sequence[Node]) -> bool:
    layouts = {(match.layout(tensor).data_format, match.layout(tensor).rank) for tensor in maps}
    return len(layouts) == 1


def _spread(match: Match) -> Outcome:
    """Merge a map with the cells of the vectors that are spread over it."""
    node = match.node
    if node.kind in BINARY_OPS:
        return match.skip(f"it spreads a vector over a map {node.shape} by the rules of NumPy")
    sources: list[Node] = []
    for number, source in enumerate(node.inputs, 1):
        cell = gathered(match, source, f"gather{number}") if source.kind == "Flatten" else source
        if isinstance(cell, Skip):
            return cell
        shape, axes = cell.shape or (), len(node.shape or ())
        if cell is not source and (len(shape) > axes or shape[-1:] != (source.shape or ())[-1:]):
            return match.skip(
                f"the vector of '{source.name}' is spread along the last axis of a map "
                f"{node.shape}, and its cell is {shape}"
            )
        sources.append(cell)
    return match.again(node, *sources)
