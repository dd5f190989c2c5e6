"""Pictures in a folder, and networks that take them."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers
from PIL import Image

from allconv.graph import Graph
from allconv.read import read

SIZE = (4, 6)


def on_pictures(
    channels: int | None = 3, size: tuple = SIZE, scales: bool = True, **options
) -> Graph:
    """A network on images of height 4 and width 6, named `image`."""
    first = options.pop("data_format", "channels_last") == "channels_first"
    shape = (channels, *size) if first else (*size, channels)
    image = x = keras.Input(shape, name="image", **options)
    if scales:
        x = layers.Rescaling(1 / 255)(x)
    data_format = "channels_first" if first else "channels_last"
    pool = layers.AveragePooling2D(2, data_format=data_format)
    return read(keras.Model(image, pool(x), name="on_pictures"))


def pixels(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype="uint8")


def write_pictures(folder: Path, count: int = 12, size: tuple = SIZE) -> Path:
    """A folder with pictures in two subfolders."""
    for number in range(count):
        place = folder / ("cats" if number % 2 else "dogs")
        place.mkdir(exist_ok=True, parents=True)
        Image.fromarray(pixels(number, *size, 3)).save(place / f"{number:02}.png")
    (folder / "notes.txt").write_text("not a picture")
    return folder
