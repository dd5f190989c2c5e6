"""Networks to slide over larger images: drawn with strides that follow on one another, and merges.

    model = sliding_network(data.draw, rank=2, data_format="channels_last")

Without padding, so that each cell of a class map is what the network says of a crop.
"""

from __future__ import annotations

import math

import keras
from hypothesis import strategies as st

from tests.helpers.chance import Chance
from tests.helpers.randomized import randomize

LARGEST = {1: 30, 2: 17, 3: 9}
LEAST = {1: 14, 2: 9, 3: 6}


def sliding_network(draw, rank, data_format):
    """A classifier of images as large as a few windows and strides of its need."""
    chance = Chance(draw(st.randoms(use_true_random=False)), rank, data_format)
    sizes = [chance.number(LEAST[rank], LARGEST[rank]) for _ in range(rank)]
    image = keras.Input(chance.shape(sizes, chance.number(1, 3)))
    x = chance.layer("Conv", chance.number(1, 4), 1 if rank == 3 else chance.number(1, 2))(image)
    for _ in range(chance.number(2, 4)):
        x = chance.one(*STEPS)(chance, x)
    return randomize(keras.Model(image, head(chance, x)), seed=chance.number(0, 99))


def steps_of(chance, x):
    """Strides that leave something to the layers behind."""
    strides = chance.steps(3)
    return tuple(min(*pair) for pair in zip(strides, chance.sizes(x), strict=True))


def window(chance, x, most=3):
    return tuple(chance.number(1, min(size, most)) for size in chance.sizes(x))


def conv(chance, x):
    kinds = ["Conv"] if chance.rank == 3 else ["Conv", "Conv", "DepthwiseConv", "SeparableConv"]
    kind = chance.one(*kinds)
    options = {"kernel_size": window(chance, x), "activation": chance.one("relu", "tanh", None)}
    if kind != "DepthwiseConv":
        options["filters"] = chance.number(1, 4)
    steps = steps_of(chance, x)
    if kind != "Conv":
        steps = (min(steps),) * chance.rank
    spans = zip(options["kernel_size"], steps, chance.sizes(x), strict=True)
    dilates = chance.number(1, 4) == 1 and all((k - 1) * d < size for k, d, size in spans)
    options["dilation_rate" if dilates else "strides"] = steps
    return chance.layer(kind, **options)(x)


def pool(chance, x):
    kind = chance.one("MaxPooling", "MaxPooling", "AveragePooling")
    options = {"pool_size": window(chance, x), "strides": steps_of(chance, x)}
    return chance.layer(kind, **options)(x)


def cellwise(chance, x):
    if chance.maybe():
        return keras.layers.BatchNormalization(axis=chance.axis)(x)
    return keras.layers.LeakyReLU(negative_slope=0.3)(x)


def branches(chance, x):
    """Two branches of equal strides that come to maps of one size in different ways."""
    k, stride = window(chance, x), steps_of(chance, x)
    filters = x.shape[chance.axis]
    first = chance.layer("Conv", filters, k, strides=stride)(x)
    second = chance.layer("MaxPooling", (1,) * chance.rank, stride)(x)
    second = cut_to(chance, second, chance.sizes(first))
    if chance.maybe():
        return keras.layers.Concatenate(axis=chance.axis)([first, second])
    return chance.one(keras.layers.Add, keras.layers.Multiply)()([first, second])


def cut_to(chance, x, sizes):
    """A window that leaves so many cells."""
    k = tuple(have - want + 1 for have, want in zip(chance.sizes(x), sizes, strict=True))
    return chance.layer("Conv", x.shape[chance.axis], k)(x) if max(k) > 1 else x


STEPS = [conv, conv, pool, pool, cellwise, branches]


def head(chance, x):
    """Over few cells only: a mean of hundreds is rounded by more than a sum in another order is."""
    if math.prod(chance.sizes(x)) > 60:
        x = chance.layer("GlobalMaxPooling")(x)
    elif chance.maybe():
        x = chance.layer(chance.one("GlobalAveragePooling", "GlobalMaxPooling"))(x)
    else:
        x = keras.layers.Flatten(data_format=chance.data_format)(x)
    return keras.layers.Dense(3, activation=chance.one("softmax", None))(x)
