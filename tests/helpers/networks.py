"""Small networks that several tests share, with names of their own so that printed reports last."""

from __future__ import annotations

import keras
from keras import layers


def mnist_cnn() -> keras.Model:
    """98,442 parameters, images `(batch, 28, 28, 1)`, 10 classes."""
    model = keras.Sequential([keras.Input((28, 28, 1), name="image")], name="mnist_cnn")
    for number, filters in enumerate((16, 32, 64), 1):
        name = f"conv{number}"
        model.add(layers.Conv2D(filters, 3, padding="same", activation="relu", name=name))
        model.add(layers.MaxPooling2D(2, name=f"pool{number}"))
        model.add(layers.Dropout(0.25, name=f"dropout{number}"))
    return _with_head(model, 128)


def cifar10_cnn() -> keras.Model:
    """553,514 parameters, images `(batch, 32, 32, 3)`, 10 classes; activations are layers."""
    model = keras.Sequential([keras.Input((32, 32, 3), name="image")], name="cifar10_cnn")
    for number, filters in enumerate((16, 32, 64), 1):
        model.add(layers.Conv2D(filters, 3, padding="same", name=f"conv{number}"))
        model.add(layers.Activation("relu", name=f"relu{number}"))
        model.add(layers.MaxPooling2D(2, name=f"pool{number}"))
        model.add(layers.Dropout(0.25, name=f"dropout{number}"))
    return _with_head(model, 512)


def _with_head(model: keras.Sequential, units: int) -> keras.Sequential:
    model.add(layers.Flatten(name="flatten"))
    model.add(layers.Dense(units, activation="relu", name="hidden"))
    model.add(layers.Dropout(0.5, name="dropout4"))
    model.add(layers.Dense(10, activation="softmax", name="classes"))
    return model


def twins() -> keras.Model:
    """Two images of 16x16 through the same convolution, pool and Dense, and the difference."""
    images = [keras.Input((16, 16, 3), name=name) for name in ("left", "right")]
    conv = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")
    pool = layers.MaxPooling2D(2, name="pool")
    flatten, dense = layers.Flatten(name="flatten"), layers.Dense(5, name="dense")
    ends = [dense(flatten(pool(conv(image)))) for image in images]
    return keras.Model(images, layers.Subtract(name="difference")(ends), name="twins")


def of_any_size() -> keras.Model:
    """Images `(batch, None, None, 3)`, a class map; nothing in it depends on the size."""
    image = keras.Input((None, None, 3), name="image")
    x = layers.Conv2D(8, 3, name="conv")(image)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.MaxPooling2D(2, name="pool")(layers.ReLU(name="relu")(x))
    return keras.Model(image, layers.Conv2D(2, 1, name="classes")(x), name="of_any_size")


def stubborn() -> keras.Model:
    """Two layers stand in the way: a Lambda, and a mean over a map whose size is free."""
    image = keras.Input((None, None, 3), name="image")
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(image)
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.Lambda(lambda x: x - 1, output_shape=(None, None, 4), name="shift")(x)
    x = layers.GlobalAveragePooling2D(keepdims=True, name="mean")(x)
    x = layers.Conv2D(2, 1, name="classes")(x)
    return keras.Model(image, x, name="stubborn")


def residual() -> keras.Model:
    """A branch that is added to its input, on images `(batch, 12, 12, 4)` that stay maps."""
    image = keras.Input((12, 12, 4), name="image")
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv1")(image)
    x = layers.Conv2D(4, 3, padding="same", name="conv2")(x)
    x = layers.Add(name="sum")([x, image])
    return keras.Model(image, layers.ReLU(name="relu")(x), name="residual")


def on_signals() -> keras.Model:
    """The 1D twin: signals `(batch, 40, 2)`, 3 classes."""
    model = keras.Sequential([keras.Input((40, 2), name="signal")], name="on_signals")
    model.add(layers.Conv1D(6, 5, activation="relu", name="conv"))
    model.add(layers.MaxPooling1D(2, name="pool"))
    model.add(layers.Flatten(name="flatten"))
    model.add(layers.Dense(3, name="classes"))
    return model
