"""Dense to Reshape, as generators begin: a transposed convolution writes a map from one cell."""

from __future__ import annotations

from allconv.graph import Node, Spec
from allconv.kernels import (
    batchnorm_affine,
    identity_and_one,
    identity_matrix,
    moved_bias,
    scaled_columns,
    unfolding_kernel,
    with_bias_row,
)
from allconv.layers.kinds import PLAIN_CONVOLUTIONS, is_elementwise
from allconv.layers.layer_shapes import is_adapted
from allconv.layout import Layout, are_known, is_map
from allconv.rule import Match, Outcome, rule
from allconv.rules.flatten import FOLDED, MOST_GATHERED, is_in_training, is_passed
from allconv.rules.reshape import is_cell
from allconv.rules.vectors import stated_format
from allconv.weights import Array

AXES = {1: "one axis", 2: "two axes", 3: "three axes"}


@rule(layer="Reshape", keeps="function")
def dense_reshape_to_transposed_conv(match: Match) -> Outcome:
    """Dense(h * w * c) + Reshape((h, w, c))  ->  Conv2DTranspose(c, (h, w)) on the 1x1 map before.

    A transposed convolution as large as its result writes, for each input channel, that channel's
    kernel: `kernel.reshape(inputs, h, w, c)` of the Dense. A Dense has a bias for each value and
    such a layer only one for each channel, so a 1x1 convolution adds a channel that is always one,
    and the bias is its kernel. A BatchNormalization of the vector is folded in; layers that act
    element by element follow on the map.
    """
    target = _target(match)
    if isinstance(target, str):
        return match.skip(target)
    passed, conv = _walk(match, match.before(match.before(match.node)))
    matrix = _matrix(match, conv, passed)
    if matrix is None:
        return match.skip(f"no Dense before it whose values it could unfold, but '{conv.name}'")
    kernel, bias = matrix
    tensor = match.before(conv)
    if bias is not None:
        tensor, kernel = _with_one(match, tensor), with_bias_row(kernel, bias)
    tensor = _transposed(match, conv, kernel, target)(tensor)
    for node in reversed(passed):
        if node.kind != "BatchNormalization":
            tensor = match.again(node, tensor)
    return tensor


@rule(layer="Reshape", keeps="function")
def vector_reshape_to_transposed_conv(match: Match) -> Outcome:
    """Flatten of a 1x1 map, Reshape((h, w, c))  ->  Conv2DTranspose with an identity kernel."""
    target = _target(match)
    if isinstance(target, str):
        return match.skip(target)
    values = target.cells * target.channels
    if values > MOST_GATHERED:
        return match.skip(
            f"unfolding {values} values needs {values}^2 weights, and allconv stops at "
            f"{MOST_GATHERED}^2"
        )
    kernel = unfolding_kernel(identity_matrix(values), target)
    unfold = match.layer(
        f"Conv{target.rank}DTranspose",
        "",
        {"kernel": kernel},
        filters=target.channels,
        kernel_size=target.sizes,
        data_format=target.data_format,
        use_bias=False,
    )
    return unfold(match.before(match.before(match.node)))


def _target(match: Match) -> Layout | str:
    """Say how the Reshape's map lies, as the layers that take it say; or what is amiss."""
    node, flatten = match.node, match.before(match.node)
    if flatten.kind != "Flatten" or not match.layout(match.before(flatten)).is_cell:
        return f"it turns {flatten.shape} into {node.shape}, and what it unfolds is no 1x1 map"
    layout, shape = match.layout(match.before(flatten)), node.shape or ()
    if len(shape) != layout.rank + 2 or not is_map(node) or not are_known(shape[1:]):
        return f"it makes no map of {AXES[layout.rank]} and channels, but {node.shape}"
    if match.any_size:
        return f"it makes a map of one size, {node.shape}, whatever the size of the input"
    said = stated_format(match, node)
    if said is None and is_cell(node):
        return f"it moves the values of one cell, {flatten.shape}, to another axis, {node.shape}"
    if (said or layout.data_format) != layout.data_format:
        return "the map lies in another data format than the vector it is made of"
    if layout.channels_first:
        return Layout("channels_first", shape[2:], int(shape[1] or 0))
    return Layout("channels_last", shape[1:-1], int(shape[-1] or 0))


def _walk(match: Match, node: Node) -> tuple[list[Node], Node]:
    """List the layers, lowest first, between a vector's Reshape and the convolution above."""
    passed = []
    while _moves(node) and len(match.users(node)) <= 1:
        passed.append(node)
        node = match.before(node)
    return passed, node


def _moves(node: Node) -> bool:
    if is_elementwise(node.kind, node.config):
        return len(node.inputs) == 1 and not is_in_training(node)
    return node.kind in FOLDED and is_passed(node, FOLDED)


def _matrix(match: Match, conv: Node, passed: list[Node]) -> tuple[Array, Array | None] | None:
    """Return matrix and bias of a Dense turned 1x1 convolution, BatchNormalizations folded in."""
    activation = conv.config.get("activation") or "linear"
    plain = conv.kind in PLAIN_CONVOLUTIONS and set(conv.config["kernel_size"]) == {1}
    if not plain or conv.config.get("groups", 1) != 1 or len(match.users(conv)) > 1:
        return None
    if is_adapted(conv.config):
        return None
    if not is_elementwise("Activation", {"activation": activation}):
        return None
    kernel, bias = conv.spec.weights["kernel"], conv.spec.weights.get("bias")
    matrix = kernel.reshape(*kernel.shape[-2:])
    linear = activation == "linear"
    for node in reversed(passed):
        if node.kind == "BatchNormalization":
            if not linear:
                return None
            matrix, bias = _normalized(matrix, bias, node)
        linear = linear and node.kind in FOLDED
    return matrix, bias


def _normalized(matrix: Array, bias: Array | None, node: Node) -> tuple[Array, Array]:
    """Compute `scale * (x matrix + bias) + shift`."""
    scale, shift = batchnorm_affine(node.spec.weights, node.config["epsilon"])
    return scaled_columns(matrix.in_32_bits(), scale), moved_bias(bias, scale, shift)


def _with_one(match: Match, tensor: Node) -> Node:
    """Add one more channel to those of a cell, that is always one."""
    layout = match.layout(tensor)
    conv = match.layer(
        f"Conv{layout.rank}D",
        "one",
        identity_and_one(layout.channels, layout.rank),
        filters=layout.channels + 1,
        kernel_size=(1,) * layout.rank,
        data_format=layout.data_format,
        use_bias=True,
    )
    return conv(tensor)


def _transposed(match: Match, conv: Node, matrix: Array, target: Layout) -> Spec:
    """Make the transposed convolution in the place, and under the name, of the Dense."""
    names = ("trainable", "kernel_initializer", "kernel_regularizer", "activation")
    kept = {name: conv.config[name] for name in names if name in conv.config}
    return match.layer(
        f"Conv{target.rank}DTranspose",
        weights={"kernel": unfolding_kernel(matrix, target)},
        of=conv,
        filters=target.channels,
        kernel_size=target.sizes,
        data_format=target.data_format,
        use_bias=False,
        **kept,
    )
