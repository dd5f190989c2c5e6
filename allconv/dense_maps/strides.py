"""Output strides: what may be given, and how the cells of a map lie where one is wanted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from allconv.errors import OptionError
from allconv.graph import Graph, Node
from allconv.layers.kinds import MAX_POOLS, WINDOWS
from allconv.resize import InputSize
from allconv.shape_walk import is_count
from allconv.sizes.windows import window_axes

OutputStride = int | Sequence[int]
"""One for all axes, or one for each."""


@dataclass(frozen=True)
class Spacing:
    """How the cells of a map lie along one axis, beside those of the network's own.

    Attributes:
        stride: Cells of the image from one cell to the next.
        apart: Cells from one of the network's own to the next: the dilation of windows on it.
    """

    stride: int = 1
    apart: int = 1

    @property
    def own(self) -> int:
        """The stride of the network's own map."""
        return self.stride * self.apart

    def behind(self, stride: int, wanted: int) -> Spacing:
        """Find the spacing behind a layer with a stride, where a map of this stride is wanted."""
        own = self.own * stride
        kept = math.gcd(own, wanted)
        return Spacing(kept, own // kept)


def counted(output_stride: OutputStride) -> tuple[int, ...]:
    """Return the strides that are given as plain numbers: one, or one for each axis.

    Raises:
        OptionError: They are none.
    """
    several = isinstance(output_stride, (tuple, list))
    strides: Sequence[Any] = output_stride if several else [output_stride]  # type: ignore[assignment]
    if not strides or not all(map(is_count, strides)):
        raise OptionError(
            f"output_stride is {output_stride!r}; expected a number >= 1, or one for each axis"
        )
    return tuple(int(stride) for stride in strides)


def along(output_stride: OutputStride, rank: int) -> tuple[int, ...]:
    """Return the stride that is wanted along each axis of a map; as many as given if not one."""
    strides = counted(output_stride)
    return strides if isinstance(output_stride, (tuple, list)) else strides * rank


def wanted_strides(maps: Graph, output_stride: OutputStride) -> tuple[int, ...]:
    """Return the stride that is wanted along each axis of the maps of a network.

    Raises:
        OptionError: There are not as many as the maps have axes.
    """
    ends = (*maps.inputs, *maps.outputs)
    rank = max(len(node.shape or ()) for node in ends) - 2
    strides = along(output_stride, rank)
    if len(strides) != rank:
        raise OptionError(
            f"output_stride is {output_stride!r}, for maps of {len(strides)} axes; those of model "
            f"'{maps.name}' have {rank}"
        )
    return strides


def refuse_stride_alone(size: InputSize | None, output_stride: OutputStride | None) -> None:
    """Raise an OptionError where a stride is none, or is of the maps of a model that gives none."""
    if output_stride is None:
        return
    counted(output_stride)
    if size is None:
        raise OptionError(
            f"output_stride={output_stride} is of class maps, and without an input_size there are "
            "none; give input_size='any', or the sizes of the image"
        )


def pools_to_refine(graph: Graph, output_stride: OutputStride | None) -> frozenset[str]:
    """Find the names of the max pools of a model whose stride does not stay as it is."""
    if output_stride is None:
        return frozenset()
    spacings: dict[Node, dict[int, Spacing]] = {}
    found = set()
    for node in graph.nodes:
        before = [spacings[source] for source in node.inputs]
        known = max(before, key=len, default={})
        spacings[node] = known
        if node.kind in WINDOWS and (node.shape and len(node.shape) > 2):
            spacings[node] = _behind(node, known, output_stride)
            lies = (*spacings[node].values(), *known.values())
            if node.kind in MAX_POOLS and any(each.apart > 1 for each in lies):
                found.add(node.name)
    return frozenset(found)


def _behind(
    node: Node, before: Mapping[int, Spacing], output_stride: OutputStride
) -> dict[int, Spacing]:
    """Find how the cells lie behind a window, by the number of the axis."""
    axes = window_axes(node)
    wanted = along(output_stride, len(axes))
    if len(wanted) != len(axes):
        return dict(before)  # told by who knows the network's maps
    return {
        axis: before.get(axis, Spacing()).behind(stride, wanted[axis])
        for axis, (_, _, stride, _) in enumerate(axes)
    }
