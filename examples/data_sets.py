"""MNIST and CIFAR-10, from Keras' download or from a folder, as bytes that were looked at first."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from refusal import Refusal

IMAGE_SHAPES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}
CLASSES = {
    "mnist": tuple("0123456789"),
    "cifar10": ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}
ARRAYS = ("x_train", "y_train", "x_test", "y_test")


class Images(NamedTuple):
    """Images `(count, height, width, channels)` of bytes, and their classes `(count,)`."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]


def read(name: str, folder: Path | None) -> Images:
    """Read the data set `name` from `folder`, or from Keras' own download where `folder` is None.

    Raises:
        Refusal: It is not to be had, or is not what its name says.
    """
    arrays = downloaded(name) if folder is None else read_file(folder / f"{name}.npz")
    train_images, train_labels, test_images, test_labels = (arrays[key] for key in ARRAYS)
    return Images(
        train_images.reshape(len(train_images), *IMAGE_SHAPES[name]),
        train_labels.ravel(),
        test_images.reshape(len(test_images), *IMAGE_SHAPES[name]),
        test_labels.ravel(),
        CLASSES[name],
    )


def downloaded(name: str) -> Mapping[str, np.ndarray]:
    """Return the arrays that Keras downloads once and keeps."""
    try:
        train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a bare Exception where a download fails
        raise Refusal(
            f"no {name}: {error}\n"
            f"Connect to the network once, or name a folder that holds {name}.npz: --data FOLDER"
        ) from error
    return checked(dict(zip(ARRAYS, (*train, *test), strict=True)), name, f"Keras' {name}")


def read_file(path: Path) -> Mapping[str, np.ndarray]:
    """Read an .npz file with the keys of Keras' own: x_train, y_train, x_test, y_test."""
    try:
        with path.open("rb") as data, np.load(data) as file:
            arrays = {key: file[key] for key in ARRAYS if key in file}
    except FileNotFoundError as error:
        raise Refusal(f"{path} does not exist; --data names the folder that holds it") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise Refusal(f"{path} does not read as .npz: {error}\nFetch it again.") from error
    return checked(arrays, path.stem, str(path))


def checked(arrays: Mapping[str, np.ndarray], name: str, source: str) -> Mapping[str, np.ndarray]:
    """Check that arrays have the kinds, shapes and counts of data set `name`.

    Raises:
        Refusal: An array is missing, is no image or no class, or is not as long as its partner.
    """
    for key in ARRAYS:
        if key not in arrays:
            raise Refusal(f"{source}: no array {key}; a file of {name} holds {', '.join(ARRAYS)}")
    for part in ("train", "test"):
        pixels, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
        shape = IMAGE_SHAPES[name]
        if pixels.dtype != np.uint8 or with_channels(pixels.shape[1:]) != shape:
            raise Refusal(
                f"{source}: x_{part} is {pixels.dtype} {pixels.shape}; expected were bytes (uint8) "
                f"of shape (count, {', '.join(map(str, shape))})"
            )
        if len(pixels) == 0 or labels.size != len(pixels) or labels.dtype.kind not in "iu":
            raise Refusal(
                f"{source}: y_{part} is {labels.dtype} {labels.shape}; expected was one whole "
                f"number for each of the {len(pixels)} images, and one image at least"
            )
        if not 0 <= labels.min() <= labels.max() < len(CLASSES[name]):
            raise Refusal(
                f"{source}: y_{part} has classes {labels.min()} to {labels.max()}; expected were "
                f"0 to {len(CLASSES[name]) - 1}"
            )
    return arrays


def with_channels(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Add the one channel to a grey image's shape `(height, width)`; leave others as they are."""
    return (*shape, 1) if len(shape) == 2 else shape
