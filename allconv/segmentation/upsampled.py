"""Maps of scores brought to the pixels of the image: upsampled, then cropped.

Each map is upsampled at once by its whole stride. Upsampling twice gives other straight lines, so
that a network with skips would not begin as the one without them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from allconv.dtypes import policy_of, variable_dtype
from allconv.errors import ConversionError
from allconv.graph import Node, Spec
from allconv.kernels import bilinear_centre, bilinear_kernel, bilinear_window
from allconv.layout import layout
from allconv.segmentation.margin import of_rank, plain_layer
from allconv.segmentation.position import Position, Positions, crop_between
from allconv.sizes.windows import Margin

MOST_VALUES = 1 << 28
"""Values of a kernel for upsampling: a gigabyte."""


@dataclass(frozen=True)
class Axis:
    """How a map is brought to the pixels along one axis.

    Attributes:
        factor: Cells that each cell of the map becomes.
        part: The part of a cell that its kernel is moved by, so that cells fall on pixels.
        cropped: Cells to leave out before and behind; negative where pixels have no cell, since
            they lie before the first cell of the map or behind its last.
    """

    factor: int
    part: Fraction
    cropped: Margin

    @property
    def missing(self) -> Margin:
        """Count the pixels before and behind that lie between no two cells of the map."""
        # From the kernel's first cell to its middle, and from there to its last.
        middle = bilinear_centre(self.factor, self.part)
        before, behind = self.cropped
        after = bilinear_window(self.factor, self.part) - 1 - middle
        return max(math.ceil(middle) - before, 0), max(math.ceil(after) - behind, 0)


def axes_to_pixels(scores: Node, places: Positions, sizes: Sequence[int]) -> list[Axis]:
    """Work out how a map comes to the pixels of images of these sizes.

    Raises:
        ConversionError: Its stride is no whole number of pixels.
    """
    cells = layout(scores).sizes
    return [
        _axis(scores, place, int(count or 0), size)
        for place, count, size in zip(places, cells, sizes, strict=True)
    ]


def _axis(scores: Node, place: Position, cells: int, size: int) -> Axis:
    stride = 1 / place.scale
    if stride.denominator > 1:
        raise ConversionError(
            f"layer '{scores.name}' ({scores.kind}) gives a cell for every {stride} pixels; a map "
            "is upsampled by whole numbers only"
        )
    factor = int(stride)
    part = -place.shift * factor % 1
    spread = place.spread(factor, bilinear_centre(factor, part))
    before = crop_between(spread, Position())
    assert before is not None  # that is what the part is for
    made = (cells - 1) * factor + bilinear_window(factor, part)
    return Axis(factor, part, (before, made - before - size))


def at_pixels(scores: Node, axes: Sequence[Axis], trainable: bool) -> Node:
    """Upsample a map of scores, each class by itself, and crop it to the image.

    Raises:
        ConversionError: The kernel would be too large, as with a thousand classes.
    """
    factors, parts = [axis.factor for axis in axes], [axis.part for axis in axes]
    stride = "x".join(map(str, dict.fromkeys(factors)))
    policy = policy_of(scores)
    if any(factor > 1 or part for factor, part in zip(factors, parts, strict=True)):
        spec = _upsampling(scores, factors, parts, f"upsample_{stride}")
        scores = spec.with_config(trainable=trainable)(scores)
    cropped = [axis.cropped for axis in axes]
    if any(map(any, cropped)):
        kind, name = f"Cropping{len(axes)}D", f"crop_{stride}"
        scores = plain_layer(kind, name, cropping=of_rank(cropped), dtype=policy)(scores)
    return scores


def _upsampling(scores: Node, factors: Sequence[int], parts: Sequence[Fraction], name: str) -> Spec:
    channels, policy = layout(scores).channels, policy_of(scores)
    kernel = bilinear_kernel(factors, channels, parts)
    if kernel.size > MOST_VALUES:
        raise ConversionError(
            f"the kernel that upsamples {channels} classes by {factors[0]} has {kernel.size:,} "
            "values; give fewer classes"
        )
    spec = plain_layer(
        f"Conv{len(factors)}DTranspose",
        name,
        filters=channels,
        kernel_size=list(kernel.shape[:-2]),
        strides=list(factors),
        padding="valid",
        use_bias=False,
        dtype=policy,
    )
    return replace(spec, weights={"kernel": kernel.in_dtype(variable_dtype(policy))})
