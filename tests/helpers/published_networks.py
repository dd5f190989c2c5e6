"""The networks whose papers every CNN refers to, at full size or, with `width`, thinner.

They are built as people build them in Keras; each docstring says what was left out. Response
normalization is (AlexNet, ZFNet, GoogLeNet): Keras has no layer for it, it has no weights, and VGG
showed that it does not help. Layers are named as in the papers, so that their tables can be held
against the models.
"""

from __future__ import annotations

import keras
from keras import layers


def lenet5(input_shape=(32, 32, 1), classes=10):
    """LeNet-5 (LeCun et al. 1998, "Gradient-based learning applied to document recognition").

    The variant that is built in Keras: means without weights for S2 and S4, C3 on all maps of S2
    instead of on ten chosen subsets, C5 a Dense, and softmax instead of distances to bitmaps.
    """
    return keras.Sequential(
        [
            keras.Input(input_shape, name="image"),
            layers.Conv2D(6, 5, activation="tanh", name="C1"),
            layers.AveragePooling2D(2, name="S2"),
            layers.Conv2D(16, 5, activation="tanh", name="C3"),
            layers.AveragePooling2D(2, name="S4"),
            layers.Flatten(name="flatten"),
            layers.Dense(120, activation="tanh", name="C5"),
            layers.Dense(84, activation="tanh", name="F6"),
            layers.Dense(classes, activation="softmax", name="output"),
        ],
        name="lenet5",
    )


def alexnet(input_shape=(227, 227, 3), classes=1000, width=1.0, groups=2):
    """AlexNet (Krizhevsky et al. 2012), pools of 3 with stride 2 that overlap.

    Its two towers, one for each GPU, are two groups of channels in conv2, conv4 and conv5; with
    `groups=1` they are one. The paper says 224 pixels, but only 227 give its map of 55.
    """
    maps = [round(width * filters) for filters in (96, 256, 384, 384, 256)]
    return keras.Sequential(
        [
            keras.Input(input_shape, name="image"),
            _conv("conv1", maps[0], 11, strides=4, padding="valid"),
            layers.MaxPooling2D(3, 2, name="pool1"),
            _conv("conv2", maps[1], 5, groups=groups),
            layers.MaxPooling2D(3, 2, name="pool2"),
            _conv("conv3", maps[2], 3),
            _conv("conv4", maps[3], 3, groups=groups),
            _conv("conv5", maps[4], 3, groups=groups),
            layers.MaxPooling2D(3, 2, name="pool5"),
            *_two_hidden_layers(classes, width),
        ],
        name="alexnet",
    )


def zfnet(input_shape=(224, 224, 3), classes=1000, width=1.0):
    """ZFNet (Zeiler & Fergus 2013, arXiv 1311.2901, figure 3).

    Its sizes come out where the first convolution pads by 1, and where pools round up: on even
    maps that is `same`, on the last one, of 13 cells, nothing is left to round.
    """
    maps = [round(width * filters) for filters in (96, 256, 384, 384, 256)]
    return keras.Sequential(
        [
            keras.Input(input_shape, name="image"),
            layers.ZeroPadding2D(1, name="border"),
            _conv("layer1", maps[0], 7, strides=2, padding="valid"),
            layers.MaxPooling2D(3, 2, padding="same", name="pool1"),
            _conv("layer2", maps[1], 5, strides=2, padding="valid"),
            layers.MaxPooling2D(3, 2, padding="same", name="pool2"),
            *[_conv(f"layer{number}", maps[number - 1], 3) for number in (3, 4, 5)],
            layers.MaxPooling2D(3, 2, name="pool5"),
            *_two_hidden_layers(classes, width),
        ],
        name="zfnet",
    )


def vgg16(input_shape=(224, 224, 3), classes=1000, width=1.0):
    """VGG-16 (Simonyan & Zisserman 2014, arXiv 1409.1556, configuration D of table 1)."""
    steps = [keras.Input(input_shape, name="image")]
    for block, (count, filters) in enumerate(
        ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), start=1
    ):
        maps = round(width * filters)
        steps += [_conv(f"conv{block}_{number}", maps, 3) for number in range(1, count + 1)]
        steps.append(layers.MaxPooling2D(2, name=f"pool{block}"))
    return keras.Sequential([*steps, *_two_hidden_layers(classes, width)], name="vgg16")


INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Filters of 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5 and pool projection: table 1 of the paper."""


def googlenet(input_shape=(224, 224, 3), classes=1000, width=1.0):
    """GoogLeNet, Inception v1 (Szegedy et al. 2014, arXiv 1409.4842, table 1).

    Without the two auxiliary classifiers, which the table leaves out too and which serve training.
    """
    image = keras.Input(input_shape, name="image")
    x = _conv("conv1", round(width * 64), 7, strides=2)(image)
    x = layers.MaxPooling2D(3, 2, padding="same", name="pool1")(x)
    x = _conv("conv2_reduce", round(width * 64), 1)(x)
    x = _conv("conv2", round(width * 192), 3)(x)
    x = layers.MaxPooling2D(3, 2, padding="same", name="pool2")(x)
    for name, filters in INCEPTIONS.items():
        x = _inception(f"inception_{name}", x, [round(width * count) for count in filters])
        if name in ("3b", "4e"):
            x = layers.MaxPooling2D(3, 2, padding="same", name=f"pool{name[0]}")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = layers.Dropout(0.4, name="dropout")(x)
    x = layers.Dense(classes, activation="softmax", name="linear")(x)
    return keras.Model(image, x, name="googlenet")


def resnet18(input_shape=(224, 224, 3), classes=1000, width=1.0):
    """ResNet-18 (He et al. 2015, arXiv 1512.03385, table 1), projections where sizes change."""
    image = keras.Input(input_shape, name="image")
    x = _conv_norm("conv1", image, round(width * 64), 7, strides=2)
    x = layers.ReLU(name="conv1_relu")(x)
    x = layers.MaxPooling2D(3, 2, padding="same", name="pool1")(x)
    for stage, filters in enumerate((64, 128, 256, 512), start=2):
        for block in (1, 2):
            strides = 2 if stage > 2 and block == 1 else 1
            x = _residual(f"conv{stage}_{block}", x, round(width * filters), strides)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = layers.Dense(classes, activation="softmax", name="fc")(x)
    return keras.Model(image, x, name="resnet18")


def densenet_bc(input_shape=(32, 32, 3), classes=10, depth=100, growth=12):
    """DenseNet-BC for CIFAR (Huang et al. 2016, arXiv 1608.06993): three blocks, halved between."""
    image = keras.Input(input_shape, name="image")
    x = layers.Conv2D(2 * growth, 3, padding="same", use_bias=False, name="conv0")(image)
    for block in (1, 2, 3):
        for number in range(1, (depth - 4) // 6 + 1):
            name = f"dense{block}_{number}"
            y = _norm_relu_conv(f"{name}_bottleneck", x, 4 * growth, 1)
            y = _norm_relu_conv(f"{name}_grow", y, growth, 3)
            x = layers.Concatenate(name=name)([x, y])
        if block < 3:
            x = _norm_relu_conv(f"transition{block}", x, x.shape[-1] // 2, 1)
            x = layers.AveragePooling2D(2, name=f"pool{block}")(x)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = layers.Dense(classes, activation="softmax", name="fc")(x)
    return keras.Model(image, x, name="densenet_bc")


def _conv(name, filters, window, **options):
    return layers.Conv2D(
        filters, window, **{"padding": "same", "activation": "relu", **options}, name=name
    )


def _two_hidden_layers(classes, width):
    """Their kernels start as zeros: to draw up to 120 million values that no test reads is slow."""
    units = round(width * 4096)
    return [
        layers.Flatten(name="flatten"),
        layers.Dense(units, activation="relu", kernel_initializer="zeros", name="fc6"),
        layers.Dropout(0.5, name="dropout6"),
        layers.Dense(units, activation="relu", kernel_initializer="zeros", name="fc7"),
        layers.Dropout(0.5, name="dropout7"),
        layers.Dense(classes, activation="softmax", name="fc8"),
    ]


def _inception(name, x, filters):
    one, reduce3, three, reduce5, five, project = filters
    branches = [
        _conv(f"{name}_1x1", one, 1)(x),
        _conv(f"{name}_3x3", three, 3)(_conv(f"{name}_3x3_reduce", reduce3, 1)(x)),
        _conv(f"{name}_5x5", five, 5)(_conv(f"{name}_5x5_reduce", reduce5, 1)(x)),
        _conv(f"{name}_project", project, 1)(
            layers.MaxPooling2D(3, 1, padding="same", name=f"{name}_pool")(x)
        ),
    ]
    return layers.Concatenate(name=name)(branches)


def _conv_norm(name, x, filters, window, strides=1):
    x = layers.Conv2D(filters, window, strides, padding="same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(name=f"{name}_norm")(x)


def _residual(name, x, filters, strides):
    shortcut = x
    if strides > 1:
        shortcut = _conv_norm(f"{name}_project", x, filters, 1, strides)
    y = _conv_norm(f"{name}_a", x, filters, 3, strides)
    y = layers.ReLU(name=f"{name}_a_relu")(y)
    y = layers.Add(name=f"{name}_sum")([_conv_norm(f"{name}_b", y, filters, 3), shortcut])
    return layers.ReLU(name=name)(y)


def _norm_relu_conv(name, x, filters, window):
    x = layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_norm")(x))
    return layers.Conv2D(filters, window, padding="same", use_bias=False, name=name)(x)
