"""Layers to draw: for each class name a layer with options of all kinds, and inputs to call it on.

    layer, shapes = drawn_layer(data.draw, "Conv2D")

Some of them do not fit, so that refusals are drawn as well.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import strategies as st

from allconv.layers import kinds

keras = pytest.importorskip("keras")
layers = keras.layers

FORMATS = st.sampled_from(["channels_last", "channels_first"])
PADDINGS = st.sampled_from(["valid", "same"])


def drawn_layer(draw, kind):
    """A Keras layer of the class, not built yet, and the shapes of its inputs."""
    drawn, rank = DRAWN[kind]
    return drawn(draw, kind, rank)


def drawn_map(draw, rank, data_format="channels_last", channels=None):
    """A map with `rank` sizes, some of them unknown."""
    sizes = [draw(st.none() | st.integers(1, 9)) for _ in range(rank)]
    channels = [channels or draw(st.integers(1, 6))]
    return (None, *(channels + sizes if data_format == "channels_first" else sizes + channels))


def per_axis(draw, rank, values):
    """One value for all axes, or one for each."""
    return draw(values | st.tuples(*[values] * rank))


def stepped(draw, rank):
    """Strides or dilation: Keras refuses both at once."""
    which = draw(st.sampled_from(["strides", "dilation_rate"]))
    return {which: per_axis(draw, rank, st.integers(1, 3))}


def drawn_conv(draw, kind, rank):
    data_format = draw(FORMATS)
    causal = ["causal"] if kind == "Conv1D" else []
    options = {
        "kernel_size": per_axis(draw, rank, st.integers(1, 4)),
        "padding": draw(st.sampled_from(["valid", "same", *causal])),
        "use_bias": draw(st.booleans()),
        "data_format": data_format,
        **stepped(draw, rank),
    }
    if not kind.startswith("Depthwise"):
        options["filters"] = 6
    if kind.startswith(("Depthwise", "Separable")):
        options["depth_multiplier"] = draw(st.integers(1, 3))
    elif not kind.endswith("Transpose"):
        options["groups"] = draw(st.sampled_from([1, 1, 2, 3]))
    elif draw(st.booleans()):
        # Keras asks for an output padding below the stride.
        options["output_padding"] = 0
        if "strides" in options:
            options |= {"strides": 2, "output_padding": draw(st.integers(0, 1))}
    return getattr(layers, kind)(**options), [drawn_map(draw, rank, data_format)]


def drawn_pool(draw, kind, rank):
    data_format = draw(FORMATS)
    layer = getattr(layers, kind)(
        pool_size=per_axis(draw, rank, st.integers(1, 4)),
        strides=draw(st.none() | st.integers(1, 3)),
        padding=draw(PADDINGS),
        data_format=data_format,
    )
    return layer, [drawn_map(draw, rank, data_format)]


def drawn_global_pool(draw, kind, rank):
    data_format = draw(FORMATS)
    layer = getattr(layers, kind)(data_format=data_format, keepdims=draw(st.booleans()))
    return layer, [drawn_map(draw, rank, data_format)]


def drawn_margin(draw, kind, rank):
    """ZeroPadding and Cropping take `1`, `(1, 2)` and, but for 1D, `((1, 0), (2, 3))`."""
    pair = st.tuples(st.integers(0, 3), st.integers(0, 3))
    if rank > 1:
        pair = st.tuples(*[st.integers(0, 3) | pair] * rank)
    margin = draw(st.integers(0, 3) | pair)
    data_format = draw(FORMATS) if kind != "Cropping1D" else "channels_last"
    options = {"data_format": data_format} if kind != "Cropping1D" else {}
    return getattr(layers, kind)(margin, **options), [drawn_map(draw, rank, data_format)]


def drawn_up_sampling(draw, kind, rank):
    if rank == 1:
        return layers.UpSampling1D(draw(st.integers(1, 3))), [drawn_map(draw, rank)]
    data_format = draw(FORMATS)
    size = per_axis(draw, rank, st.integers(1, 3))
    layer = getattr(layers, kind)(size=size, data_format=data_format)
    return layer, [drawn_map(draw, rank, data_format)]


def drawn_resizing(draw, kind, rank):
    data_format = draw(FORMATS)
    return layers.Resizing(5, 7, data_format=data_format), [drawn_map(draw, rank, data_format)]


def drawn_dense(draw, kind, rank):
    layer = layers.Dense(draw(st.integers(1, 5)), use_bias=draw(st.booleans()))
    return layer, [drawn_map(draw, draw(st.integers(0, 2)))]


def drawn_flatten(draw, kind, rank):
    layer = layers.Flatten(data_format=draw(FORMATS))
    return layer, [drawn_map(draw, draw(st.integers(0, 3)))]


def drawn_reshape(draw, kind, rank):
    target = draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=3))
    if draw(st.booleans()):
        target[draw(st.integers(0, len(target) - 1))] = -1
    return layers.Reshape(target), [(None, *draw(st.sampled_from([(4, 6), (12,), (None, 4)])))]


def drawn_permute(draw, kind, rank):
    dims = draw(st.permutations([1, 2, 3]))
    return layers.Permute(dims), [drawn_map(draw, draw(st.sampled_from([2, 2, 2, 1])))]


def drawn_repeat_vector(draw, kind, rank):
    return layers.RepeatVector(3), [drawn_map(draw, draw(st.sampled_from([0, 0, 1])))]


def drawn_merge(draw, kind, rank):
    """Two inputs that may disagree, or three that do not: Keras stops looking at an unknown."""
    base = [draw(st.integers(2, 4)) for _ in range(3)]
    count = 2 if kind == "Subtract" else draw(st.integers(2, 3))
    wrong = [7] if count == 2 else []
    shapes = [
        [draw(st.sampled_from([size, size, size, 1, None, *wrong])) for size in base]
        for _ in range(count)
    ]
    shapes = [shape[draw(st.integers(0, 2)) :] for shape in shapes]
    batch = draw(st.none() | st.just(5))
    return getattr(layers, kind)(), [(batch, *shapes[0]), *((None, *rest) for rest in shapes[1:])]


def drawn_concatenate(draw, kind, rank):
    axis = draw(st.sampled_from([1, 2, 3, -1, -2]))
    base = [None, *(draw(st.integers(1, 3)) for _ in range(3))]
    other = list(base)
    changed = draw(st.sampled_from([axis % 4, axis % 4, 1]))
    other[changed] = draw(st.none() | st.integers(1, 3))
    return layers.Concatenate(axis=axis), [tuple(base), tuple(other), tuple(base)]


def drawn_normalization(draw, kind, rank):
    shape = drawn_map(draw, 2, channels=4)
    several = {"LayerNormalization", "RMSNormalization", "UnitNormalization"} & {kind}
    options = {"axis": draw(st.sampled_from([-1, 3, *([(3,), [-1]] if several else [])]))}
    if kind == "Normalization":
        options["axis"] = draw(st.sampled_from([-1, None, 3, (3,)]))
        options |= draw(st.sampled_from([{}, {"mean": 1.0, "variance": 2.0}]))
    if kind in ("BatchNormalization", "LayerNormalization", "GroupNormalization"):
        options |= {"center": draw(st.booleans()), "scale": draw(st.booleans())}
    if kind == "GroupNormalization":
        options["groups"] = draw(st.sampled_from([-1, 1, 2, 3, 4, 8]))
    return getattr(layers, kind)(**options), [shape]


def drawn_prelu(draw, kind, rank):
    shared = draw(st.sampled_from([None, [1, 2], [1], [3]]))
    return layers.PReLU(shared_axes=shared), [(None, *(draw(st.integers(1, 5)) for _ in range(3)))]


def drawn_keeping(draw, kind, rank):
    """A layer that keeps every shape, on the map that its class works on."""
    axes = re.search(r"(\d)D$", kind)
    rated = kinds.NOISE | kinds.AUGMENTATIONS | {f"SpatialDropout{axes}D" for axes in (1, 2, 3)}
    arguments = {
        "Activation": ["relu"],
        "Rescaling": [1 / 255],
        "RandomPosterization": [4],
        "RandomTranslation": [0.5, 0.5],
    }.get(kind, [0.5] if kind in rated else [])
    channels = 3 if kind in kinds.AUGMENTATIONS else None
    shape = drawn_map(draw, int(axes[1]) if axes else 2, channels=channels)
    return getattr(layers, kind)(*arguments), [shape]


RANKED = {
    "Conv{}D": drawn_conv,
    "Conv{}DTranspose": drawn_conv,
    "DepthwiseConv{}D": drawn_conv,
    "SeparableConv{}D": drawn_conv,
    "MaxPooling{}D": drawn_pool,
    "AveragePooling{}D": drawn_pool,
    "GlobalMaxPooling{}D": drawn_global_pool,
    "GlobalAveragePooling{}D": drawn_global_pool,
    "ZeroPadding{}D": drawn_margin,
    "Cropping{}D": drawn_margin,
    "UpSampling{}D": drawn_up_sampling,
}
DRAWN = {
    **{
        name.format(rank): (drawn, rank)
        for name, drawn in RANKED.items()
        for rank in (1, 2, 3)
        if hasattr(layers, name.format(rank))
    },
    **dict.fromkeys(kinds.MERGES, (drawn_merge, 0)),
    **dict.fromkeys(kinds.NORMALIZATIONS | {"GroupNormalization"}, (drawn_normalization, 0)),
    **dict.fromkeys(
        (kinds.ACTIVATION_LAYERS | kinds.IDENTITY_AT_INFERENCE | {"Masking", "Rescaling"})
        - {"PReLU"},
        (drawn_keeping, 0),
    ),
    "PReLU": (drawn_prelu, 0),
    "Resizing": (drawn_resizing, 2),
    "Dense": (drawn_dense, 0),
    "Flatten": (drawn_flatten, 0),
    "Reshape": (drawn_reshape, 0),
    "Permute": (drawn_permute, 0),
    "RepeatVector": (drawn_repeat_vector, 0),
    "Concatenate": (drawn_concatenate, 0),
}
