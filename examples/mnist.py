"""The MNIST CNN, converted and compared with the original on all 10,000 test images.

    python examples/mnist.py                  downloads MNIST through Keras
    python examples/mnist.py --data FOLDER    reads FOLDER/mnist.npz

The exact conversion has to give the same 10,000 classes. Rounding can decide a tie: where the two
classes that an image wavers between are as near as rounding, the example says so and by how much.

Exit status: 0 where all claims hold, 1 where one does not, 2 where MNIST is not to be had.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

import allconv

NEAR_TIE = 1e-4
"""Logits that are nearer than this are a tie: float32 rounding moves them by about 1e-5."""


class Mnist(NamedTuple):
    """Images `(count, 28, 28, 1)` of float32 values from 0 to 1, and their digits `(count,)`."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def main() -> int:
    """Trains, converts, compares; returns the exit status."""
    options = parse_arguments()
    try:
        mnist = read_mnist(options.data)
    except Exception as error:  # Keras raises a bare Exception where a download fails
        print(f"error: no MNIST: {error}", file=sys.stderr)
        print(
            "Connect to the network once, or name a folder that holds mnist.npz: --data FOLDER",
            file=sys.stderr,
        )
        return 2

    keras.utils.set_random_seed(options.seed)
    original = train(mnist, options.epochs)
    exact = allconv.convert(original)
    print(f"\n{allconv.report(original)}\n")

    verification = allconv.verify(original, exact, mnist.test_images)
    print(verification)
    same_classes = compare_classes(original, exact, mnist)
    return 0 if verification.passed and same_classes else 1


def parse_arguments() -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="folder that holds mnist.npz")
    parser.add_argument("--epochs", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    return parser.parse_args()


def read_mnist(folder: Path | None) -> Mnist:
    """MNIST from `folder`, or from Keras' own download where `folder` is None."""
    if folder is None:
        train, test = keras.datasets.mnist.load_data()
    else:
        with np.load(folder / "mnist.npz") as file:
            train, test = ((file[f"x_{part}"], file[f"y_{part}"]) for part in ("train", "test"))
    return Mnist(scaled(train[0]), train[1], scaled(test[0]), test[1])


def scaled(pixels: np.ndarray) -> np.ndarray:
    """Bytes `(count, 28, 28)` as float32 from 0 to 1, with an axis for the one channel."""
    return pixels[..., np.newaxis].astype("float32") / 255


def mnist_cnn() -> keras.Model:
    """A CNN of 98,442 parameters from images `(batch, 28, 28, 1)` to `(batch, 10)`."""
    model = keras.Sequential([keras.Input((28, 28, 1))], name="mnist_cnn")
    for filters in (16, 32, 64):
        model.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        model.add(layers.MaxPooling2D())
        model.add(layers.Dropout(0.25))
    model.add(layers.Flatten())
    model.add(layers.Dense(128, activation="relu"))
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(10, activation="softmax"))
    return model


def train(mnist: Mnist, epochs: int) -> keras.Model:
    """The CNN after `epochs` passes over the 60,000 training images."""
    model = mnist_cnn()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        mnist.train_images,
        mnist.train_labels,
        batch_size=128,
        epochs=epochs,
        validation_data=(mnist.test_images, mnist.test_labels),
        verbose=2,
    )
    return model


def compare_classes(original: keras.Model, exact: keras.Model, mnist: Mnist) -> bool:
    """Prints how many predicted classes are equal; whether all are, but for near-ties."""
    before = original.predict(mnist.test_images, batch_size=500, verbose=0)
    after = exact.predict(mnist.test_images, batch_size=500, verbose=0)
    for name, predicted in (("original", before), ("exact", after)):
        correct = (predicted.argmax(-1) == mnist.test_labels).mean()
        print(f"test accuracy, {name}: {correct:.2%}")

    flipped = np.flatnonzero(before.argmax(-1) != after.argmax(-1))
    print(f"predicted classes: {len(before) - len(flipped):,} of {len(before):,} are equal")
    gaps = [logits_gap(before[image], after[image]) for image in flipped]
    for image, gap in zip(flipped, gaps, strict=True):
        verdict = "a tie that rounding decides" if gap < NEAR_TIE else "a difference"
        print(
            f"  image {image}: {before[image].argmax()} became {after[image].argmax()}; "
            f"their logits are {gap:.1e} apart in the original: {verdict}"
        )
    return all(gap < NEAR_TIE for gap in gaps)


def logits_gap(before: np.ndarray, after: np.ndarray) -> float:
    """How far apart the original's logits of the two predicted classes are, from probabilities.

    Softmax shifts all logits of an image alike, so their difference is that of the logarithms.
    """
    found, other = before[[before.argmax(), after.argmax()]].astype("float64")
    return float(np.log(found) - np.log(other))


if __name__ == "__main__":
    sys.exit(main())
