"""Small versions of networks that people train, each with what makes its kind hard to convert."""

from __future__ import annotations

from contextlib import contextmanager

import keras
from keras import layers

conv, pool, dense = layers.Conv2D, layers.MaxPooling2D, layers.Dense


def chain(shape, *steps):
    """A Functional model of steps one after the other."""
    image = tensor = keras.Input(shape, name="image")
    for step in steps:
        tensor = step(tensor)
    return keras.Model(image, tensor)


@contextmanager
def under(policy):
    """Let layers made in the meantime have this dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def mlp():
    return chain(
        (9, 9, 1),
        layers.Flatten(),
        dense(12, activation="relu"),
        layers.BatchNormalization(),
        layers.Dropout(0.5),
        dense(4, activation="softmax"),
    )


def alexnet():
    """Overlapping pools: windows of 3 with stride 2."""
    return chain(
        (31, 31, 3),
        conv(6, 5, strides=2, activation="relu"),
        pool(3, 2),
        conv(8, 3, padding="same", activation="relu"),
        pool(3, 2),
        layers.Flatten(),
        dense(12, activation="relu"),
        layers.Dropout(0.5),
        dense(5, activation="softmax"),
    )


def mobilenet():
    return chain(
        (16, 16, 3),
        conv(6, 3, strides=2, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(6.0),
        layers.DepthwiseConv2D(3, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(6.0),
        conv(8, 1),
        layers.GlobalAveragePooling2D(keepdims=True),
        layers.Dropout(0.1),
        conv(5, 1),
        layers.Reshape((5,)),
        layers.Activation("softmax"),
    )


def squeeze_and_excitation():
    """Two Dense layers on the map's means say how much of each channel goes on."""
    image = keras.Input((8, 8, 3))
    x = conv(8, 3, padding="same", activation="relu")(image)
    scale = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D()(x))
    scale = dense(8, activation="sigmoid")(dense(2, activation="relu")(scale))
    x = layers.GlobalMaxPooling2D()(layers.Multiply()([x, scale]))
    return keras.Model(image, dense(3)(x))


def spatial_pyramid():
    image = keras.Input((12, 12, 2))
    x = conv(4, 3, padding="same", activation="relu")(image)
    levels = [layers.Flatten()(pool(12 // cells)(x)) for cells in (1, 2, 4)]
    return keras.Model(image, dense(5, activation="softmax")(layers.Concatenate()(levels)))


def u_net():
    image = keras.Input((16, 16, 2))
    wide = conv(4, 3, padding="same", activation="relu")(image)
    deep = conv(8, 3, padding="same", activation="relu")(pool(2)(wide))
    up = layers.Conv2DTranspose(4, 2, strides=2)(deep)
    x = conv(4, 3, padding="same", activation="relu")(layers.Concatenate()([up, wide]))
    return keras.Model(image, conv(2, 1, activation="softmax")(x))


def autoencoder():
    return chain(
        (8, 8, 1),
        conv(4, 3, padding="same", activation="relu"),
        pool(2, padding="same"),
        layers.Flatten(),
        dense(6, activation="relu"),
        dense(64, activation="relu"),
        layers.Reshape((4, 4, 4)),
        layers.UpSampling2D(2),
        conv(1, 3, padding="same", activation="sigmoid"),
    )


def dcgan_generator():
    return chain(
        (10,),
        dense(4 * 4 * 6, use_bias=False),
        layers.BatchNormalization(),
        layers.LeakyReLU(negative_slope=0.2),
        layers.Reshape((4, 4, 6)),
        layers.Conv2DTranspose(4, 5, strides=2, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.LeakyReLU(negative_slope=0.2),
        layers.Conv2DTranspose(1, 5, strides=2, padding="same", activation="tanh"),
    )


def dcgan_discriminator():
    return chain(
        (16, 16, 1),
        conv(4, 5, strides=2, padding="same"),
        layers.LeakyReLU(negative_slope=0.2),
        layers.Dropout(0.3),
        conv(6, 5, strides=2, padding="same"),
        layers.LeakyReLU(negative_slope=0.2),
        layers.Flatten(),
        dense(1),
    )


def siamese():
    """Two images through one encoder, a nested model, and a Dense that compares."""
    encoder = chain((10, 10, 1), conv(4, 3, activation="relu"), pool(2), layers.Flatten(), dense(5))
    images = [keras.Input((10, 10, 1), name=name) for name in ("left", "right")]
    distance = layers.Subtract()([encoder(image) for image in images])
    return keras.Model(images, dense(1, activation="sigmoid")(distance))


NETWORKS = (
    mlp,
    alexnet,
    mobilenet,
    squeeze_and_excitation,
    spatial_pyramid,
    u_net,
    autoencoder,
    dcgan_generator,
    dcgan_discriminator,
    siamese,
)
