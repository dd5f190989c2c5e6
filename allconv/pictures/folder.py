"""Pictures in a folder, as a network takes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from allconv.errors import FileError, OptionError
from allconv.graph import Graph
from allconv.pictures.entrance import takes_pixels
from allconv.pictures.opening import MODES, changes, opened, refuse_missing_pillow
from allconv.pictures.preprocessing import Preprocessing
from allconv.shape_walk import Image, images

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png")

MOST = 256
"""Pictures that are looked at; ranges hardly move beyond some hundred."""


def pictures(
    folder: Path, graph: Graph, preprocessing: Preprocessing | None = None
) -> tuple[list[Callable[[], list[np.ndarray]]], list[str]]:
    """Return functions that read a picture each, as a batch of one, and what to know of them.

    Pictures are found in subfolders too. They are scaled to the network's size, bilinearly, where
    it has one. Their numbers are 0 to 255, as `keras.utils.image_dataset_from_directory` has them,
    or what `preprocessing` makes of these. Of more than 256, as many are taken, evenly spread.

    Args:
        folder: Where they are.
        graph: A network with one input, images of two axes.
        preprocessing: What becomes of their pixels.

    Raises:
        FileError: The folder holds no pictures, one of them is none, or Pillow is not installed.
        OptionError: The network takes something else, or nothing tells which numbers it takes.
    """
    image, chosen = _only_image(folder, graph), preprocessing or Preprocessing()
    _refuse_unlike(folder, graph, image, chosen)
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise FileError(f"{folder}: holds no pictures ({', '.join(SUFFIXES)})")
    refuse_missing_pillow(folder)
    count = min(len(files), MOST)
    taken = [files[number * len(files) // count] for number in range(count)]
    notes = list(_changed(taken, image, chosen))
    if count < len(files):
        notes.append(f"{count:,} of {len(files):,} pictures were taken, evenly spread")
    if chosen.states_range and takes_pixels(graph):
        notes.append("the network scales its input itself, after what was asked for")
    return [partial(_read, file, image, chosen) for file in taken], notes


def _only_image(folder: Path, graph: Graph) -> Image:
    found = images(graph)
    if len(graph.inputs) != 1 or len(found) != 1 or len(found[0].sizes) != 2:
        inputs = ", ".join(f"'{node.name}' {node.shape}" for node in graph.inputs)
        raise OptionError(
            f"{folder}: pictures are for a network with one input of images, but model "
            f"'{graph.name}' takes {inputs}; give arrays in a .npz file, by these names"
        )
    if _channels(found[0]) not in MODES or (graph.inputs[0].shape or (None,))[0] not in (None, 1):
        raise OptionError(
            f"{folder}: pictures have 1, 3 or 4 channels and come one by one, but input "
            f"'{found[0].node.name}' is {found[0].node.shape}; give arrays in a .npz file"
        )
    return found[0]


def _channels(image: Image) -> int | None:
    shape = image.node.shape or (None,)
    return shape[-1] if image.data_format == "channels_last" else shape[1]


def _refuse_unlike(folder: Path, graph: Graph, image: Image, chosen: Preprocessing) -> None:
    """Raise an OptionError where a network takes other numbers, channels or sizes than these."""
    name = f"input '{image.node.name}'"
    if not chosen.states_range and not takes_pixels(graph):
        raise OptionError(
            f"{folder}: model '{graph.name}' has no Rescaling or Normalization at its {name}, so "
            "it has to be said which numbers it takes: give a Preprocessing with scale, mean or "
            "std (and colour and size, where need be); Preprocessing(scale=1) is for one that "
            "takes pixels as they are, 0 to 255"
        )
    chosen.refuse_other_channels(_channels(image) or 0, name)
    own = image.sizes
    if chosen.size and any(
        n not in (None, given) for n, given in zip(own, chosen.size, strict=True)
    ):
        size, takes = ("x".join(str(n or "?") for n in sizes) for sizes in (chosen.size, own))
        raise OptionError(f"Preprocessing: size is {size}; expected that of {name}, {takes}")


def _changed(files: Sequence[Path], image: Image, chosen: Preprocessing) -> Iterator[str]:
    """Say what is done to the colours and sizes of pictures, and to how many of them."""
    mode, counts = MODES[_channels(image) or 0], Counter[str]()
    for file in files:
        picture = opened(file, decode=False)
        counts.update(changes(picture, mode))
        height, width = _size(picture, image, chosen)
        if (width, height) != picture.size:
            counts[f"of another size, scaled to {_size_words(image, chosen)} bilinearly"] += 1
    for words, count in counts.items():
        yield f"{count:,} of {len(files):,} pictures: {words}"


def _size_words(image: Image, chosen: Preprocessing) -> str:
    return "x".join(str(size or "their own") for size in chosen.size or image.sizes)


def _size(picture: Any, image: Image, chosen: Preprocessing) -> tuple[int, int]:
    """Say the height and width that a network gets a picture in."""
    (height, width), (columns, rows) = chosen.size or image.sizes, picture.size
    return height or rows, width or columns


def _read(file: Path, image: Image, chosen: Preprocessing) -> list[np.ndarray]:
    """Read a picture as a batch of one."""
    from PIL import Image as pillow

    picture = opened(file, decode=True)
    pixels = picture.convert(MODES[_channels(image) or 0])
    height, width = _size(picture, image, chosen)
    if (width, height) != pixels.size:
        pixels = pixels.resize((width, height), pillow.Resampling.BILINEAR)
    numbers = chosen.apply(np.asarray(pixels).reshape(height, width, -1))
    array = _of_type(numbers, image)
    return [
        np.moveaxis(array, -1, 0)[None] if image.data_format == "channels_first" else array[None]
    ]


def _of_type(numbers: np.ndarray, image: Image) -> np.ndarray:
    """Return numbers in the type of a network's input.

    Raises:
        OptionError: It takes whole numbers, and these are none.
    """
    dtype = image.node.config.get("dtype") or "float32"
    array = numbers.astype(dtype)
    if array.dtype.kind in "iu" and not np.array_equal(array, numbers):
        raise OptionError(
            f"input '{image.node.name}' takes {dtype}, and what Preprocessing makes of pixels are "
            "others than such numbers; leave scale, mean and std out"
        )
    return array
