"""Channels that are picked, turned round or put in another order: a 1x1 convolution."""

from __future__ import annotations

from dataclasses import dataclass

from allconv.dtypes import holds_integers
from allconv.graph import ITEM, OF_ALIKE, Node
from allconv.kernels import picking_kernel
from allconv.layers.indexing import entries, is_number, numbers_of, numbers_taken
from allconv.layout import is_map, layout
from allconv.rule import Match, Outcome, rule
from allconv.rules.windows import convolution

NO_CHANNELS = (
    "it does not pick channels of one map; write it as layers: a border is taken away by Cropping"
)

JOINS = ("ops.Stack", "Concatenate")


@dataclass(frozen=True)
class Picked:
    """Channels of a map.

    Attributes:
        source: The map.
        numbers: The channels' numbers, in their new order.
        alone: One channel without the axis that it lay along.
    """

    source: Node
    numbers: tuple[int, ...]
    alone: bool = False


@rule(layer=("ops.GetItem", "ops.Take", "ops.Flip", ITEM, *JOINS), keeps="function")
def channels_picked_to_conv(match: Match) -> Outcome:
    """Channels picked, turned round, or stacked in another order  ->  a 1x1 convolution.

    Its kernel has a one for each channel that is picked. So the images of `preprocess_input` need
    no slice: `x[..., ::-1]`, or a stack of `x[..., 2]`, `x[..., 1]`, `x[..., 0]`.
    """
    node = match.node
    found = picked(node)
    if found is None:
        return match.absent(NO_CHANNELS)
    if found.alone:
        return match.skip("it removes the axis of the channels")
    if all(user.kind in JOINS and picked(user) for user in match.users(node)):
        return match.absent("the layer that joins the channels picks them")
    if holds_integers(found.source):
        return match.skip(
            "it picks channels of whole numbers, which no convolution gives; cast them before, "
            "keras.ops.cast(x, 'float32')"
        )
    channels = layout(found.source).channels
    kernel = picking_kernel(channels, found.numbers, layout(found.source).rank)
    return convolution(match, found.source, "", {"kernel": kernel})


def picked(node: Node) -> Picked | None:
    """Say which channels of which map a node gives, None where it gives anything else."""
    if node.kind in JOINS:
        return _joined(node)
    source = node.inputs[0] if node.inputs else node
    if node.kind == ITEM and source.kind in OF_ALIKE:
        return _part(source, node.config["index"])
    if not node.inputs or not node.args or not is_map(source):
        return None
    axes = len(source.shape or ())
    axis = layout(source).channel_axis % axes
    if node.kind == "ops.GetItem":
        return _indexed(node, source, axis)
    if node.kind in OF_ALIKE:
        return _part(node, 0)
    if node.kind == "ops.Flip" and _is_axis(node.config.get("axis"), axis, axes):
        return Picked(source, tuple(range(layout(source).channels))[::-1])
    if node.kind == "ops.Take" and _is_axis(node.config.get("axis"), axis, axes):
        return _taken(node, source)
    return None


def _is_axis(said: object, axis: int, axes: int) -> bool:
    listed = said if isinstance(said, (list, tuple)) else [said]
    return [number % axes for number in listed if is_number(number)] == [axis]


def _indexed(node: Node, source: Node, axis: int) -> Picked | None:
    each = entries(node.args[-1], len(source.shape or ()))
    if each is None:
        return None
    others = [entry for place, entry in enumerate(each) if place != axis]
    if any(entry != slice(None) for entry in others):
        return None
    numbers = numbers_of(each[axis], layout(source).channels)
    return Picked(source, numbers, not isinstance(each[axis], slice)) if numbers else None


def _taken(node: Node, source: Node) -> Picked | None:
    numbers, channels = numbers_taken(node.args[-1]), layout(source).channels
    listed = (numbers,) if isinstance(numbers, int) else numbers or ()
    if not listed or not all(-channels <= number < channels for number in listed):
        return None
    return Picked(source, tuple(n % channels for n in listed), alone=isinstance(numbers, int))


def _part(node: Node, index: int) -> Picked | None:
    """Return one of the tensors that an Unstack or a Split gives."""
    source = node.inputs[0]
    if not is_map(source) or node.shape is None:
        return None
    axes, channels = len(source.shape or ()), layout(source).channels
    if not _is_axis(node.config.get("axis", 0), layout(source).channel_axis % axes, axes):
        return None
    alone = node.kind == "ops.Unstack"
    each = 1 if alone else layout(node).channels
    numbers = range(channels)[index * each : (index + 1) * each]
    return Picked(source, tuple(numbers), alone) if len(numbers) == each else None


def _joined(node: Node) -> Picked | None:
    """Return the channels of one map side by side."""
    if node.shape is None or not is_map(node):
        return None
    parts = [picked(source) for source in node.inputs]
    known = [part for part in parts if part]
    alone = node.kind == "ops.Stack"
    if len(known) < len(parts) or any(part.source is not known[0].source for part in known):
        return None
    axes = len(node.shape)
    axis = layout(known[0].source).channel_axis % axes
    same_axes = axes == len(known[0].source.shape or ())
    if not same_axes or not _is_axis(node.config.get("axis", 0), axis, axes):
        return None
    if any(part.alone != alone for part in known):
        return None
    return Picked(known[0].source, tuple(n for part in known for n in part.numbers), False)
