"""What the cells see that a layer makes of fewer ones: transposed convolutions and UpSampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from allconv.graph import Node
from allconv.layers.map_shapes import by_axis
from allconv.shapes import span
from allconv.sizes.field import Field, Fields


def transposed(node: Node, fields: Fields) -> Fields:
    """Find the field after a transposed convolution: `j = i * stride - cropped + tap`."""
    config = node.config
    strides, dilation_rate = config.get("strides", 1), config.get("dilation_rate", 1)
    axes = by_axis(fields, config["kernel_size"], strides, dilation_rate)
    padding, given = config.get("padding", "valid"), config.get("output_padding")
    extras = given if isinstance(given, Sequence) else [given] * len(fields)
    return tuple(
        spread(field, range(0, span(cells, dilation), dilation), stride, padding, extra)
        for (field, cells, stride, dilation), extra in zip(axes, extras, strict=True)
    )


def cropped_before(window: int, stride: int, padding: str, extra: int | None) -> int:
    """Count the cells that a transposed convolution leaves out before its result.

    Of what padding `same` drops, half is before the result, as TensorFlow has it. JAX drops half a
    window there whatever the output padding is.
    """
    if padding != "same":
        return 0
    dropped = window - stride if extra is None else 2 * (window // 2) - extra
    return max(dropped, 0) // 2


def spread(field: Field, taps: range, stride: int, padding: str, extra: int | None) -> Field:
    """Find the field after a transposed convolution; `extra`: its output padding, if given."""
    window = taps[-1] + 1
    cropped = cropped_before(window, stride, padding, extra)
    period = stride // math.gcd(taps.step, stride)

    def cells(result: int) -> range:
        """List those whose taps fall on a result: every so many, from one of the first ones on."""
        place = result + cropped
        for number, tap in enumerate(taps[:period]):
            if (place - tap) % stride == 0:
                meeting = taps[number::period]
                first, last = (place - meeting[-1]) // stride, (place - meeting[0]) // stride
                return range(first, last + 1, meeting.step // stride)
        return range(0)

    reach = Fraction(cropped - window + 1, stride), Fraction(cropped, stride)
    return field.spread(stride, cells, reach)


def repeated(node: Node, fields: Fields) -> Fields:
    """Repeat cells by UpSampling: result `j` is input `floor(j / size)`, or mixed of neighbours."""
    radius = RADII.get(node.config.get("interpolation", "nearest"), max(RADII.values()))
    return tuple(mixed(field, size, radius) for field, size in by_axis(fields, node.config["size"]))


RADII = {"nearest": 0, "bilinear": 1, "bicubic": 2, "lanczos3": 3, "lanczos5": 5}
"""From how far away, in cells, interpolations take their cells; those just so far count nothing."""


def mixed(field: Field, size: int, radius: int) -> Field:
    """Find the field after an interpolation that takes cells from so far away."""
    shift = Fraction(1 - size, 2 * size)

    def cells(result: int) -> range:
        place = Fraction(result, size) + shift  # centres of cells lie half a cell from their edges
        if not radius:
            return range(result // size, result // size + 1)
        if place.denominator == 1:
            return range(int(place), int(place) + 1)
        return range(math.floor(place - radius) + 1, math.ceil(place + radius))

    bounds = (shift - radius, shift + radius) if radius else (2 * shift, Fraction(0))
    return field.spread(size, cells, bounds)
