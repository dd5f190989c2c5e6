"""Heads to draw: from the last map to a vector of classes, or to another map."""

from __future__ import annotations

import math

import keras

from tests.helpers.drawn_axes import across_a_vector
from tests.helpers.drawn_steps import ACTIVATIONS, ALL_ACTIVATIONS, over_channels

layers = keras.layers


def flat(chance, x):
    """Flatten, in one order or the other, then Dense layers."""
    order = chance.one("channels_last", "channels_last", "channels_first")
    return vector(chance, layers.Flatten(data_format=order)(x))


def vector(chance, x):
    """What stands between Dense layers, and the last one."""
    hidden = chance.make(
        "Dense",
        chance.number(1, 6),
        activation=chance.one(*ACTIVATIONS),
        use_bias=chance.maybe(),
    )
    between = [
        *[hidden, chance.make("BatchNormalization"), layers.Dropout(0.5), layers.PReLU()],
        *[over_vector(chance), layers.Activation(chance.one(*ALL_ACTIVATIONS))],
    ]
    for layer in chance.random.sample(between, chance.number(0, 4)):
        x = layer(x)
    last = chance.one("softmax", "softmax", "linear", "sigmoid", "log_softmax")
    return chance.make("Dense", 4, activation=last, use_bias=chance.maybe())(x)


def over_vector(chance):
    """A layer that works along a vector; it will work along the channels of a cell."""
    if chance.wants("axes"):
        return across_a_vector(chance)
    return chance.make(chance.one("Softmax", *over_channels(chance)))


def pooled(chance, x):
    keepdims = chance.maybe()
    kind = chance.one("GlobalAveragePooling", "GlobalMaxPooling")
    x = chance.layer(kind, keepdims=keepdims)(x)
    return flat(chance, x) if keepdims else vector(chance, x)


def mapped(chance, x):
    """Dense on the map, which works along the last axis, whatever it holds."""
    if chance.axis == 1:
        return x
    return pooled(chance, chance.make("Dense", 4, activation=chance.one(*ALL_ACTIVATIONS))(x))


def plain(chance, x):
    """No head: the map is the output."""
    return x


def pyramid(chance, x):
    """Spatial-pyramid pooling: flattened maps of several sizes, concatenated."""
    pools = []
    for cells in (1, min(2, *chance.sizes(x))):
        window = tuple(-(-size // cells) for size in chance.sizes(x))
        strides = tuple(size // cells for size in chance.sizes(x))
        pools.append(layers.Flatten()(chance.layer("MaxPooling", window, strides)(x)))
    return vector(chance, layers.Concatenate()(pools))


def merged(chance, x):
    """Two vectors, of the map's cells or of their means, added or side by side."""
    vectors = [
        chance.make("Dense", 3, activation="relu")(layers.Flatten()(x)),
        chance.make("Dense", 3)(chance.layer("GlobalAveragePooling")(x)),
    ]
    merge = chance.one(layers.Add, layers.Multiply, layers.Concatenate, layers.Maximum)
    return vector(chance, merge()(vectors))


def generator(chance, x):
    """Dense, what stands between, Reshape to a map."""
    shape = chance.shape((2,) * chance.rank, 3)
    x = chance.make("Dense", math.prod(shape), use_bias=chance.maybe())(layers.Flatten()(x))
    if chance.maybe():
        x = layers.BatchNormalization()(x)
    if chance.maybe():
        x = layers.LeakyReLU(negative_slope=0.2)(x)
    return chance.layer("Conv", 2, 2)(layers.Reshape(shape)(x))


def characters(chance, x):
    """Two characters of three signs, a softmax for each."""
    x = layers.Dense(6, activation=chance.one(*ACTIVATIONS))(layers.Flatten()(x))
    x = layers.Reshape(chance.one((2, 3), (3, 2), (2, -1)))(x)
    return layers.Activation(chance.one("softmax", "sigmoid", "log_softmax"))(x)


def cells(chance, x):
    """A list of cells with the classes of each, as SegNets in Keras end."""
    x = chance.layer("Conv", 3, 1)(x)
    count = math.prod(chance.sizes(x))
    if chance.axis == 1:
        x = layers.Permute((2, 1))(layers.Reshape((3, count))(x))
    else:
        x = layers.Reshape(chance.one((count, 3), (-1, 3)))(x)
    return layers.Activation(chance.one("softmax", "relu", "log_softmax"))(x)


def boxes(chance, x):
    """The boxes of two maps, side by side."""
    maps = [chance.layer("Conv", 4, 1)(x), chance.layer("Conv", 8, 1)(x)]
    lists = [layers.Reshape((-1, 4))(each) for each in maps]
    if chance.maybe():
        flat = layers.Concatenate()([layers.Flatten()(each) for each in maps])
        return layers.Reshape((-1, 4))(flat)
    return layers.Concatenate(axis=1)(lists)


HEADS = [flat, flat, flat, pooled, pooled, mapped, plain, characters, cells]
JOINING_HEADS = [pyramid, merged, generator, boxes]
