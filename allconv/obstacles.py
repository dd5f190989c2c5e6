"""What stands between a network and an all-convolutional one, layer by layer, with reasons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from allconv.building.untrusted import not_made, remedy
from allconv.errors import ConversionError
from allconv.graph import ITEM, Graph, Node
from allconv.layers import kinds
from allconv.layers.axes import along_batch
from allconv.layout import is_vector, origin_of_vector
from allconv.layout.relabels import moves_ones_only
from allconv.rewrite import Plan, Skipped, each_once
from allconv.rules.lists import groups_within_cells, is_along_last, lists
from allconv.shape_walk import images
from allconv.sizes.image_sizes import Sizes, free_sizes, has_free_sizes

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

MIXES = "it works along values of several cells"
BETWEEN = "it stands between layers; it may only be at an input or output"

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
    """List the layers of a plan's result that stand in the way, in order, each once."""
    found = {obstacle.layer: obstacle for obstacle in _own_class(plan.after)}
    ends = lists(plan.after)
    stay = set(_kept_pools(plan))
    for node in plan.after.nodes:
        if node in stay:
            continue
        if reason := _reason(node, ends, plan.skips.get(node, ())):
            layer = plan.origins.get(node.spec, node.spec)  # the user knows the model's own layers
            found.setdefault(layer.name, Obstacle(layer.name, layer.kind, reason))
    return tuple(found.values())


def refuse_obstacles(plan: Plan, advice: str = "") -> None:
    """Raise a ConversionError that lists all layers that stand in the way, if any do."""
    found = obstacles(plan)
    if found:
        lines = "\n".join(f"  {obstacle}" for obstacle in found)
        remedies = filter(None, (missing_size(plan, found), advice or _advice(plan)))
        kind = "fully convolutional" if plan.kept else "all-convolutional"
        raise ConversionError(
            f"model '{plan.before.name}' does not become {kind}; "
            f"these layers stand in the way:\n{lines}\n{'; '.join(remedies)}"
        )


def _advice(plan: Plan) -> str:
    """Say what to do about obstacles: they can stay, if they can be made."""
    unmade = not_made(plan.after)
    if not unmade:
        return "strict=False leaves them as they are"
    return f"allconv does not make these from a file: {', '.join(unmade)}; {remedy(plan.after)}"


def missing_size(plan: Plan, found: Sequence[Obstacle]) -> str:
    """Say what to do where layers need a size that the model leaves free; "" where none does."""
    if not has_free_sizes(plan.before) or not any("needs a fixed" in o.reason for o in found):
        return ""
    size = _usual_size(plan.before)
    return f"input_size={size} gives the images a size"


def _usual_size(graph: Graph) -> Sizes:
    """Choose 224 cells along each axis, or the first size above that fits."""
    usual = (224,) * max(len(image.sizes) for image in images(graph))
    try:
        return free_sizes(graph).at_least(usual)
    except ConversionError:  # a layer is not known well enough to tell
        return usual


def _own_class(graph: Graph) -> Iterator[Obstacle]:
    if graph.own_class:
        reason = "its class is not Keras' own, and what that computes is not in the file"
        yield Obstacle(graph.name, graph.own_class, reason)


def kept_pools(plan: Plan) -> tuple[str, ...]:
    """List the names of the pools that stay pools, as the user chose: they are no obstacles."""
    return tuple(dict.fromkeys(plan.origins[node.spec].name for node in _kept_pools(plan)))


def _kept_pools(plan: Plan) -> Iterator[Node]:
    """Yield the pools of a result that may stay; where maps grow, a global one would not slide."""
    may_stay = kinds.POOLS - kinds.GLOBAL_POOLS if plan.any_size else kinds.POOLS
    for node in plan.after.nodes:
        if node.kind in may_stay and plan.origins[node.spec].name in plan.kept:
            yield node


def is_all_convolutional(graph: Graph) -> bool:
    """Tell whether no layer of a graph stands in the way."""
    ends = lists(graph)
    return not graph.own_class and not any(_problem(node, ends) for node in graph.nodes)


def is_fully_convolutional(graph: Graph) -> bool:
    """Tell whether nothing but pools stands in the way."""
    others = [node for node in graph.nodes if node.kind not in kinds.POOLS]
    ends = lists(graph)
    return not graph.own_class and not any(_problem(node, ends) for node in others)


def _reason(node: Node, ends: set[Node], skips: Sequence[Skipped]) -> str:
    """Say why a node stands in the way, "" where it does not; the rules' words go first."""
    problem = _problem(node, ends)
    if not problem:
        return ""
    said = [skip.reason for skip in skips if not skip.absent]
    if not said and node.kind not in kinds.RELABELS | STAYS:
        said = [skip.reason for skip in skips if skip.reason][-1:]
    return "; ".join(each_once(said)) or problem


def _problem(node: Node, ends: set[Node]) -> str:
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
