"""Shape arithmetic of one axis at a time, and broadcasting.

A *size* is the number of cells along one axis, None where it is unknown; a *shape* is a tuple of
sizes, `(batch, height, width, channels)` for a map. Unknown sizes flow through: what cannot be
worked out is None, never a guess.

The relationships are numbered as in Dumoulin & Visin, "A guide to convolution arithmetic for deep
learning" (arXiv 1603.07285); `transposed_shapes` has those of transposed convolutions. A window of
`k` cells with dilation `d` spans `(k - 1) * d + 1` cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from allconv.errors import ShapeError

Size = int | None
Shape = tuple[Size, ...]
Padding = str | tuple[int, int]


def span(window: int, dilation: int = 1) -> int:
    """Count the cells from the first to the last cell of a dilated window, both included."""
    return (window - 1) * dilation + 1


def window_output(
    size: Size, window: int, stride: int = 1, padding: Padding = "valid", dilation: int = 1
) -> Size:
    """Count the places where a window fits on an axis: the size after a convolution or a pool.

    Relationship 15, `floor((size + padding - span) / stride) + 1`; 1 to 7 are cases of it.

    Args:
        size: cells of the axis, None where unknown.
        window: cells of the kernel or pool.
        stride: cells from one window to the next.
        padding: a name or the cells added `(before, after)`, as of `padding_cells`.
        dilation: cells from one cell of the window to the next.

    Returns:
        The size of the result, None where `size` is None.

    Raises:
        ShapeError: the window does not fit even once, or the padding is unknown.

    Example:
        >>> window_output(28, window=3, stride=2)
        13
    """
    before, after = padding_cells(1 if size is None else size, window, stride, padding, dilation)
    if size is None:
        return None
    room = size + before + after - span(window, dilation)
    if room < 0:
        raise ShapeError(_does_not_fit(size, window, dilation, before, after))
    return room // stride + 1


def padding_cells(
    size: int, window: int, stride: int = 1, padding: Padding = "valid", dilation: int = 1
) -> tuple[int, int]:
    """Count the cells that a padding adds before and after an axis, negative where it crops.

    Args:
        size: cells of the axis; only "same" with a stride above 1 depends on it.
        window: cells of the kernel or pool.
        stride: cells from one window to the next.
        padding: "valid" for none; "same" for Keras' rule (see `same_padding`); "causal" for as many
            before that no window looks ahead; "full" for every window that holds a cell of the axis
            (relationship 4); or the cells themselves `(before, after)`.
        dilation: cells from one cell of the window to the next.

    Raises:
        ShapeError: the padding is unknown.

    Example:
        >>> padding_cells(28, window=3, padding="full")
        (2, 2)
    """
    reach = span(window, dilation) - 1
    match padding:
        case "valid":
            return 0, 0
        case "same":
            return same_padding(size, window, stride, dilation)
        case "causal":
            return reach, 0
        case "full":
            return reach, reach
        case (before, after):
            return before, after
    raise ShapeError(
        f"the padding is {padding!r}, expected 'valid', 'same', 'causal', 'full' or a pair "
        "(before, after)"
    )


def same_padding(size: int, window: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Count the cells that `padding="same"` adds before and after an axis, the smaller half first.

    TensorFlow's rule, which Keras follows on every backend: just enough for `ceil(size / stride)`
    windows (https://www.tensorflow.org/api_docs/python/tf/nn, "Notes on padding").

    Example:
        >>> same_padding(28, window=3, stride=2)
        (0, 1)
    """
    windows = -(-size // stride)
    total = max((windows - 1) * stride + span(window, dilation) - size, 0)
    return total // 2, total - total // 2


def product(sizes: Iterable[Size]) -> Size:
    """Multiply sizes; None where one of them is unknown."""
    total = 1
    for size in sizes:
        if size is None:
            return None
        total *= size
    return total


def broadcast(shapes: Sequence[Shape], *, forget_unknown: bool = False) -> Shape:
    """Return the shape of an element-by-element operation: aligned at the last axis, 1 stretches.

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
    """Return the size that operands of these sizes on one axis have together."""
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
    """Write that a window of 3 with dilation 2 (5 cells) does not fit a map of 2."""
    dilated = f" with dilation {dilation} ({span(window, dilation)} cells)" if dilation > 1 else ""
    padded = f" padded by {before} + {after}" if before or after else ""
    return f"a window of {window}{dilated} does not fit a map of {size}{padded}"
