"""Layers to draw, one after the other: each function takes a map and gives the next map.

    chance = Chance(random.Random(7), rank=2, data_format="channels_last")
    x = conv(chance, x)

Windows may be smaller than their strides, one cell small or unequal; maps may be of any sign.
"""

from __future__ import annotations

import keras

layers = keras.layers

PADDINGS = ("valid", "same")
ELEMENTWISE = [
    *("relu", "relu6", "leaky_relu", "elu", "celu", "selu", "silu", "gelu", "mish", "exponential"),
    *("sigmoid", "hard_sigmoid", "log_sigmoid", "sparse_sigmoid", "hard_silu", "linear"),
    *("tanh", "hard_tanh", "tanh_shrink", "soft_shrink", "hard_shrink"),
    *("softplus", "softsign", "squareplus", "sparse_plus"),
]
OVER_CHANNELS = ["softmax", "log_softmax", "sparsemax"]
ACTIVATIONS = [*["relu", "linear", "tanh"] * 8, *ELEMENTWISE]
ALL_ACTIVATIONS = [*OVER_CHANNELS * 8, *ACTIVATIONS]


def conv(chance, x):
    """Any convolution, with a stride, dilation, groups or a multiplier now and then."""
    kinds = ["Conv", "Conv", "DepthwiseConv", "SeparableConv"]
    kind = chance.one(*kinds if chance.rank < 3 else kinds[:2])
    window = chance.window(x, 3)
    options = {"kernel_size": window, "padding": chance.one(*PADDINGS), **inner(chance)}
    if kind == "Conv":
        # Mostly one group: TensorFlow compiles each grouped convolution, which takes a second.
        groups = chance.one(*[1] * 8, *divisors(x.shape[chance.axis]))
        options |= {"filters": groups * chance.number(1, 6 // min(groups, 6)), "groups": groups}
        if chance.rank == 1 and chance.maybe():
            options["padding"] = "causal"
    else:
        options["depth_multiplier"] = chance.one(1, 1, 2)
        if kind == "SeparableConv":
            options["filters"] = chance.number(1, 6)
    options |= stepped(chance, x, window, alike=kind != "Conv")
    return chance.layer(kind, **options)(x)


def inner(chance):
    """What a convolution or a Dense may have besides its kernel."""
    activation = ALL_ACTIVATIONS if chance.axis == -1 else ACTIVATIONS
    return {"use_bias": chance.maybe(), "activation": chance.one(*activation)}


def divisors(number):
    return [part for part in range(2, min(number, 6) + 1) if number % part == 0]


def stepped(chance, x, window, alike):
    """Strides or dilation; Keras refuses both at once, TensorFlow unequal ones in some layers."""
    which = chance.one("none", "none", "strides", "dilation_rate")
    if which == "none":
        return {}
    steps = chance.steps(2)
    if alike:
        steps = steps[:1] * chance.rank
    spans = [(k - 1) * step for k, step in zip(window, steps, strict=True)]
    if which == "dilation_rate" and any(map(int.__le__, chance.sizes(x), spans)):
        return {}
    return {which: steps}


def transposed(chance, x):
    options = {
        "filters": chance.number(1, 4),
        "kernel_size": chance.window(x, 3),
        "strides": chance.number(1, 2),
        "padding": chance.one(*PADDINGS),
        **inner(chance),
    }
    return chance.layer("Conv{}Transpose", **options)(x)


def max_pool(chance, x):
    return chance.layer("MaxPooling", **pooling(chance, x))(x)


def average_pool(chance, x):
    options = pooling(chance, x)
    if options["padding"] == "same" and errs_on_torch(chance, x, options):
        return max_pool(chance, x)
    return chance.layer("AveragePooling", **options)(x)


def pooling(chance, x):
    """Any window, stride and padding; with padding 'same' the window may be larger than the map."""
    padding = chance.one(*PADDINGS)
    most = [min(size + 2, 5) if padding == "same" else min(size, 5) for size in chance.sizes(x)]
    window = tuple(chance.number(1, cells) for cells in most)
    strides = chance.one(None, chance.steps(4)) or window
    return {"pool_size": window, "strides": strides, "padding": padding}


def errs_on_torch(chance, x, options):
    """Whether padding 'same' puts more cells behind than in front, or a window is a map too large.

    Keras 3.15 counts cells of the border twice in the first case, torch 2.13 refuses the second.
    """
    if keras.backend.backend() != "torch":
        return False
    axes = list(zip(chance.sizes(x), options["pool_size"], options["strides"], strict=True))
    uneven = any(max((n - 1) // s * s + k - n, 0) % 2 for n, k, s in axes)
    return uneven or any(k > n for n, k, _ in axes)


def activation(chance, x):
    spatial = list(range(1, chance.rank + 1) if chance.axis == -1 else range(2, chance.rank + 2))
    by_name = {"activation": chance.one(*ALL_ACTIVATIONS if chance.axis == -1 else ACTIVATIONS)}
    kind, options = chance.one(
        *[("Activation", by_name)] * 4,
        ("ReLU", {}),
        ("ReLU", {"max_value": 2.0, "negative_slope": 0.1}),
        ("ReLU", {"threshold": 0.2}),
        ("LeakyReLU", {"negative_slope": 0.2}),
        ("ELU", {"alpha": 0.5}),
        *[("PReLU", {"shared_axes": axes}) for axes in (None, spatial, spatial[:1])],
        ("Softmax", {"axis": chance.axis}),
        ("Activation", {"activation": layers.LeakyReLU(negative_slope=0.3)}),
    )
    return chance.make(kind, **options)(x)


def idle(chance, x):
    """What does nothing at inference."""
    kind = chance.one("Dropout", "SpatialDropout", "GaussianNoise", "GaussianDropout", "Identity")
    if kind == "Identity":
        return layers.Identity()(x)
    if kind != "SpatialDropout":
        return getattr(layers, kind)(0.3)(x)
    if chance.rank == 1:
        return layers.SpatialDropout1D(0.3)(x)
    return chance.layer("SpatialDropout", 0.3)(x)


def normalization(chance, x):
    kind = chance.one("BatchNormalization", *over_channels(chance))
    return chance.make(kind, axis=chance.axis)(x)


def over_channels(chance):
    """Normalizations along the channels, those with which Keras 3.15 comes to terms.

    With axis=1 its RMSNormalization gives another shape than it says, and on torch that and
    LayerNormalization fail when they are called.
    """
    kinds = ["UnitNormalization", "LayerNormalization", "RMSNormalization"]
    if chance.axis == -1:
        return kinds
    return kinds[:1] if keras.backend.backend() == "torch" else kinds[:2]


def space(chance, x):
    """More cells, or fewer."""
    kind = chance.one("ZeroPadding", "UpSampling", "Cropping")
    if chance.rank == 1 and chance.axis == 1:
        kind = "ZeroPadding"
    options = {"data_format": chance.data_format}
    if chance.rank == 1 and kind != "ZeroPadding":
        options = {}
    if kind == "UpSampling":
        amount = chance.number(1, 2)
    elif kind == "ZeroPadding" or min(chance.sizes(x)) > 2:
        amount = ((1, 0), (0, 1), (1, 1))[: chance.rank] if chance.rank > 1 else (1, 0)
    else:
        return x
    return chance.make(f"{kind}{chance.rank}D", amount, **options)(x)


def per_cell(chance, x):
    """A 1x1 convolution, or a Dense on the map."""
    activation = chance.one(*ACTIVATIONS)
    if chance.axis == -1 and chance.maybe():
        return chance.make("Dense", 3, activation=activation)(x)
    return chance.layer("Conv", 3, 1, activation=activation)(x)
