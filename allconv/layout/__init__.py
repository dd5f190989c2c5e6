"""How a map lies in its tensor: which axes are spatial and which one holds the channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard
from weakref import WeakKeyDictionary

from allconv.graph import Node, topological
from allconv.layers.kinds import CONVOLUTIONS
from allconv.shapes import Shape

Sizes = tuple[int | None, ...]


@dataclass(frozen=True)
class Layout:
    """A tensor `(batch, *sizes, channels)`, or `(batch, channels, *sizes)` if channels are first.

    Attributes:
        data_format: `"channels_last"` or `"channels_first"`.
        sizes: Spatial sizes, None where free.
        channels: Number of channels.
    """

    data_format: str
    sizes: Sizes
    channels: int

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.sizes)

    @property
    def channels_first(self) -> bool:
        """Whether the channels come before the spatial axes."""
        return self.data_format == "channels_first"

    @property
    def channel_axis(self) -> int:
        """Axis of the channels in the tensor, as Keras' `axis` arguments count."""
        return 1 if self.channels_first else -1

    @property
    def spatial_axes(self) -> tuple[int, ...]:
        """Axes of the sizes in the tensor."""
        first = 2 if self.channels_first else 1
        return tuple(range(first, first + self.rank))

    @property
    def is_cell(self) -> bool:
        """Whether the map has one cell only, 1x1."""
        return all(size == 1 for size in self.sizes)

    def shape(self, sizes: Sizes, channels: int) -> tuple[int | None, ...]:
        """Return the shape, without the batch, of another map that lies in the same way."""
        return (channels, *sizes) if self.channels_first else (*sizes, channels)

    def flattened(self, data_format: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Find the order in which a `Flatten` of some data format takes this map.

        Keras' `Flatten(data_format="channels_first")` first moves axis 1 to the end, whatever it
        holds, and then flattens row by row.

        Returns:
            The axes of `(*sizes, channels)`, numbered 0, 1, ..., in the order of the flattened
            tensor, and their sizes. All sizes must be known.
        """
        numbers = list(range(self.rank + 1))
        tensor = [numbers[-1], *numbers[:-1]] if self.channels_first else numbers
        order = [*tensor[1:], tensor[0]] if data_format == "channels_first" else tensor
        lengths = (*self.sizes, self.channels)
        return tuple(order), tuple(int(lengths[axis] or 0) for axis in order)

    @property
    def cells(self) -> int:
        """Number of cells of a map of known sizes."""
        return math.prod(size or 0 for size in self.sizes)


def layout(node: Node, data_format: str | None = None) -> Layout:
    """Say how the map that a node returns lies in its tensor.

    Args:
        node: Returns a map.
        data_format: As the layer that takes the map says; by default, as those that made it say.
    """
    assert node.shape is not None
    if (data_format or node.data_format) == "channels_first":
        return Layout("channels_first", node.shape[2:], int(node.shape[1] or 0))
    return Layout("channels_last", node.shape[1:-1], int(node.shape[-1] or 0))


def is_map(node: Node) -> bool:
    """Tell whether a node returns a map of one to three axes with known channels."""
    return node.shape is not None and 2 < len(node.shape) < 6 and bool(layout(node).channels)


def are_known(sizes: Sizes) -> TypeGuard[tuple[int, ...]]:
    """Tell whether all sizes are known."""
    return all(size is not None for size in sizes)


def is_vector(node: Node) -> bool:
    """Tell whether a node returns one vector per image, of known length."""
    return node.shape is not None and len(node.shape) == 2 and node.shape[1] is not None


def origin_of_vector(vector: Node) -> Node | None:
    """Find the layer that made a vector of something else; None for the model's own input."""
    seen, stack = set(), [vector]
    while stack:
        node = stack.pop()
        if node in seen or node.kind == "InputLayer":
            continue
        if not all(is_vector(source) for source in node.inputs):
            return node
        seen.add(node)
        stack.extend(node.inputs)
    return None


_MASKED: WeakKeyDictionary[Node, bool] = WeakKeyDictionary()
"""What `carries_mask` found, so that many layers of one network walk up each of its layers once."""


def carries_mask(node: Node) -> bool:
    """Tell whether Keras may hand a mask down with a tensor, from a layer above."""
    for above in topological([node], known=_MASKED):
        begins = above.kind == "Masking" or bool(above.config.get("mask_zero"))
        _MASKED[above] = begins or any(_MASKED[source] for source in above.inputs)
    return _MASKED[node]


def is_along(axes: int | Sequence[int], axis: int, rank: int) -> bool:
    """Tell whether a setting names this axis of a tensor and no other; negative: from its end."""
    listed = [axes] if isinstance(axes, int) else axes
    return [i % rank for i in listed] == [axis % rank]


def is_biased_along_width(conv: Node, shape: Shape | None) -> bool:
    """Tell whether Keras on TensorFlow adds a bias along the width of a map of this shape.

    Keras 3.15's `ops.add` takes it for one of the last axis (`tf.nn.bias_add`) where channels come
    first and the map is as wide as there are filters.
    """
    first = conv.kind in CONVOLUTIONS and conv.data_format == "channels_first"
    return first and shape is not None and 1 != shape[1] == shape[-1]
