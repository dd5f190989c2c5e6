"""Heads to draw: from the last map to a vector of classes, or to another map."""

from __future__ import annotations

import math

import keras

from tests.drawn_axes import across_a_vector
from tests.drawn_steps import ACTIVATIONS, ALL_ACTIVATIONS, over_channels

layers = keras.layers


def flat(pencil, x):
    """Flatten, in one order or the other, then Dense layers."""
    order = pencil.one("channels_last", "channels_last", "channels_first")
    return vector(pencil, layers.Flatten(data_format=order)(x))


def vector(pencil, x):
    """What stands between Dense layers, and the last one."""
    hidden = pencil.make(
        "Dense", pencil.number(1, 6), activation=pencil.one(*ACTIVATIONS), use_bias=pencil.maybe()
    )
    between = [
        *[hidden, pencil.make("BatchNormalization"), layers.Dropout(0.5), layers.PReLU()],
        *[over_vector(pencil), layers.Activation(pencil.one(*ALL_ACTIVATIONS))],
    ]
    for layer in pencil.random.sample(between, pencil.number(0, 4)):
        x = layer(x)
    last = pencil.one("softmax", "softmax", "linear", "sigmoid", "log_softmax")
    return pencil.make("Dense", 4, activation=last, use_bias=pencil.maybe())(x)


def over_vector(pencil):
    """A layer that works along a vector; it will work along the channels of a cell."""
    if pencil.wants("axes"):
        return across_a_vector(pencil)
    return pencil.make(pencil.one("Softmax", *over_channels(pencil)))


def pooled(pencil, x):
    keepdims = pencil.maybe()
    kind = pencil.one("GlobalAveragePooling", "GlobalMaxPooling")
    x = pencil.layer(kind, keepdims=keepdims)(x)
    return flat(pencil, x) if keepdims else vector(pencil, x)


def mapped(pencil, x):
    """Dense on the map, which works along the last axis, whatever it holds."""
    if pencil.axis == 1:
        return x
    return pooled(pencil, pencil.make("Dense", 4, activation=pencil.one(*ALL_ACTIVATIONS))(x))


def plain(pencil, x):
    """No head: the map is the output."""
    return x


def pyramid(pencil, x):
    """Spatial-pyramid pooling: flattened maps of several sizes, concatenated."""
    pools = []
    for cells in (1, min(2, *pencil.sizes(x))):
        window = tuple(-(-size // cells) for size in pencil.sizes(x))
        strides = tuple(size // cells for size in pencil.sizes(x))
        pools.append(layers.Flatten()(pencil.layer("MaxPooling", window, strides)(x)))
    return vector(pencil, layers.Concatenate()(pools))


def merged(pencil, x):
    """Two vectors, of the map's cells or of their means, added or side by side."""
    vectors = [
        pencil.make("Dense", 3, activation="relu")(layers.Flatten()(x)),
        pencil.make("Dense", 3)(pencil.layer("GlobalAveragePooling")(x)),
    ]
    merge = pencil.one(layers.Add, layers.Multiply, layers.Concatenate, layers.Maximum)
    return vector(pencil, merge()(vectors))


def generator(pencil, x):
    """Dense, what stands between, Reshape to a map."""
    shape = pencil.shape((2,) * pencil.rank, 3)
    x = pencil.make("Dense", math.prod(shape), use_bias=pencil.maybe())(layers.Flatten()(x))
    if pencil.maybe():
        x = layers.BatchNormalization()(x)
    if pencil.maybe():
        x = layers.LeakyReLU(negative_slope=0.2)(x)
    return pencil.layer("Conv", 2, 2)(layers.Reshape(shape)(x))


def characters(pencil, x):
    """Two characters of three signs, a softmax for each."""
    x = layers.Dense(6, activation=pencil.one(*ACTIVATIONS))(layers.Flatten()(x))
    x = layers.Reshape(pencil.one((2, 3), (3, 2), (2, -1)))(x)
    return layers.Activation(pencil.one("softmax", "sigmoid", "log_softmax"))(x)


def cells(pencil, x):
    """A list of cells with the classes of each, as SegNets in Keras end."""
    x = pencil.layer("Conv", 3, 1)(x)
    count = math.prod(pencil.sizes(x))
    if pencil.axis == 1:
        x = layers.Permute((2, 1))(layers.Reshape((3, count))(x))
    else:
        x = layers.Reshape(pencil.one((count, 3), (-1, 3)))(x)
    return layers.Activation(pencil.one("softmax", "relu", "log_softmax"))(x)


def boxes(pencil, x):
    """The boxes of two maps, side by side."""
    maps = [pencil.layer("Conv", 4, 1)(x), pencil.layer("Conv", 8, 1)(x)]
    lists = [layers.Reshape((-1, 4))(each) for each in maps]
    if pencil.maybe():
        flat = layers.Concatenate()([layers.Flatten()(each) for each in maps])
        return layers.Reshape((-1, 4))(flat)
    return layers.Concatenate(axis=1)(lists)


HEADS = [flat, flat, flat, pooled, pooled, mapped, plain, characters, cells]
JOINING_HEADS = [pyramid, merged, generator, boxes]
