"""Layers along any axis of a map or a vector, the samples' own among them."""

from __future__ import annotations

import keras

layers = keras.layers


def along_an_axis(pencil, x):
    """A layer that couples cells along some axes of a map, or branches that meet along one."""
    if pencil.maybe():
        return side_by_side(pencil, x)
    axis = pencil.random.sample(range(1, len(x.shape)), pencil.number(1, 2))
    kind = pencil.one(*COUPLING, "BatchNormalization")
    if kind == "BatchNormalization" or pencil.maybe():
        axis = pencil.one(axis[0], axis[0] - len(x.shape))
    return pencil.make(kind, axis=axis)(x)


COUPLING = ("Softmax", "UnitNormalization", "LayerNormalization")


def side_by_side(pencil, x):
    """Two or three results beside each other, along any axis."""
    axis = pencil.number(1, len(x.shape) - 1)
    ways = [x, pencil.make("ReLU")(x), pencil.layer("Conv", x.shape[pencil.axis], 1)(x)]
    axis = pencil.one(axis, axis - len(x.shape))
    return pencil.make("Concatenate", axis=axis)(ways[: pencil.number(2, 3)])


def across_a_vector(pencil):
    """A layer that works along a vector, however that axis is written; or along the samples."""
    kind = pencil.one(*COUPLING, "BatchNormalization", "PReLU", "Concatenate")
    if kind == "PReLU":
        return pencil.make(kind, shared_axes=pencil.one(None, [1]))
    if kind == "Concatenate":
        merge = pencil.make(kind, axis=pencil.one(-1, 1))
        return lambda x: merge([x, x])
    axes = [-1, -1, 1, 1] + [0, -2] * (kind in ("Softmax", "UnitNormalization"))
    axis = pencil.one(*axes)
    several = kind != "BatchNormalization" and pencil.maybe()
    return pencil.make(kind, axis=[axis] if several else axis)
