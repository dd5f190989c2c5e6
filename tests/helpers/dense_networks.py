"""Networks for finer class maps, and the model on every crop of an image as the oracle."""

from __future__ import annotations

import re

import keras
import numpy as np
from keras import layers

import allconv
from allconv.errors import ConversionError
from allconv.export.comparison.keras_differences import differs_at, known_difference
from allconv.read import read
from allconv.shape_walk import shapes_at
from tests.helpers.keras_comparison import network, outputs
from tests.helpers.randomized import randomize

MOST = 1e-6
"""Of the spread, zero among the values: sums of the same products, most in the same order."""


def images_like(model, more, batch=1):
    """Images larger than a model's own by so many cells along each axis."""
    shape = list(model.input_shape[1:])
    first = channels_first(model)
    for axis in range(len(shape) - 1):
        shape[axis + first] += more[axis]
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (batch, *shape)).astype("float32")


def channels_first(model):
    return any(getattr(layer, "data_format", "") == "channels_first" for layer in model.layers[1:2])


def crops_of(image, sizes, stride, first):
    """All crops of so many cells, every `stride`-th, row by row; and how many along each axis."""
    view = np.lib.stride_tricks.sliding_window_view(
        image[0], sizes, axis=tuple(range(first, first + len(sizes)))
    )
    steps = [slice(None, None, each) for each in stride]
    view = view[(slice(None),) * first + tuple(steps)]
    counts = view.shape[first : first + len(sizes)]
    crops = np.moveaxis(view, 0 if first else len(sizes), -1)  # the channels
    crops = crops.reshape(-1, *sizes, image.shape[1] if first else image.shape[-1])
    return (np.moveaxis(crops, -1, 1) if first else crops), counts


def assert_is_what_the_model_says_of_every_crop(model, stride, more=None, run=outputs, **options):
    """The finer map against the model itself, run on every crop of a larger image.

    `run` gives the outputs of the converted model for a list of one image.
    """
    first = channels_first(model)
    sizes = model.input_shape[2:] if first else model.input_shape[1:-1]
    image = images_like(model, more or (5, 4, 2)[: len(sizes)])
    try:
        converted = allconv.convert(model, output_stride=stride, **options)
    except ConversionError as error:  # branches that do not meet at this size, or only at some
        assert re.search("takes images|depends on the size", str(error))
        return
    shapes, problems = shapes_on(converted, image)
    if known_difference(read(model)) or differs_at(shapes) or problems:
        return  # Keras on TensorFlow is wrong there, or branches do not meet
    (found,) = run(converted, [image])
    crops, counts = crops_of(image, sizes, (stride,) * len(sizes), first)
    (expected,) = outputs(model, [np.ascontiguousarray(crops)])
    found = np.moveaxis(found, 1, -1) if first else found
    found = found[(0, *(slice(count) for count in counts))]
    expected = expected.reshape(*counts, -1)
    assert found.shape == expected.shape
    spread = max(float(expected.max()), 0.0) - min(float(expected.min()), 0.0)
    assert np.abs(found - expected).max() <= MOST * spread


def shapes_on(model, image):
    graph = read(model)
    return shapes_at(graph, {graph.inputs[0]: image.shape})


def residual(rank=2, size=16):
    """Padding of all kinds, and branches of which strides drop more of one than of the other."""

    def layer(kind, *args, **options):
        return getattr(layers, f"{kind}{rank}D")(*args, **options)

    image = keras.Input((*(size,) * rank, 2))
    x = layer("ZeroPadding", 1)(image)
    x = layer("Conv", 4, 3, activation="relu", name="first")(x)
    x = layer("MaxPooling", 3, 2, name="pool")(x)
    short = layer("Conv", 4, 1, strides=2)(x)
    long = layer("Conv", 4, 3, strides=2, padding="same")(x)
    x = layer("Cropping", ((0, 1),) * rank if rank > 1 else (0, 1))(
        layers.Add(name="sum")([short, long])
    )
    x = layer("GlobalAveragePooling")(x)
    return randomize(keras.Model(image, layers.Dense(3, name="classes")(x)))


def same_padded(window=3, sizes=(12, 11)):
    """Padding `same` with and without strides, whose windows begin elsewhere at other sizes."""

    def layer(kind, *args, **options):
        return getattr(layers, f"{kind}{len(sizes)}D")(*args, padding="same", **options)

    return network(
        (*sizes, 2),
        layer("Conv", 4, 3, activation="tanh"),
        layer("MaxPooling", window, 2),
        layer("Conv", 4, 2),
        layer("Conv", 4, window, strides=2, activation="relu"),
        layer("AveragePooling", 3, 1),
        layers.Flatten(),
        layers.Dense(3),
    )


def classifier():
    return network(
        (16, 16, 2),
        layers.Conv2D(3, 3, activation="relu", name="conv"),
        layers.MaxPooling2D(2, name="pool"),
        layers.Conv2D(3, 3, strides=2, name="late"),
        layers.GlobalAveragePooling2D(name="mean"),
        layers.Dense(2, name="classes"),
        name="classifier",
    )
