"""Shape arithmetic of one axis at a time, and broadcasting.

A *size* is the number of cells along one axis, None where it is unknown; a *shape* is a tuple of
sizes, `(batch, height, width, channels)` for a map. Unknown sizes flow through: what cannot be
worked out is None, never a guess.

The relationships are numbered as in Dumoulin & Visin, "A guide to convolution arithmetic for deep
learning" (arXiv 1603.07285). A window of `k` cells with dilation `d` spans `(k - 1) * d + 1` cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from allconv.errors import ShapeError

Size = int | None
Shape = tuple[Size, ...]
Padding = str | tuple[int, int]


def span(window: int, dilation: int = 1) -> int:
    """Number of cells from the first to the last cell of a dilated window, both included."""
    return (window - 1) * dilation + 1


def window_output(
    size: Size, window: int, stride: int = 1, padding: Padding = "valid", dilation: int = 1
) -> Size:
    """Number of places where a window fits on an axis: the size after a convolution or a pool.

    Relationship 15, `floor((size + padding - span) / stride) + 1`; 1 to 7 are cases of it.

    Args:
        size: cells of the axis, None where unknown.
        window: cells of the kernel or pool.
        stride: cells from one window to the next.
        padding: "valid" for none, "same" for Keras' rule (see `same_padding`), or the cells added
            `(before, after)`, negative where cells are cropped.
        dilation: cells from one cell of the window to the next.

    Returns:
        The size of the result, None where `size` is None.

    Raises:
        ShapeError: the window does not fit even once, or the padding is unknown.

    Example:
        >>> window_output(28, window=3, stride=2)
        13
    """
    if isinstance(padding, str) and padding not in ("valid", "same"):
        raise ShapeError(
            f"the padding is {padding!r}, expected 'valid', 'same' or a pair (before, after)"
        )
    if size is None:
        return None
    if padding == "same":
        return -(-size // stride)
    before, after = (0, 0) if isinstance(padding, str) else padding
    room = size + before + after - span(window, dilation)
    if room < 0:
        raise ShapeError(_does_not_fit(size, window, dilation, before, after))
    return room // stride + 1


def same_padding(size: int, window: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Cells that `padding="same"` adds before and after an axis, the smaller half first.

    TensorFlow's rule, which Keras follows on every backend: just enough for `ceil(size / stride)`
    windows (https://www.tensorflow.org/api_docs/python/tf/nn, "Notes on padding").

    Example:
        >>> same_padding(28, window=3, stride=2)
        (0, 1)
    """
    windows = -(-size // stride)
    total = max((windows - 1) * stride + span(window, dilation) - size, 0)
    return total // 2, total - total // 2


def transposed_output(
    size: Size,
    window: int,
    stride: int,
    padding: str,
    output_padding: int | None = None,
    dilation: int = 1,
) -> Size:
    """Size of an axis after a transposed convolution.

    Relationship 14, `stride * (size - 1) + span - cropped + output_padding`, where "valid" crops
    nothing and "same" crops `span` down to its remainder by two. Without `output_padding` Keras
    takes the one that makes the size `size * stride` for "same", and for "valid" the one that lets
    a window smaller than its stride still fill the stride.

    Args:
        size: cells of the axis, None where unknown.
        window: cells of the kernel.
        stride: cells of the result from one window to the next.
        padding: "valid" or "same".
        output_padding: cells added at the end of the result, None for Keras' own choice.
        dilation: cells from one cell of the window to the next.

    Returns:
        The size of the result, None where `size` is None.

    Raises:
        ShapeError: nothing is left, or the padding is unknown.

    Example:
        >>> transposed_output(7, window=3, stride=2, padding="same")
        14
    """
    if padding not in ("valid", "same"):
        raise ShapeError(f"the padding is {padding!r}, expected 'valid' or 'same'")
    if size is None:
        return None
    spanned = span(window, dilation)
    kept = spanned if padding == "valid" else spanned % 2
    if output_padding is None:
        output_padding = max(stride - spanned, 0) if padding == "valid" else stride - kept
    result = (size - 1) * stride + kept + output_padding
    if result < 1:
        raise ShapeError(
            f"a transposed window of {window} with stride {stride} and output padding "
            f"{output_padding} leaves nothing of a map of {size}"
        )
    return result


def product(sizes: Iterable[Size]) -> Size:
    """Product of sizes, None where one of them is unknown."""
    total = 1
    for size in sizes:
        if size is None:
            return None
        total *= size
    return total


def broadcast(shapes: Sequence[Shape], *, forget_unknown: bool = False) -> Shape:
    """Shape of an element-by-element operation: aligned at the last axis, 1 stretches to any size.

    Args:
        shapes: the shapes of the operands, at least one.
        forget_unknown: what None and a known size above 1 make. NumPy's rule, and that of
            `keras.ops`, is the known size, the only one that can work out; Keras' merge layers
            answer None.

    Raises:
        ShapeError: two operands have different sizes on one axis.

    Example:
        >>> broadcast([(None, 8, 8, 3), (None, 1, 1, 3)])
        (None, 8, 8, 3)
    """
    rank = max(map(len, shapes))
    aligned = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(_common_size(axis, shapes, forget_unknown) for axis in zip(*aligned, strict=True))


def _common_size(sizes: Sequence[Size], shapes: Sequence[Shape], forget_unknown: bool) -> Size:
    """The size that operands of these sizes on one axis have together."""
    known = [size for size in dict.fromkeys(sizes) if size is not None and size != 1]
    if len(known) > 1:
        first, second = (shapes[sizes.index(size)] for size in known[:2])
        raise ShapeError(
            f"shapes {first} and {second} do not go together: {known[0]} against {known[1]} cells"
        )
    if None in sizes and (forget_unknown or not known):
        return None
    return known[0] if known else 1


def _does_not_fit(size: int, window: int, dilation: int, before: int, after: int) -> str:
    """A window of 3 with dilation 2 (5 cells) does not fit a map of 2 padded by 1 + 1."""
    dilated = f" with dilation {dilation} ({span(window, dilation)} cells)" if dilation > 1 else ""
    padded = f" padded by {before} + {after}" if before or after else ""
    return f"a window of {window}{dilated} does not fit a map of {size}{padded}"
