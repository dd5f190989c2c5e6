"""Blocks to draw that only Functional models have: branches, shared layers, models in models."""

from __future__ import annotations

import keras

from tests.drawn_steps import (
    activation,
    average_pool,
    conv,
    errs_on_torch,
    max_pool,
    normalization,
)

layers = keras.layers

MERGES = ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"]


def branches(pencil, x):
    """Two or three ways that keep the sizes, merged."""
    filters = x.shape[pencil.axis]
    pool = {"pool_size": (3,) * pencil.rank, "strides": (1,) * pencil.rank, "padding": "same"}
    pools = ["Max"] if errs_on_torch(pencil, x, pool) else ["Max", "Average"]
    ways = [
        pencil.layer("Conv", filters, 3, padding="same")(x),
        pencil.layer(f"{pencil.one(*pools)}Pooling", **pool)(x),
        pencil.layer("Conv", filters, 1, activation="relu")(x),
        x,
    ]
    first = pencil.number(0, 2)
    if pencil.maybe():
        return layers.Concatenate(axis=pencil.axis)(ways[first:])
    return getattr(layers, pencil.one(*MERGES))()(ways[first : first + 2])


def shared(pencil, x):
    """One convolution called twice, and one pool, on what it gave."""
    same = {"padding": "same"}
    conv = pencil.layer("Conv", x.shape[pencil.axis], 3, activation="relu", **same)
    pool = pencil.layer("MaxPooling", 2, 1, **same)
    return layers.Add()([pool(conv(pool(conv(x)))), x])


def nested(pencil, x):
    """A model inside the model, used twice; Functional or Sequential, with a model of its own."""
    same = {"padding": "same"}
    chain = [
        pencil.layer("Conv", x.shape[pencil.axis], 3, activation="relu", **same),
        pencil.layer("MaxPooling", 2, 1, **same),
    ]
    inner = keras.Sequential([keras.Input(x.shape[1:]), *chain])
    if pencil.maybe():
        image = keras.Input(x.shape[1:])
        inner = keras.Model(image, layers.Add()([inner(image), layers.ReLU()(image)]))
    return inner(inner(x))


def squeeze_excite(pencil, x):
    """Channels scaled by what the whole map holds (Hu et al. 2018, arXiv 1709.01507)."""
    channels, one = x.shape[pencil.axis], pencil.shape((1,) * pencil.rank, x.shape[pencil.axis])
    pool = pencil.one("GlobalAveragePooling", "GlobalAveragePooling", "GlobalMaxPooling")
    if pencil.maybe():
        cell = pencil.layer(pool, keepdims=True)(x)
        cell = pencil.layer("Conv", 2, 1, activation="relu")(cell)
        cell = pencil.layer("Conv", channels, 1, activation="sigmoid")(cell)
    elif pencil.maybe():
        cell = layers.Reshape(one)(pencil.layer(pool)(x))
        cell = pencil.layer("Conv", channels, 1, activation="hard_sigmoid")(cell)
    else:
        vector = pencil.make("Dense", 2, activation="relu")(pencil.layer(pool)(x))
        cell = layers.Reshape(one)(pencil.make("Dense", channels, activation="sigmoid")(vector))
    return layers.Multiply()([x, cell])


def arithmetic(pencil, x):
    """Operators on tensors, and functions of keras.ops."""
    x = 0.5 * x + 1.0 if pencil.maybe() else 1.0 - x
    return pencil.one(keras.ops.relu, keras.ops.tanh, keras.ops.negative, keras.ops.square)(x)


def operations(pencil, x):
    """Functions of keras.ops that are layers, and channels picked."""
    ops, space = keras.ops, tuple(range(1, pencil.rank + 1))
    if pencil.axis == 1:
        space = tuple(range(2, pencil.rank + 2))
    pads = [(pencil.number(0, 2), 1) if axis in space else (0, 0) for axis in range(len(x.shape))]
    picks = (
        (slice(None), slice(None, None, -1)) if pencil.axis == 1 else (..., slice(None, None, -1))
    )
    lies = {"data_format": pencil.data_format}
    step = pencil.one(
        lambda x: ops.max_pool(x, 2, strides=1, padding="same", **lies),
        lambda x: ops.average_pool(x, 1, strides=2, **lies),
        lambda x: ops.pad(x, pads),
        lambda x: ops.concatenate([x, -x], axis=pencil.axis),
        lambda x: x[picks],
        lambda x: ops.flip(x, axis=pencil.axis),
        lambda x: x + ops.mean(x, axis=space, keepdims=True),
        lambda x: x * ops.max(x, axis=space, keepdims=True),
        lambda x: ops.softmax(x, axis=pencil.axis),
    )
    return step(x)


def pre_activated(pencil, x):
    """Normalization and activation before each convolution, as in ResNet v2, and a shortcut."""
    y = activation(pencil, normalization(pencil, x))
    y = pencil.layer("Conv", x.shape[pencil.axis], 3, padding="same")(y)
    return layers.Add()([x, y])


def joined(pencil, x):
    """Two chains whose results are pooled to one cell, and concatenated along the channels."""
    ways = [pencil.one(conv, max_pool, average_pool)(pencil, x) for _ in range(2)]
    cells = [pencil.layer("GlobalAveragePooling", keepdims=True)(way) for way in ways]
    return layers.Concatenate(axis=pencil.axis)(cells)


BLOCKS = [
    *[branches, branches, shared, nested],
    *[squeeze_excite, squeeze_excite, arithmetic, operations, pre_activated, joined],
]
