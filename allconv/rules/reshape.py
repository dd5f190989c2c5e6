"""Reshape and Permute are gone where they carry 1x1 maps, whose values lie in one order only."""

from __future__ import annotations

from allconv.graph import Node, Spec
from allconv.layout import are_known, is_map, is_vector
from allconv.rule import Match, Outcome, rule


@rule(layer=("Reshape", "Permute"), keeps="function")
def reshape_of_cell_to_nothing(match: Match) -> Outcome:
    """Reshape or Permute of a 1x1 map, or of its vector  ->  the map, or Flatten.

    A Reshape to the shape that the map has anyway, and one that only flattens, count as well.
    """
    node, tensor = match.node, match.before(match.node)
    source = match.before(tensor) if tensor.kind == "Flatten" else tensor
    in_order = source is tensor or tensor.config["data_format"] == "channels_last"
    if node.kind == "Permute" and not is_cell(tensor):
        return match.skip("it moves the axes of a map of more than one cell")
    if node.shape == tensor.shape:
        return tensor
    if node.shape == source.shape and (in_order or is_cell(source)):
        return source
    if is_vector(node) and is_map(source) and (in_order or is_cell(source)):
        return _flatten(node)(source)
    return match.skip(f"it turns {tensor.shape} into {node.shape}")


@rule(layer="Flatten", keeps="function")
def reshape_flatten_to_flatten(match: Match) -> Outcome:
    """Reshape or Permute of a 1x1 map, then Flatten  ->  Flatten."""
    relabel = match.before(match.node)
    if relabel.kind not in ("Reshape", "Permute"):
        return match.absent("no Reshape or Permute before it")
    tensor = match.before(relabel)
    if not is_cell(tensor):
        return match.skip("the map has more than one cell")
    return tensor if is_vector(tensor) else match.again(match.node, tensor)


def is_cell(tensor: Node) -> bool:
    """Whether all axes but one have length 1, so that no order of them matters."""
    sizes = tensor.shape[1:] if tensor.shape else (None,)
    return are_known(sizes) and sum(size != 1 for size in sizes) <= 1


def _flatten(node: Node) -> Spec:
    dtype = node.config.get("dtype", "float32")
    return Spec("Flatten", node.name, {"dtype": dtype, "data_format": "channels_last"})
