"""Layers along any axis of a map or a vector, the samples' own among them."""

from __future__ import annotations

import keras

layers = keras.layers


def along_an_axis(chance, x):
    """A layer that couples cells along some axes of a map, or branches that meet along one."""
    if chance.maybe():
        return side_by_side(chance, x)
    axis = chance.random.sample(range(1, len(x.shape)), chance.number(1, 2))
    kind = chance.one(*COUPLING, "BatchNormalization")
    if kind == "BatchNormalization" or chance.maybe():
        axis = chance.one(axis[0], axis[0] - len(x.shape))
    return chance.make(kind, axis=axis)(x)


COUPLING = ("Softmax", "UnitNormalization", "LayerNormalization")


def side_by_side(chance, x):
    """Two or three results beside each other, along any axis."""
    axis = chance.number(1, len(x.shape) - 1)
    ways = [x, chance.make("ReLU")(x), chance.layer("Conv", x.shape[chance.axis], 1)(x)]
    axis = chance.one(axis, axis - len(x.shape))
    return chance.make("Concatenate", axis=axis)(ways[: chance.number(2, 3)])


def across_a_vector(chance):
    """A layer that works along a vector, however that axis is written; or along the samples."""
    kind = chance.one(*COUPLING, "BatchNormalization", "PReLU", "Concatenate")
    if kind == "PReLU":
        return chance.make(kind, shared_axes=chance.one(None, [1]))
    if kind == "Concatenate":
        merge = chance.make(kind, axis=chance.one(-1, 1))
        return lambda x: merge([x, x])
    axes = [-1, -1, 1, 1] + [0, -2] * (kind in ("Softmax", "UnitNormalization"))
    axis = chance.one(*axes)
    several = kind != "BatchNormalization" and chance.maybe()
    return chance.make(kind, axis=[axis] if several else axis)
