"""Why one layer has no place in an all-convolutional network, in words."""

from __future__ import annotations

from collections.abc import Sequence

from allconv.graph import ITEM, Node
from allconv.layers import kinds
from allconv.layers.axes import along_batch
from allconv.layout import is_vector, origin_of_vector
from allconv.layout.relabels import moves_ones_only
from allconv.rewrite import Skipped, each_once
from allconv.rules.lists import groups_within_cells, is_along_last

STAYS = (
    kinds.CONVOLUTIONS
    | kinds.IDENTITY_AT_INFERENCE
    | kinds.ACTIVATION_LAYERS
    | kinds.NORMALIZATIONS
    | kinds.MERGES
    | kinds.SPATIAL
    | kinds.SCALE_LAYERS
    | kinds.UNARY_OPS
    | kinds.BINARY_OPS
    | {"InputLayer", "Concatenate", "Resizing", ITEM}
)
"""Layers that an all-convolutional network may have anywhere."""

BETWEEN = "it stands between layers; it may only be at an input or output"
MIXES = "it works along values of several cells"

OVER_CHANNELS = {"LayerNormalization", "RMSNormalization", "UnitNormalization", "Softmax"}


def reason_of(node: Node, ends: set[Node], skips: Sequence[Skipped]) -> str:
    """Say why a node stands in the way, "" where it does not; the rules' words go first."""
    problem = problem_of(node, ends)
    if not problem:
        return ""
    said = [skip.reason for skip in skips if not skip.absent]
    if not said and node.kind not in kinds.RELABELS | STAYS:
        said = [skip.reason for skip in skips if skip.reason][-1:]
    return "; ".join(each_once(said)) or problem


def problem_of(node: Node, ends: set[Node]) -> str:
    """Say why a node stands in the way, in words of its class, "" where it does not."""
    if node.kind in kinds.RELABELS:
        return "" if _is_at_an_end(node, ends) else BETWEEN
    if node.kind not in STAYS:
        return _unknown(node)
    if node in ends and is_along_last(node):
        return "" if groups_within_cells(node.inputs[0]) else MIXES
    return kinds.unknown_activation(node.config) or _not_cellwise(node)


def _is_at_an_end(node: Node, ends: set[Node]) -> bool:
    """Tell whether a node only gives an input or output, or one cell, another shape."""
    source = node.inputs[0]
    enters = is_vector(source) and origin_of_vector(source) is None
    return node in ends or source.kind == "InputLayer" or enters or moves_ones_only(node)


def _unknown(node: Node) -> str:
    if node.kind == "Lambda":
        return "it runs your own code, which allconv does not look into"
    if node.kind.startswith("ops."):
        return (
            "no layer of Keras does the same, and no rule is known for it; write it as layers, or "
            "give a rule with rules=[...]"
        )
    if ">" in node.kind:
        return "no rule is known for it; give one with rules=[...]"
    if node.kind == "Dense" or "Pooling" in node.kind:
        return "no rule was tried on it"
    return "it is not a convolution and does not work cell by cell"


def _not_cellwise(node: Node) -> str:
    """Say why a layer mixes cells, or images, "" where it does not."""
    if node.shape is None:
        return ""
    if problem := along_batch(node.kind, node.config, len(node.shape)):
        return problem
    if len(node.shape) == 2:
        return ""
    first = node.data_format == "channels_first"
    channel_axes = (1, 1 - len(node.shape)) if first else (-1, len(node.shape) - 1)
    if node.kind in OVER_CHANNELS:
        axis = node.config.get("axis", -1)
        axes = [axis] if isinstance(axis, int) else list(axis)
        if len(axes) > 1 or axes[0] not in channel_axes:
            return f"it works along axis {axis}, not along the channels"
    if first and kinds.couples_channels("", node.config):
        name = node.config["activation"]
        return f"its activation '{name}' works along the last axis, not along the channels"
    return ""
