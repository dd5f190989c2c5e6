"""The networks that the examples train from scratch, and how each of them is trained.

`cnn` is a small network of three convolutions, three max pools and two Dense layers; `fcn` is what
`allconv.convert` makes of it with `ConvPool(3, "valid")` and `head="classifier"`, trained afresh.
`all-cnn-c` and `strided-cnn-c` are those of Springenberg et al. 2014, arXiv 1412.6806, tables 1
and 2: rectified 1x1 convolutions to the classes, then the mean over a 6x6 map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
from keras import layers

import allconv

Shape = tuple[int, int, int]

DENSE_UNITS = {(28, 28, 1): 128, (32, 32, 3): 512}
FCN_FILTERS = {(28, 28, 1): (16, 32, 64), (32, 32, 3): (16, 32, 66)}
"""Channels behind each pool of the FCN. CIFAR-10's 66 give the published 79,184 parameters."""


def cnn(
    shape: Shape,
    classes: int = 10,
    *,
    filters: Sequence[int] = (16, 32, 64),
    kernel_size: int = 3,
    padding: str = "same",
    activation: str = "relu",
) -> keras.Model:
    """Build one convolution, 2x2 max pool and dropout for each of `filters`, then two Denses.

    98,442 parameters on MNIST, 553,514 on CIFAR-10, by default.
    """
    model = keras.Sequential([keras.Input(shape, name="image")], name="cnn")
    for block, count in enumerate(filters, 1):
        conv = layers.Conv2D(count, kernel_size, padding=padding, name=f"conv{block}")
        model.add(conv)
        model.add(layers.Activation(activation, name=f"{activation}{block}"))
        model.add(layers.MaxPooling2D(2, name=f"pool{block}"))
        model.add(layers.Dropout(0.25, name=f"dropout{block}"))
    model.add(layers.Flatten(name="flatten"))
    model.add(layers.Dense(DENSE_UNITS.get(shape, 128), activation=activation, name="hidden"))
    model.add(layers.Dropout(0.5, name="dropout_hidden"))
    model.add(layers.Dense(classes, activation="softmax", name="classes"))
    return model


def fcn(shape: Shape, classes: int = 10) -> keras.Model:
    """Build the CNN with 3x3 convolutions for pools and one convolution for its Dense layers.

    74,362 parameters on MNIST, 79,184 on CIFAR-10. The weights are drawn anew: the conversion
    starts its convolutions as means, which would not be training from scratch.
    """
    filters = FCN_FILTERS.get(shape, (16, 32, 64))
    pooling = {
        f"pool{block}": allconv.ConvPool(kernel_size=3, padding="valid", filters=count)
        for block, count in enumerate(filters, 1)
    }
    converted = allconv.convert(cnn(shape, classes), pooling=pooling, head="classifier")
    return keras.models.clone_model(converted)


def all_cnn_c(shape: Shape, classes: int = 10) -> keras.Model:
    """All-CNN-C: the pools of model C are 3x3 convolutions of stride 2. 1,369,738 parameters."""
    return model_c(
        "all_cnn_c", shape, classes, [[(96, 1), (96, 1), (96, 2)], [(192, 1)] * 2 + [(192, 2)]]
    )


def strided_cnn_c(shape: Shape, classes: int = 10) -> keras.Model:
    """Strided-CNN-C: the convolutions before the pools of model C take their strides."""
    return model_c("strided_cnn_c", shape, classes, [[(96, 1), (96, 2)], [(192, 1), (192, 2)]])


def model_c(
    name: str, shape: Shape, classes: int, blocks: Sequence[Sequence[tuple[int, int]]]
) -> keras.Model:
    """Blocks of 3x3 convolutions given as (filters, stride), dropout after each; then the head.

    Dropout is 20 % on the image and 50 % after each block. The paper's weight decay adds 0.001
    times a weight to its gradient: half of that on the square. Otherwise than there, images are not
    whitened (ZCA), and kernels alone decay.
    """
    model = keras.Sequential([keras.Input(shape, name="image"), layers.Dropout(0.2)], name=name)
    for block in blocks:
        for filters, stride in block:
            model.add(rectified(filters, 3, strides=stride, padding="same"))
        model.add(layers.Dropout(0.5))
    for filters, kernel_size in ((192, 3), (192, 1), (classes, 1)):
        model.add(rectified(filters, kernel_size))
    model.add(layers.GlobalAveragePooling2D(name="mean"))
    model.add(layers.Softmax(name="classes"))
    return model


def rectified(filters: int, kernel_size: int, **options: object) -> layers.Layer:
    """Make a convolution with ReLU, weight decay and He's initial weights (arXiv 1502.01852)."""
    return layers.Conv2D(
        filters,
        kernel_size,
        activation="relu",
        kernel_initializer="he_normal",
        kernel_regularizer=keras.regularizers.L2(0.0005),
        **options,
    )


NETWORKS: dict[str, Callable[[Shape, int], keras.Model]] = {
    "cnn": cnn,
    "fcn": fcn,
    "all-cnn-c": all_cnn_c,
    "strided-cnn-c": strided_cnn_c,
}


def optimizer(network: str, steps: int, learning_rate: float | None) -> keras.optimizers.Optimizer:
    """Adam; for the networks of Springenberg et al. their SGD, over `steps` steps in all.

    Its rate falls to a tenth at epochs 200, 250 and 300 of 350; here at the same shares of `steps`.
    """
    if not network.endswith("-cnn-c"):
        return keras.optimizers.Adam(learning_rate or 0.001)
    rate = learning_rate or 0.01
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
        [steps * epoch // 350 for epoch in (200, 250, 300)],
        [rate * 0.1**drops for drops in range(4)],
    )
    return keras.optimizers.SGD(schedule, momentum=0.9)
