"""Shape arithmetic of transposed convolutions, and the sizes that a convolution makes equal.

A transposed convolution goes from the size that a convolution gives back to the size that it took,
and its window, stride and padding are those of that convolution. A convolution with stride `s`
gives one size for `s` different ones, so the way back is ambiguous: `input_sizes` lists where it
may lead, and `output_padding` says where it does.

The relationships are numbered as in Dumoulin & Visin (arXiv 1603.07285).
"""

from __future__ import annotations

from allconv.errors import ShapeError
from allconv.shapes import Padding, Size, padding_cells, span


def transposed_output(
    size: Size,
    window: int,
    stride: int = 1,
    padding: Padding = "valid",
    output_padding: int | None = None,
    dilation: int = 1,
) -> Size:
    """Return the size of an axis after a transposed convolution.

    Relationship 14, `stride * (size - 1) + output_padding + span - padding`; 8 to 13 are cases of
    it.

    Args:
        size: cells of the axis, None where unknown.
        window: cells of the kernel.
        stride: cells of the result from one window to the next.
        padding: what the convolution adds and its transpose therefore crops: as of `padding_cells`,
            but that "same" is half a window on each side, as in Keras, whatever the stride.
        output_padding: cells added at the end of the result, None for Keras' own choice: with
            "same" the size becomes `size * stride`, with "valid" a window smaller than its stride
            still fills the stride. Paddings that Keras has no name for add nothing.
        dilation: cells from one cell of the window to the next.

    Returns:
        The size of the result, None where `size` is None.

    Raises:
        ShapeError: nothing is left, or the padding is unknown.

    Example:
        >>> transposed_output(7, window=3, stride=2, padding="same")
        14
    """
    before, after = _cropped(window, padding, dilation)
    if size is None:
        return None
    kept = span(window, dilation) - before - after
    if output_padding is None:
        output_padding = _output_padding(kept, stride, padding)
    result = (size - 1) * stride + kept + output_padding
    if result < 1:
        raise ShapeError(
            f"a transposed window of {window} with stride {stride} and output padding "
            f"{output_padding} leaves nothing of a map of {size}"
        )
    return result


def input_sizes(
    size: int, window: int, stride: int = 1, padding: Padding = "valid", dilation: int = 1
) -> range:
    """Return all sizes from which a convolution or a pool gives this size.

    There are `stride` of them, since `floor` in relationship 15 forgets the rest
    `a = (input + padding - span) mod stride`. `a` is a size's index in the range, and the
    `output_padding` with which a transposed convolution comes back to that size. (With "same",
    whose padding depends on the size, that holds for windows that span an odd number of cells.)

    Args:
        size: cells of the result, at least 1.
        window: cells of the kernel or pool.
        stride: cells from one window to the next.
        padding: as of `padding_cells`.
        dilation: cells from one cell of the window to the next.

    Returns:
        The sizes, the smallest first. Sizes below 1 are left out, so a range may be shorter, and
        empty where the padding alone has room for more windows.

    Raises:
        ShapeError: the padding is unknown.

    Example:
        >>> input_sizes(55, window=11, stride=4)
        range(227, 231)
    """
    if padding == "same":
        smallest = (size - 1) * stride + 1
    else:
        before, after = padding_cells(1, window, stride, padding, dilation)
        smallest = (size - 1) * stride + span(window, dilation) - before - after
    return range(max(smallest, 1), max(smallest + stride, 1))


def _cropped(window: int, padding: Padding, dilation: int) -> tuple[int, int]:
    """Return the cells before and after the result that a transposed convolution drops."""
    if padding == "same":
        half = span(window, dilation) // 2
        return half, half
    return padding_cells(1, window, padding=padding, dilation=dilation)


def _output_padding(kept: int, stride: int, padding: Padding) -> int:
    """Return what Keras adds where it is not told; `kept` cells of a window are in the result."""
    if padding == "same":
        return stride - kept
    return max(stride - kept, 0) if padding == "valid" else 0
