"""BatchNormalization folded into the convolution before it."""

from __future__ import annotations

from collections.abc import Sequence

from allconv.graph import Node
from allconv.kernels import batchnorm_affine, moved_bias, scaled_columns
from allconv.kernels.fixed import with_weights
from allconv.layers.kinds import CONVOLUTIONS, IDENTITY_AT_INFERENCE
from allconv.layers.layer_shapes import is_adapted
from allconv.layout import is_along, is_biased_along_width
from allconv.rule import Match, Outcome, rule
from allconv.rules.flatten import is_in_training, passed_up
from allconv.weights import Array

FOLDED_INTO = CONVOLUTIONS | {"Dense"}
"""Layers that are linear but for their activation."""


@rule(layer="BatchNormalization", keeps="function")
def conv_batchnorm_to_conv(match: Match) -> Outcome:
    """Convolution or Dense, then BatchNormalization  ->  the same, kernel scaled and bias moved.

    At inference BatchNormalization is `scale * y + shift` for each channel (Ioffe and Szegedy 2015,
    arXiv 1502.03167, algorithm 2), and so it is one affine map with the linear `y = K x + b`:
    `scale * (K x + b) + shift = (scale K) x + (scale b + shift)`. Layers that are idle at inference
    may stand between the two. Regularizers and constraints stay: they act on the new kernel.
    """
    norm = match.node
    passed, conv = passed_up(match, match.before(norm), IDENTITY_AT_INFERENCE)
    if problem := _problem(match, conv, passed):
        return match.skip(problem)
    scale, shift = batchnorm_affine(norm.spec.weights, norm.config["epsilon"])
    name = "pointwise_kernel" if conv.kind.startswith("Separable") else "kernel"
    weights = {
        **conv.spec.weights,
        name: _scaled(conv.spec.weights[name], scale, conv.kind.endswith("Transpose")),
        "bias": moved_bias(conv.spec.weights.get("bias"), scale, shift),
    }
    spec = with_weights(conv.spec.with_config(use_bias=True), weights)
    tensor = match.again(conv, *conv.inputs, spec=spec)
    for node in reversed(passed):
        tensor = match.again(node, tensor)
    return match.becomes(tensor, note=f"folded into '{conv.name}'")


def _scaled(kernel: Array, scale: Array, transposed: bool) -> Array:
    """Scale the results of a kernel, channel by channel.

    The channels of the result are its last axis; its last two together, `channels * multiplier`, in
    a depthwise kernel; its last but one in a transposed convolution's.
    """
    axes = list(range(len(kernel.shape)))
    if transposed:
        axes[-2:] = reversed(axes[-2:])
    kernel = kernel.transpose(*axes)
    matrix = kernel.reshape(kernel.size // scale.size, scale.size)
    return scaled_columns(matrix, scale).reshape(*kernel.shape).transpose(*axes)


def _problem(match: Match, conv: Node, passed: Sequence[Node]) -> str:
    """Say why the BatchNormalization cannot be folded, "" where it can."""
    norm, activation = match.node, conv.config.get("activation") or "linear"
    if is_in_training(norm):
        return "it is called with training=True, and normalizes by the numbers of each batch"
    if conv.kind not in FOLDED_INTO:
        found = f"no convolution before it to fold it into, but '{conv.name}' ({conv.kind})"
        return found + _padding_behind(match)
    if activation != "linear":
        return f"an activation stands between, that of '{conv.name}'"
    taken = [node for node in (*passed, conv) if len(match.users(node)) > 1]
    if taken:
        return f"the result of '{taken[0].name}' is taken by other layers, too"
    if not _is_over_channels(match, conv):
        return f"it works along axis {norm.config['axis']}, not along the channels of '{conv.name}'"
    if norm.config.get("dtype") != conv.config.get("dtype"):
        return f"'{conv.name}' computes in another precision"
    if any("16" in array.dtype for array in conv.spec.weights.values()):
        return f"the kernel of '{conv.name}' has 16 bits, in which the product would be rounded"
    if is_adapted(conv.config):
        return f"'{conv.name}' has LoRA or quantized weights"
    if is_biased_along_width(conv, conv.shape):
        return (
            f"'{conv.name}' has as many filters as its map is wide, and to such maps with channels "
            "first Keras on TensorFlow adds a bias along the width"
        )
    return ""


def _padding_behind(match: Match) -> str:
    """Say why a convolution behind it does not take it in either, "" where there is none."""
    for user in match.users(match.node):
        if user.kind in CONVOLUTIONS and user.config.get("padding", "valid") != "valid":
            return f"; '{user.name}' behind it pads with zeros, which are not normalized"
    return ""


def _is_over_channels(match: Match, conv: Node) -> bool:
    channels = -1 if conv.kind == "Dense" else match.layout(conv).channel_axis
    return is_along(match.node.config["axis"], channels, len(conv.shape or ()))
