"""Layers to draw, one after the other: each function takes a map and gives the next map.

    pencil = Pencil(random.Random(7), rank=2, data_format="channels_last")
    x = conv(pencil, x)

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


def conv(pencil, x):
    """Any convolution, with a stride, dilation, groups or a multiplier now and then."""
    kinds = ["Conv", "Conv", "DepthwiseConv", "SeparableConv"]
    kind = pencil.one(*kinds if pencil.rank < 3 else kinds[:2])
    window = pencil.window(x, 3)
    options = {"kernel_size": window, "padding": pencil.one(*PADDINGS), **inner(pencil)}
    if kind == "Conv":
        # Mostly one group: TensorFlow compiles each grouped convolution, which takes a second.
        groups = pencil.one(*[1] * 8, *divisors(x.shape[pencil.axis]))
        options |= {"filters": groups * pencil.number(1, 6 // min(groups, 6)), "groups": groups}
        if pencil.rank == 1 and pencil.maybe():
            options["padding"] = "causal"
    else:
        options["depth_multiplier"] = pencil.one(1, 1, 2)
        if kind == "SeparableConv":
            options["filters"] = pencil.number(1, 6)
    options |= stepped(pencil, x, window, alike=kind != "Conv")
    return pencil.layer(kind, **options)(x)


def inner(pencil):
    """What a convolution or a Dense may have besides its kernel."""
    activation = ALL_ACTIVATIONS if pencil.axis == -1 else ACTIVATIONS
    return {"use_bias": pencil.maybe(), "activation": pencil.one(*activation)}


def divisors(number):
    return [part for part in range(2, min(number, 6) + 1) if number % part == 0]


def stepped(pencil, x, window, alike):
    """Strides or dilation; Keras refuses both at once, TensorFlow unequal ones in some layers."""
    which = pencil.one("none", "none", "strides", "dilation_rate")
    if which == "none":
        return {}
    steps = pencil.steps(2)
    if alike:
        steps = steps[:1] * pencil.rank
    spans = [(k - 1) * step for k, step in zip(window, steps, strict=True)]
    if which == "dilation_rate" and any(map(int.__le__, pencil.sizes(x), spans)):
        return {}
    return {which: steps}


def transposed(pencil, x):
    options = {
        "filters": pencil.number(1, 4),
        "kernel_size": pencil.window(x, 3),
        "strides": pencil.number(1, 2),
        "padding": pencil.one(*PADDINGS),
        **inner(pencil),
    }
    return pencil.layer("Conv{}Transpose", **options)(x)


def max_pool(pencil, x):
    return pencil.layer("MaxPooling", **pooling(pencil, x))(x)


def average_pool(pencil, x):
    options = pooling(pencil, x)
    if options["padding"] == "same" and errs_on_torch(pencil, x, options):
        return max_pool(pencil, x)
    return pencil.layer("AveragePooling", **options)(x)


def pooling(pencil, x):
    """Any window, stride and padding; with padding 'same' the window may be larger than the map."""
    padding = pencil.one(*PADDINGS)
    most = [min(size + 2, 5) if padding == "same" else min(size, 5) for size in pencil.sizes(x)]
    window = tuple(pencil.number(1, cells) for cells in most)
    strides = pencil.one(None, pencil.steps(4)) or window
    return {"pool_size": window, "strides": strides, "padding": padding}


def errs_on_torch(pencil, x, options):
    """Whether padding 'same' puts more cells behind than in front, or a window is a map too large.

    Keras 3.15 counts cells of the border twice in the first case, torch 2.13 refuses the second.
    """
    if keras.backend.backend() != "torch":
        return False
    axes = list(zip(pencil.sizes(x), options["pool_size"], options["strides"], strict=True))
    uneven = any(max((n - 1) // s * s + k - n, 0) % 2 for n, k, s in axes)
    return uneven or any(k > n for n, k, _ in axes)


def activation(pencil, x):
    spatial = list(range(1, pencil.rank + 1) if pencil.axis == -1 else range(2, pencil.rank + 2))
    by_name = {"activation": pencil.one(*ALL_ACTIVATIONS if pencil.axis == -1 else ACTIVATIONS)}
    kind, options = pencil.one(
        *[("Activation", by_name)] * 4,
        ("ReLU", {}),
        ("ReLU", {"max_value": 2.0, "negative_slope": 0.1}),
        ("ReLU", {"threshold": 0.2}),
        ("LeakyReLU", {"negative_slope": 0.2}),
        ("ELU", {"alpha": 0.5}),
        *[("PReLU", {"shared_axes": axes}) for axes in (None, spatial, spatial[:1])],
        ("Softmax", {"axis": pencil.axis}),
        ("Activation", {"activation": layers.LeakyReLU(negative_slope=0.3)}),
    )
    return pencil.make(kind, **options)(x)


def idle(pencil, x):
    """What does nothing at inference."""
    kind = pencil.one("Dropout", "SpatialDropout", "GaussianNoise", "GaussianDropout", "Identity")
    if kind == "Identity":
        return layers.Identity()(x)
    if kind != "SpatialDropout":
        return getattr(layers, kind)(0.3)(x)
    if pencil.rank == 1:
        return layers.SpatialDropout1D(0.3)(x)
    return pencil.layer("SpatialDropout", 0.3)(x)


def normalization(pencil, x):
    kind = pencil.one("BatchNormalization", *over_channels(pencil))
    return pencil.make(kind, axis=pencil.axis)(x)


def over_channels(pencil):
    """Normalizations along the channels, those with which Keras 3.15 comes to terms.

    With axis=1 its RMSNormalization gives another shape than it says, and on torch that and
    LayerNormalization fail when they are called.
    """
    kinds = ["UnitNormalization", "LayerNormalization", "RMSNormalization"]
    if pencil.axis == -1:
        return kinds
    return kinds[:1] if keras.backend.backend() == "torch" else kinds[:2]


def space(pencil, x):
    """More cells, or fewer."""
    kind = pencil.one("ZeroPadding", "UpSampling", "Cropping")
    if pencil.rank == 1 and pencil.axis == 1:
        kind = "ZeroPadding"
    options = {"data_format": pencil.data_format}
    if pencil.rank == 1 and kind != "ZeroPadding":
        options = {}
    if kind == "UpSampling":
        amount = pencil.number(1, 2)
    elif kind == "ZeroPadding" or min(pencil.sizes(x)) > 2:
        amount = ((1, 0), (0, 1), (1, 1))[: pencil.rank] if pencil.rank > 1 else (1, 0)
    else:
        return x
    return pencil.make(f"{kind}{pencil.rank}D", amount, **options)(x)


def per_cell(pencil, x):
    """A 1x1 convolution, or a Dense on the map."""
    activation = pencil.one(*ACTIVATIONS)
    if pencil.axis == -1 and pencil.maybe():
        return pencil.make("Dense", 3, activation=activation)(x)
    return pencil.layer("Conv", 3, 1, activation=activation)(x)
