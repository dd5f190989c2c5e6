"""Blocks to draw that only Functional models have: branches, shared layers, models in models."""

from __future__ import annotations

import keras

from tests.helpers.drawn_steps import (
    activation,
    average_pool,
    conv,
    errs_on_torch,
    max_pool,
    normalization,
)

layers = keras.layers

MERGES = ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"]


def branches(chance, x):
    """Two or three ways that keep the sizes, merged."""
    filters = x.shape[chance.axis]
    pool = {"pool_size": (3,) * chance.rank, "strides": (1,) * chance.rank, "padding": "same"}
    pools = ["Max"] if errs_on_torch(chance, x, pool) else ["Max", "Average"]
    ways = [
        chance.layer("Conv", filters, 3, padding="same")(x),
        chance.layer(f"{chance.one(*pools)}Pooling", **pool)(x),
        chance.layer("Conv", filters, 1, activation="relu")(x),
        x,
    ]
    first = chance.number(0, 2)
    if chance.maybe():
        return layers.Concatenate(axis=chance.axis)(ways[first:])
    return getattr(layers, chance.one(*MERGES))()(ways[first : first + 2])


def shared(chance, x):
    """One convolution called twice, and one pool, on what it gave."""
    same = {"padding": "same"}
    conv = chance.layer("Conv", x.shape[chance.axis], 3, activation="relu", **same)
    pool = chance.layer("MaxPooling", 2, 1, **same)
    return layers.Add()([pool(conv(pool(conv(x)))), x])


def nested(chance, x):
    """A model inside the model, used twice; Functional or Sequential, with a model of its own."""
    same = {"padding": "same"}
    chain = [
        chance.layer("Conv", x.shape[chance.axis], 3, activation="relu", **same),
        chance.layer("MaxPooling", 2, 1, **same),
    ]
    inner = keras.Sequential([keras.Input(x.shape[1:]), *chain])
    if chance.maybe():
        image = keras.Input(x.shape[1:])
        inner = keras.Model(image, layers.Add()([inner(image), layers.ReLU()(image)]))
    return inner(inner(x))


def squeeze_excite(chance, x):
    """Channels scaled by what the whole map holds (Hu et al. 2018, arXiv 1709.01507)."""
    channels, one = x.shape[chance.axis], chance.shape((1,) * chance.rank, x.shape[chance.axis])
    pool = chance.one("GlobalAveragePooling", "GlobalAveragePooling", "GlobalMaxPooling")
    if chance.maybe():
        cell = chance.layer(pool, keepdims=True)(x)
        cell = chance.layer("Conv", 2, 1, activation="relu")(cell)
        cell = chance.layer("Conv", channels, 1, activation="sigmoid")(cell)
    elif chance.maybe():
        cell = layers.Reshape(one)(chance.layer(pool)(x))
        cell = chance.layer("Conv", channels, 1, activation="hard_sigmoid")(cell)
    else:
        vector = chance.make("Dense", 2, activation="relu")(chance.layer(pool)(x))
        cell = layers.Reshape(one)(chance.make("Dense", channels, activation="sigmoid")(vector))
    return layers.Multiply()([x, cell])


def arithmetic(chance, x):
    """Operators on tensors, and functions of keras.ops."""
    x = 0.5 * x + 1.0 if chance.maybe() else 1.0 - x
    return chance.one(keras.ops.relu, keras.ops.tanh, keras.ops.negative, keras.ops.square)(x)


def operations(chance, x):
    """Functions of keras.ops that are layers, and channels picked."""
    ops, space = keras.ops, tuple(range(1, chance.rank + 1))
    if chance.axis == 1:
        space = tuple(range(2, chance.rank + 2))
    pads = [(chance.number(0, 2), 1) if axis in space else (0, 0) for axis in range(len(x.shape))]
    picks = (
        (slice(None), slice(None, None, -1)) if chance.axis == 1 else (..., slice(None, None, -1))
    )
    lies = {"data_format": chance.data_format}
    step = chance.one(
        lambda x: ops.max_pool(x, 2, strides=1, padding="same", **lies),
        lambda x: ops.average_pool(x, 1, strides=2, **lies),
        lambda x: ops.pad(x, pads),
        lambda x: ops.concatenate([x, -x], axis=chance.axis),
        lambda x: x[picks],
        lambda x: ops.flip(x, axis=chance.axis),
        lambda x: x + ops.mean(x, axis=space, keepdims=True),
        lambda x: x * ops.max(x, axis=space, keepdims=True),
        lambda x: ops.softmax(x, axis=chance.axis),
    )
    return step(x)


def pre_activated(chance, x):
    """Normalization and activation before each convolution, as in ResNet v2, and a shortcut."""
    y = activation(chance, normalization(chance, x))
    y = chance.layer("Conv", x.shape[chance.axis], 3, padding="same")(y)
    return layers.Add()([x, y])


def joined(chance, x):
    """Two chains whose results are pooled to one cell, and concatenated along the channels."""
    ways = [chance.one(conv, max_pool, average_pool)(chance, x) for _ in range(2)]
    cells = [chance.layer("GlobalAveragePooling", keepdims=True)(way) for way in ways]
    return layers.Concatenate(axis=chance.axis)(cells)


BLOCKS = [
    *[branches, branches, shared, nested],
    *[squeeze_excite, squeeze_excite, arithmetic, operations, pre_activated, joined],
]
