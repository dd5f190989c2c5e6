"""A window on a map that has more cells than before: a smaller stride, dilation, padding spelt out.

Where the map has every cell that the strides before left out, the cells of one window lie apart by
as much: its dilation is theirs. Its own stride is left to the layers behind, as far as nothing of
it is wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from allconv.dense_maps.strides import Spacing
from allconv.graph import Node, Spec
from allconv.layers.kinds import MAX_POOLS
from allconv.layers.unwritten import may_be_unwritten
from allconv.rule import Match
from allconv.rules.windows import strided, zero_padded
from allconv.shapes import same_padding
from allconv.sizes.windows import Margin, window_axes, window_padding


@dataclass(frozen=True)
class Moves:
    """How a window is to move over the map with more cells, along each axis.

    Attributes:
        strides: The part of its strides that stays.
        dilation: From one of its cells to the next.
        pads: Cells of padding before and behind.
        same: Padding `same`, or `causal`, adds just as many.
    """

    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: tuple[Margin, ...]
    same: bool

    @property
    def in_two(self) -> bool:
        """Whether a stride and a dilation meet, which Keras refuses in one layer."""
        return max(self.strides) > 1 and max(self.dilation) > 1


def moves(node: Node, before: Sequence[Spacing], after: Sequence[Spacing]) -> Moves:
    """Work out how the window of a node moves where the cells before and behind it lie so."""
    axes, pads = window_axes(node), window_padding(node)
    apart = [spacing.apart for spacing in before]
    spread = tuple(
        (first * each, last * each) for (first, last), each in zip(pads, apart, strict=True)
    )
    dilation = tuple(
        own * each if cells > 1 else 1 for (_, cells, _, own), each in zip(axes, apart, strict=True)
    )
    return Moves(
        strides=tuple(new.stride // old.stride for old, new in zip(before, after, strict=True)),
        dilation=dilation,
        pads=spread,
        same=all(stride == 1 for _, _, stride, _ in axes) and _adds(node, dilation, spread),
    )


def _adds(node: Node, dilation: Sequence[int], pads: Sequence[Margin]) -> bool:
    """Tell whether the layer's own padding adds these cells with this dilation, too."""
    if node.config.get("padding") != "same":
        return True
    windows = [cells for _, cells, _, _ in window_axes(node)]
    axes = zip(windows, dilation, pads, strict=True)
    return all(same_padding(1, cells, 1, each) == added for cells, each, added in axes)


def pool_problem(node: Node, moves: Moves) -> str:
    """Say why a pool cannot move in this way, "" where it can."""
    way_out = "leave pooling='keep' out"
    if max(moves.dilation) > 1:
        sizes = "x".join(map(str, moves.dilation))
        return f"its window needs a dilation of {sizes}, and Keras has no dilated pool; {way_out}"
    if not moves.same and any(map(any, moves.pads)):
        word = "the smallest number" if node.kind in MAX_POOLS else "nothing"
        return f"it pads with {word} by its stride, which no layer before it does; {way_out}"
    return ""


def moved(match: Match, tensor: Node, spec: Spec, moves: Moves) -> Node:
    """Make the layer with its window moving in this way, as one layer or as two."""
    padded = tensor if moves.same else zero_padded(match, tensor, moves.pads)
    result = match.again(match.node, padded, spec=spec)
    result = replace(result, lower_bound=match.node.lower_bound)
    strides = tuple(result.config["strides"])
    left = tuple(wanted // taken for wanted, taken in zip(moves.strides, strides, strict=True))
    if max(left) == 1:
        return result
    return strided(match, result, "strided", left)


def settings(node: Node, moves: Moves, channels: int) -> dict[str, object]:
    """Find the settings of the layer that change: its part of the stride, dilation, padding."""
    found: dict[str, object] = {"strides": moves.strides}
    if "pool_size" not in node.config:
        found["dilation_rate"] = moves.dilation
        if moves.in_two or _lacks_strides(node, moves, channels):
            found["strides"] = (1,) * len(moves.strides)
    if not moves.same:
        found["padding"] = "valid"
    return {key: value for key, value in found.items() if value != _plain(node.config.get(key))}


def _plain(setting: object) -> object:
    return tuple(setting) if isinstance(setting, list) else setting


def _lacks_strides(node: Node, moves: Moves, channels: int) -> bool:
    """Tell whether TensorFlow lacks such a layer with these strides, or leaves cells unwritten."""
    if max(moves.strides) == 1:
        return False
    if node.kind.startswith(("Depthwise", "Separable")) and len(set(moves.strides)) > 1:
        return True
    window = [cells for _, cells, _, _ in window_axes(node)]
    return may_be_unwritten(channels, window, moves.strides, (None,) * len(window))
