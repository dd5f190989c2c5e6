"""What stands between a network and an all-convolutional one, layer by layer, with reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from allconv.graph import ITEM, Graph, Node
from allconv.layers import kinds
from allconv.layout import is_vector, not_given
from allconv.rewrite import Plan, Skipped

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
    | {"InputLayer", "Concatenate", ITEM}
)
"""Layers that an all-convolutional network may have anywhere."""

OVER_CHANNELS = {"LayerNormalization", "RMSNormalization", "UnitNormalization", "Softmax"}


@dataclass(frozen=True)
class Obstacle:
    """A layer that no all-convolutional network has in its place, and why it is still there."""

    layer: str
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"'{self.layer}' ({self.kind}): {self.reason}"


def obstacles(plan: Plan) -> tuple[Obstacle, ...]:
    """The layers of a plan's result that stand in the way, in order, each once."""
    found: dict[str, Obstacle] = {}
    for node in plan.after.nodes:
        if reason := _reason(node, plan.after, plan.skips.get(node, ())):
            found.setdefault(node.name, Obstacle(node.name, node.kind, reason))
    return tuple(found.values())


def is_all_convolutional(graph: Graph) -> bool:
    """Whether no layer of a graph stands in the way."""
    return not any(_problem(node, graph) for node in graph.nodes)


def _reason(node: Node, graph: Graph, skips: Sequence[Skipped]) -> str:
    """Why a node stands in the way, "" where it does not; the rules' words go first."""
    problem = _problem(node, graph)
    if not problem:
        return ""
    said = [skip.reason for skip in skips if not skip.absent]
    if not said and node.kind not in kinds.RELABELS | STAYS:
        said = [skip.reason for skip in skips][-1:]
    return "; ".join(dict.fromkeys(said)) or problem


def _problem(node: Node, graph: Graph) -> str:
    if node.kind in kinds.RELABELS:
        return "" if _is_at_an_end(node, graph) else "it stands between layers"
    if node.kind not in STAYS:
        return _unknown(node)
    return kinds.unknown_activation(node.config) or _not_cellwise(node)


def _is_at_an_end(node: Node, graph: Graph) -> bool:
    """Whether a node only gives the model's own input or output another shape."""
    source = node.inputs[0]
    at_output = node in graph.outputs and not any(node in user.inputs for user in graph.nodes)
    enters = is_vector(source) and not_given(source) is None
    return at_output or source.kind == "InputLayer" or enters


def _unknown(node: Node) -> str:
    if node.kind == "Lambda":
        return "it runs code of your own, into which allconv does not look"
    if ">" in node.kind or node.kind.startswith("ops."):
        return "no rule is known for it; give one with rules=[...]"
    if node.kind == "Dense" or "Pooling" in node.kind:
        return "no rule was tried on it"
    return "it is no convolution and does not work cell by cell"


def _not_cellwise(node: Node) -> str:
    """Why a layer mixes cells, "" where it does not."""
    if node.shape is None or len(node.shape) == 2:
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
