"""Convolutions of which TensorFlow with oneDNN leaves cells unwritten.

They have one channel, and their result has one column. Where their stride is one along the rows and
more along the columns, cells of other rows than the first hold whatever was in memory (TensorFlow
2.21 and earlier on CPUs with AVX-512, where oneDNN is on by itself). A network of ordinary pools
may have such convolutions once it is converted, above all one of three axes.
"""

from __future__ import annotations

from collections.abc import Sequence

from allconv.shapes import Size


def may_be_unwritten(
    channels: int | None, window: Sequence[int], strides: Sequence[int], results: Sequence[Size]
) -> bool:
    """Tell whether oneDNN may leave cells of a convolution's result unwritten.

    Args:
        channels: Of what it takes.
        window: Cells of its kernel along each axis.
        strides: Along each axis.
        results: Sizes of its result, None where they are free.
    """
    if channels != 1 or len(window) < 2 or window[-1] == 1:
        return False
    return strides[-2] == 1 < strides[-1] and results[-2] != 1 and results[-1] in (1, None)
