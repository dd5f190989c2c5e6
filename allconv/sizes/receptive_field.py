"""What the cells of a tensor see of the image, worked out from layer to layer.

Along one axis, cell number `i` of a tensor sees the image's cells `first + stride * i` to
`last + stride * i`. A window of `k` cells (dilation included) with stride `s`, over a map padded by
`p` cells before, makes of that

    stride' = stride * s,   first' = first - stride * p,   last' = last + stride * (k - 1 - p)

(Araujo, Norris and Sim 2019, "Computing Receptive Fields of Convolutional Neural Networks",
Distill, equations 2 to 4, written for both ends). A layer that spreads cells out by `s`, as a
transposed convolution does, divides the stride by it. Cells in different *phases*, so far from the
last whole cell, then see the image differently, and each phase has a first and a last of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from allconv.errors import ConversionError
from allconv.graph import ITEM, Graph, Node
from allconv.kernels import ends_of_taps
from allconv.layers import kinds
from allconv.layers.map_shapes import margins
from allconv.layout import layout
from allconv.layout.made_images import images_made_by
from allconv.layout.relabels import axis_origins
from allconv.sizes.field import Field, Fields, united
from allconv.sizes.spread_fields import repeated, transposed
from allconv.sizes.windows import window_axes, window_padding

VAST = 1 << 40
"""Strides that multiply to more than this are none of a network for images."""


def receptive_fields(graph: Graph) -> dict[Node, Fields]:
    """Work out what the cells of every tensor see of a model's images, along each axis.

    Args:
        graph: An all-convolutional network. Where its images have a fixed size, padding `same` is
            that of this size; where they have none, that of multiples of the strides.

    Returns:
        A field for each spatial axis, by node; nodes that see no image are left out. Several images
        count as one, laid on one another.

    Raises:
        ConversionError: A layer is no part of an all-convolutional network, or branches with
            different strides meet.
    """
    found: dict[Node, Fields] = {}
    for node in graph.nodes:
        if node.kind == "InputLayer":
            if len(node.shape or ()) > 2:
                found[node] = (Field(),) * layout(node).rank
            continue
        sources = [source for source in node.inputs if source in found]
        if sources:
            found[node] = _fields(node, sources, found)
            _refuse_vast(node, found[node])
    return found


def _refuse_vast(node: Node, fields: Fields) -> None:
    """Raise a ConversionError where strides multiply beyond the cells that anybody counts."""
    strides = [field.stride for field in fields]
    if any(max(stride.numerator, stride.denominator) > VAST for stride in strides):
        raise ConversionError(
            f"layer '{node.name}' ({node.kind}) has no receptive field: the strides up to it "
            f"multiply to more than {VAST:,} cells"
        )


def common_stride(found: Iterable[Fields], axis: int) -> int:
    """Find the fewest pixels of the image along an axis by which all maps grow by whole cells.

    Raises:
        ConversionError: They are beyond all bounds.
    """
    stride = math.lcm(*(fields[axis].stride.numerator for fields in found if len(fields) > axis))
    if stride > VAST:
        raise ConversionError(f"its maps grow together only by more than {VAST:,} cells at once")
    return stride


def _fields(node: Node, sources: Sequence[Node], found: Mapping[Node, Fields]) -> Fields:
    if len(sources) > 1:
        if node.kind == "Concatenate" and (axis := joined_axis(node)) is not None:
            return _joined(sources, found, axis)
        rank = max(len(found[source]) for source in sources)
        return tuple(_met_along(node, axis, sources, found) for axis in range(-rank, 0))
    if (origins := axis_origins(node)) is not None:
        fields = found[sources[0]]
        return tuple(Field() if origin is None else fields[origin] for origin in origins)
    step = _STEPS.get(node.kind)
    if step is None and node.kind not in CELLWISE:
        raise ConversionError(images_made_by(node) or _no_field(node))
    return step(node, found[sources[0]]) if step else found[sources[0]]


def _no_field(node: Node) -> str:
    return (
        f"layer '{node.name}' ({node.kind}) has no receptive field: it does not work cell by cell, "
        "and nothing can be said of other sizes"
    )


def _windowed(node: Node, fields: Fields) -> Fields:
    """Work out the fields after convolutions and pools."""
    axes = window_axes(node)
    taps = fixed_taps(node) or [(0, cells - 1) for _, cells, _, _ in axes]
    return tuple(
        field.through(range(first * dilation, last * dilation + 1, dilation), stride, before)
        for field, (first, last), (_, _, stride, dilation), (before, _) in zip(
            fields, taps, axes, window_padding(node), strict=True
        )
    )


def fixed_taps(node: Node) -> list[tuple[int, int]] | None:
    """Find the first and last cell of a window, along each axis, that a frozen kernel looks at.

    That of a lowered pool picks cells of its window; the others are no part of what it computes.
    """
    if node.config.get("trainable", True) or not node.spec.weights:
        return None
    if node.kind.startswith("Separable"):  # two kernels; a rule makes none
        return None
    return ends_of_taps(next(iter(node.spec.weights.values())))


def _padded(node: Node, fields: Fields) -> Fields:
    added = margins(node.config["padding"], len(fields))
    return tuple(f.shifted(-before) for f, (before, _) in zip(fields, added, strict=True))


def _cropped(node: Node, fields: Fields) -> Fields:
    taken = margins(node.config["cropping"], len(fields))
    return tuple(f.shifted(before) for f, (before, _) in zip(fields, taken, strict=True))


def _met_along(
    node: Node, axis: int, sources: Sequence[Node], found: Mapping[Node, Fields]
) -> Field:
    """Lay tensors on one another, along an axis counted from the last, as Keras aligns them."""
    having = [source for source in sources if len(found[source]) >= -axis]
    return _met(node, axis, having, [found[source][axis] for source in having])


def _met(node: Node, axis: int, sources: Sequence[Node], fields: Sequence[Field]) -> Field:
    """Lay tensors on one another: see what any sees; one cell for all makes it everything."""
    sizes = [layout(source).sizes[axis] for source in sources]
    stretched = [size == 1 and max(s or 0 for s in sizes) > 1 for size in sizes]
    fields = [field for field, one in zip(fields, stretched, strict=True) if not one]
    strides = {field.stride for field in fields}
    if len(strides) > 1:
        raise ConversionError(
            f"layer '{node.name}' ({node.kind}) has no receptive field: its inputs do not "
            f"grow alike, they have strides {' and '.join(map(str, sorted(strides)))}"
        )
    return united(fields, any(stretched) or any(field.whole for field in fields))


def joined_axis(node: Node) -> int | None:
    """Find the spatial axis along which a Concatenate joins; None where it joins channels."""
    map_layout = layout(node)
    axis = node.config["axis"] % (map_layout.rank + 2)
    return map_layout.spatial_axes.index(axis) if axis in map_layout.spatial_axes else None


def joins_places(node: Node) -> bool:
    """Tell whether a layer joins maps of several places, so that no field tells of all.

    Where the border of a map is repeated, as an exact pool does it, that is padding.
    """
    if node.kind != "Concatenate" or len(node.inputs) < 2 or len(node.shape or ()) < 3:
        return False
    axis = joined_axis(node)
    if axis is None:
        return False
    largest = node.inputs[_largest(node.inputs, axis)]
    border = [source for source in node.inputs if source is not largest]
    cells = [layout(source).sizes[axis] for source in border]
    return not all(source.inputs == (largest,) for source in border) or set(cells) - {1} != set()


def _joined(sources: Sequence[Node], found: Mapping[Node, Fields], axis: int) -> Fields:
    """Join maps side by side, as where a border is repeated: the largest one tells."""
    largest = _largest(sources, axis)
    before = [layout(source).sizes[axis] or 0 for source in sources[:largest]]
    fields = list(found[sources[largest]])
    fields[axis] = fields[axis].shifted(-sum(before))
    return tuple(fields)


def _largest(sources: Sequence[Node], axis: int) -> int:
    sizes = [layout(source).sizes[axis] or 0 for source in sources]
    return sizes.index(max(sizes))


_STEPS: Mapping[str, Callable[[Node, Fields], Fields]] = {
    **dict.fromkeys(kinds.WINDOWS, _windowed),
    **dict.fromkeys(kinds.TRANSPOSED_CONVOLUTIONS, transposed),
    **dict.fromkeys(kinds.UP_SAMPLINGS, repeated),
    **dict.fromkeys(kinds.ZERO_PADDINGS, _padded),
    **dict.fromkeys(kinds.CROPPINGS, _cropped),
}

CELLWISE = frozenset(
    kinds.IDENTITY_AT_INFERENCE
    | kinds.ACTIVATION_LAYERS
    | kinds.NORMALIZATIONS
    | kinds.SCALE_LAYERS
    | kinds.UNARY_OPS
    | kinds.BINARY_OPS
    | kinds.MERGES
    | {"Concatenate", ITEM}
)
