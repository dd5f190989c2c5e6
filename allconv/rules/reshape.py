"""Reshape and Permute are gone where they carry 1x1 maps, whose values lie in one order only."""

from __future__ import annotations

from collections.abc import Iterator

from allconv.graph import Node, Spec
from allconv.layers.kinds import (
    ACTIVATION_LAYERS,
    BINARY_OPS,
    IDENTITY_AT_INFERENCE,
    OF_GROUPS,
    RELABELS,
    UNARY_OPS,
)
from allconv.layout import are_known, is_map, is_vector
from allconv.layout.relabels import lies_along, map_before, moves_ones_only
from allconv.rule import Match, Outcome, rule
from allconv.rules.lists import acts_elementwise, leads_to_outputs
from allconv.rules.over_channels import over_channels


@rule(layer=("Reshape", "Permute"), keeps="function")
def reshape_of_cell_to_nothing(match: Match) -> Outcome:
    """Reshape or Permute of a 1x1 map, or of its vector  ->  the map, or Flatten.

    A Reshape to the shape that the map has anyway, and one that only flattens, count as well.
    """
    node, tensor = match.node, match.before(match.node)
    source = match.before(tensor) if tensor.kind == "Flatten" else tensor
    in_order = source is tensor or tensor.config["data_format"] == "channels_last"
    for cell in _same_cells(match, tensor):
        if node.shape == cell.shape:
            return cell
    if node.kind == "Permute" and not is_cell(tensor):
        return match.skip("it moves the axes of a map of more than one cell")
    if node.shape == source.shape and in_order:
        return source
    if is_vector(node) and is_map(source) and (in_order or is_cell(source)):
        vector = _flatten(node)(source)
        # Of a map of free size Keras believes the Reshape how many values there are.
        if vector.shape == node.shape:
            return vector
    if is_vector(tensor) and is_map(node):
        return match.absent("it unfolds a vector")  # of which the rules for that say more
    return match.skip(f"it turns {tensor.shape} into {node.shape}")


@rule(
    layer=ACTIVATION_LAYERS | UNARY_OPS | IDENTITY_AT_INFERENCE | {"Dense"},
    keeps="function",
)
def reshape_dense_to_dense_reshape(match: Match) -> Outcome:
    """Reshape of a vector to (1, 1, n), then Dense or activation  ->  the layer, then Reshape.

    So do squeeze-and-excitation blocks where channels come first: their Dense layers work along the
    last axis, to which a Reshape brings the channels and from which a Permute takes them.
    """
    node, reshape = match.node, match.before(match.node)
    if reshape.kind != "Reshape" or match.before(reshape).kind != "Flatten":
        return match.absent("no Reshape of a flattened map before it")
    vector, shape = match.before(reshape), reshape.shape or (None,)
    if not is_cell(reshape) or shape[-1] != (vector.shape or ())[-1]:
        return match.absent("the Reshape before it makes no map of one cell")
    if node.kind != "Dense" and not acts_elementwise(node):
        return match.absent("it does not act element by element")
    after = match.again(node, vector)
    units = (after.shape or ())[-1]
    return reshape.spec.with_config(target_shape=(*shape[1:-1], units))(after)


@rule(
    layer=ACTIVATION_LAYERS | UNARY_OPS | BINARY_OPS | IDENTITY_AT_INFERENCE | {"Rescaling"},
    keeps="function",
)
def reshape_activation_to_activation_reshape(match: Match) -> Outcome:
    """Reshape or Permute of a map, then an activation  ->  the activation on the map, then Reshape.

    A softmax comes along where it works along the map's channels, as in a list (cells, classes).
    """
    node, relabel = match.node, match.before(match.node)
    if relabel.kind not in ("Reshape", "Permute"):
        return match.absent("no Reshape of a map before it")
    if moves_ones_only(relabel) and not leads_to_outputs(match, node):
        return match.absent("the Reshape before it stands between layers")
    source = map_before(relabel)
    if not is_map(source) or source.kind == "InputLayer" or node.config.get("noise_shape"):
        return match.absent("no Reshape of a map before it")
    spec: Spec | str = node.spec
    if not acts_elementwise(node):
        if not is_softmax(node) or not lies_along(relabel, _axis(node)):
            return match.absent("it does not act along the channels of the map")
        spec = over_channels(node, match.layout(source))
    if isinstance(spec, str):
        return match.skip(spec)
    return _relabelled(match, relabel, match.again(node, source, spec=spec))


def is_softmax(node: Node) -> bool:
    """Tell whether a layer is an activation along one axis, of as many values as it takes."""
    if node.kind == "Softmax":
        return isinstance(node.config.get("axis", -1), int)
    return node.kind == "Activation" and node.config.get("activation") in OF_GROUPS


def _axis(node: Node) -> int:
    return int(node.config.get("axis", -1))


def _relabelled(match: Match, node: Node, source: Node) -> Node:
    """Put a chain of Flatten, Reshape and Permute on another map."""
    if node.kind not in RELABELS:
        return source
    return match.again(node, _relabelled(match, node.inputs[0], source))


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
    """Tell whether all axes but one have length 1, so that no order of them matters."""
    sizes = tensor.shape[1:] if tensor.shape else (None,)
    return are_known(sizes) and sum(size != 1 for size in sizes) <= 1


def _same_cells(match: Match, tensor: Node) -> Iterator[Node]:
    """Yield a 1x1 map and what it was before it was relabelled, the last first."""
    while is_cell(tensor):
        yield tensor
        if tensor.kind not in RELABELS:
            break
        tensor = match.before(tensor)


def _flatten(node: Node) -> Spec:
    dtype = node.config.get("dtype", "float32")
    return Spec("Flatten", node.name, {"dtype": dtype, "data_format": "channels_last"})
