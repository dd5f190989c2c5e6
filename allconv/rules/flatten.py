"""Flatten moves down, past whatever acts on its vector as it would act on the map.

Where the map has one cell, every layer that looks at the channels of a cell does. A larger map can
be gathered into one cell by an identity convolution, while its values are few.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from allconv.graph import Node, Spec
from allconv.kernels import identity_kernel, kernel_of_flattened
from allconv.layers.axes import along_batch
from allconv.layers.kinds import (
    ACTIVATION_LAYERS,
    BINARY_OPS,
    IDENTITY_AT_INFERENCE,
    NOISE,
    NORMALIZATIONS,
    UNARY_OPS,
)
from allconv.layout import Layout, are_known, is_map, is_vector
from allconv.rule import Match, Outcome, Skip, rule
from allconv.rules.constants import is_affine
from allconv.rules.lists import acts_elementwise
from allconv.rules.over_channels import over_channels
from allconv.weights import Array

MOST_GATHERED = 4096
"""Values of the largest map that an identity convolution gathers: its kernel has their square."""

NO_FLATTEN = "no Flatten before it"

FOLDED = IDENTITY_AT_INFERENCE | {"BatchNormalization"}
"""Layers that may stand, as constants may, between a Flatten and the Dense that takes them in."""


@rule(layer="Flatten", keeps="function")
def flatten_of_vector_to_nothing(match: Match) -> Outcome:
    """Flatten on a vector  ->  the vector."""
    vector = match.before(match.node)
    return vector if is_vector(vector) else match.absent("its input is a map")


@rule(
    layer=ACTIVATION_LAYERS | UNARY_OPS | BINARY_OPS | IDENTITY_AT_INFERENCE | {"Rescaling"},
    keeps="function",
)
def flatten_elementwise_to_elementwise_flatten(match: Match) -> Outcome:
    """Flatten, then a layer that acts element by element  ->  the layer, then Flatten."""
    node, flatten = match.node, match.before(match.node)
    if flatten.kind != "Flatten":
        return match.absent(NO_FLATTEN)
    if not acts_elementwise(node) or node.config.get("noise_shape"):
        return match.absent("it does not act element by element")
    return match.flattened_by(flatten, match.again(node, match.before(flatten)))


@rule(layer="PReLU", keeps="function")
def flatten_prelu_to_prelu_flatten(match: Match) -> Outcome:
    """Flatten, then PReLU  ->  PReLU with its slopes laid out as the map, then Flatten."""
    node, flatten = match.node, match.before(match.node)
    if flatten.kind != "Flatten":
        return match.absent(NO_FLATTEN)
    tensor = match.before(flatten)
    if not is_map(tensor) or not are_known(match.layout(tensor).sizes):
        return match.skip(f"needs a fixed input size, got {tensor.shape}")
    alpha = node.spec.weights["alpha"]
    if match.any_size and alpha.size > 1:
        # Slopes that are laid out as a map fit its size only; those of a cell's channels fit any.
        cell = gathered(match, flatten)
        if isinstance(cell, Skip):
            return cell
        tensor = cell
    alpha, axes = _slopes(alpha, match.layout(tensor), flatten.config["data_format"])
    spec = Spec(node.kind, node.name, {**node.config, "shared_axes": axes}, {"alpha": alpha})
    return match.flattened_by(flatten, spec(tensor))


def _slopes(alpha: Array, layout: Layout, data_format: str) -> tuple[Array, list[int] | None]:
    """Lay out a PReLU's slopes for a flattened map as the map, and say what shares."""
    if alpha.size == 1:
        return alpha.reshape(*(1,) * (layout.rank + 1)), list(range(1, layout.rank + 2))
    order, sizes = layout.flattened(data_format)
    alpha = kernel_of_flattened(alpha.reshape(*alpha.shape, 1), order, sizes)
    alpha = alpha.reshape(*alpha.shape[:-1])
    if layout.channels_first:
        alpha = alpha.transpose(layout.rank, *range(layout.rank))
    return alpha, list(layout.spatial_axes) if layout.is_cell else None


@rule(
    layer=NORMALIZATIONS | NOISE | {"Softmax", "Activation"},
    keeps="function",
)
def flatten_cellwise_to_cellwise_flatten(match: Match) -> Outcome:
    """Flatten, then a layer over the vector  ->  the layer over one cell's channels, then Flatten.

    A map of more than one cell is gathered first: a convolution as large as the map, with an
    identity kernel, makes each of its values a channel.
    """
    node, flatten = match.node, match.before(match.node)
    if flatten.kind != "Flatten":
        return match.absent(NO_FLATTEN)
    if problem := along_batch(node.kind, node.config, 2):
        return match.skip(problem)
    tensor = match.before(flatten)
    if folds_into_dense(match, node) and not match.layout(tensor).is_cell:
        return match.skip("it is folded into the Dense that follows")
    cell = gathered(match, flatten)
    if isinstance(cell, Skip):
        return cell
    spec = over_channels(node, match.layout(cell))
    if isinstance(spec, str):
        return match.skip(spec)
    return match.flattened_by(flatten, match.again(node, cell, spec=spec))


def gathered(match: Match, flatten: Node, part: str = "gather") -> Node | Skip:
    """Gather the map before a Flatten in one cell whose channels are the flattened values."""
    tensor = match.before(flatten)
    if not is_map(tensor):
        return match.skip(f"the size of its input is not known, got {tensor.shape}")
    layout = match.layout(tensor)
    if layout.is_cell:
        return tensor
    if not are_known(layout.sizes):
        return match.skip(f"needs a fixed input size, got {tensor.shape}")
    order, sizes = layout.flattened(flatten.config["data_format"])
    values = math.prod(sizes)
    if values > MOST_GATHERED:
        return match.skip(
            f"it works along all {values} values of a {tensor.shape} map; gathering them in one "
            f"cell needs {values}^2 weights, and allconv stops at {MOST_GATHERED}^2"
        )
    conv = match.layer(
        f"Conv{layout.rank}D",
        part,
        {"kernel": identity_kernel(order, sizes)},
        filters=values,
        kernel_size=layout.sizes,
        data_format=layout.data_format,
        use_bias=False,
    )
    return conv(tensor)


def folds_into_dense(match: Match, node: Node) -> bool:
    """Tell whether a node is a BatchNormalization that all Dense layers behind it can take in."""
    foldable = node.kind == "BatchNormalization" and is_passed(node, FOLDED)
    return foldable and leads_to_dense(match, node)


def leads_to_dense(match: Match, node: Node) -> bool:
    """Tell whether every way down from a node leads to a Dense that can take its numbers in.

    Between the two there is nothing but BatchNormalization, constants and layers idle at inference.
    """
    users = match.users(node)
    return bool(users) and all(
        user.kind == "Dense"
        or (is_passed(user, FOLDED) and user is not node and leads_to_dense(match, user))
        for user in users
    )


def passed_up(match: Match, node: Node, kinds: Collection[str]) -> tuple[list[Node], Node]:
    """Walk up from a node through layers of some kinds, as they are at inference.

    Returns:
        The nodes passed, the lowest first, and the first node of another kind.
    """
    passed = []
    while is_passed(node, kinds):
        passed.append(node)
        node = match.before(node)
    return passed, node


def is_passed(node: Node, kinds: Collection[str]) -> bool:
    """Tell whether a call is one of some kinds of layers, as they are at inference, on each image.

    Constants count as the layers that a Dense takes in.
    """
    listed = node.kind in kinds or (kinds is FOLDED and is_affine(node))
    plain = listed and len(node.inputs) == 1 and not is_in_training(node)
    return plain and not along_batch(node.kind, node.config, len(node.shape or ()))


def is_in_training(node: Node) -> bool:
    """Tell whether a layer is called to do what it does in training, `layer(x, training=True)`."""
    return bool(node.kwargs.get("training"))
