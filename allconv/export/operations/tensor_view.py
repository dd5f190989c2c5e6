"""A tensor as another one seen from elsewhere: axes in another order, some of one cell more.

TensorFlow keeps channels last and ONNX' convolutions want them first, so tf2onnx puts a Transpose
before and behind each. Here no Transpose is computed: it only changes how the tensor before it is
seen. An operator that treats all axes alike, or names the axis that it works along, is then
computed on the tensor as it lies, and so the maps between two convolutions lie as these want them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from allconv.shapes import Shape


@dataclass(frozen=True)
class View:
    """A tensor seen through another one.

    Attributes:
        base: Name of the tensor that there is.
        rank: The number of its axes.
        axes: For each axis that is seen the axis of the base that it is; None for one of size 1
            that the base does not have. Axes of the base that are not seen have size 1.
        shape: What is seen.
    """

    base: str
    rank: int
    axes: tuple[int | None, ...]
    shape: Shape

    @property
    def is_plain(self) -> bool:
        """Whether the tensor is seen as it is."""
        return self.axes == tuple(range(self.rank))

    @property
    def base_shape(self) -> Shape:
        """The shape of the tensor that there is."""
        sizes: list[int | None] = [1] * self.rank
        for axis, size in zip(self.axes, self.shape, strict=True):
            if axis is not None:
                sizes[axis] = size
        return tuple(sizes)

    def permuted(self, order: Sequence[int]) -> View:
        """Put the axes in another order, as `Transpose(perm=order)` does."""
        axes, shape = (tuple(each[axis] for axis in order) for each in (self.axes, self.shape))
        return replace(self, axes=axes, shape=shape)

    def without(self, axes: Sequence[int]) -> View:
        """Drop some axes of size 1."""
        left = [axis for axis in range(len(self.axes)) if axis not in axes]
        return self.permuted(left)

    def with_ones(self, axes: Sequence[int]) -> View:
        """Add axes of size 1, at these places of the new view."""
        old_axes, old_shape = list(self.axes), list(self.shape)
        for axis in sorted(axes):
            old_axes.insert(axis, None)
            old_shape.insert(axis, 1)
        return replace(self, axes=tuple(old_axes), shape=tuple(old_shape))

    def of_rank(self, rank: int) -> View:
        """Add axes of size 1 in front, as NumPy broadcasts."""
        return self.with_ones(range(rank - len(self.axes)))

    def reshaped(self, shape: Shape) -> View | None:
        """View the tensor under another shape; None where that takes more than axes of size 1.

        As many free sizes are taken to be the same ones: no layer merges and splits them at once.
        """
        long = [(axis, size) for axis, size in zip(self.axes, self.shape, strict=True) if size != 1]
        if [size for _, size in long] != [size for size in shape if size != 1]:
            return None
        left = iter(long)
        axes = tuple(None if size == 1 else next(left)[0] for size in shape)
        seen = list(replace(self, axes=axes, shape=tuple(shape)).named_ones())
        turned = self.order() != tuple(sorted(self.order()))
        order = (0, *range(2, self.rank), 1) if turned else tuple(range(self.rank))
        return next((view for view in seen if view.order() == order), seen[0])

    def named_ones(self) -> Iterator[View]:
        """Yield the view in each way in which axes of size 1 may be those of the base not seen."""
        unseen = [axis for axis in range(self.rank) if axis not in self.axes]
        ones = [place for place, axis in enumerate(self.axes) if axis is None]
        for places in combinations(ones, min(len(unseen), len(ones))):
            axes = list(self.axes)
            for place, axis in zip(places, unseen, strict=False):
                axes[place] = axis
            yield replace(self, axes=tuple(axes))

    def order(self) -> tuple[int, ...]:
        """List the axes of the base that are seen, in the order in which they are."""
        return tuple(axis for axis in self.axes if axis is not None)
