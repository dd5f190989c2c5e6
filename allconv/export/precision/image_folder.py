"""Pictures in a folder, as a network takes them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from allconv.errors import FileError, OptionError
from allconv.graph import Graph
from allconv.shape_walk import Image, images

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""What Pillow calls pictures of so many channels."""

MOST = 256
"""Pictures that are looked at; ranges hardly move beyond some hundred."""


def pictures(folder: Path, graph: Graph) -> tuple[list[Callable[[], list[np.ndarray]]], str]:
    """Return functions that read a picture each, and what has to be known of them.

    Pictures are found in subfolders too. They are scaled to the network's size, bilinearly, where
    it has one, and their numbers are 0 to 255 as `keras.utils.image_dataset_from_directory` has
    them. Of more than 256, as many are taken, evenly spread.

    Args:
        folder: Where they are.
        graph: A network with one input, images of two axes.

    Raises:
        FileError: The folder holds no pictures, or Pillow is not installed.
        OptionError: The network takes something else.
    """
    image = _only_image(graph)
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise FileError(f"{folder}: holds no pictures ({', '.join(SUFFIXES)})")
    _import_pillow(folder)
    count = min(len(files), MOST)
    chosen = [files[number * len(files) // count] for number in range(count)]
    return [partial(_read, file, image) for file in chosen], "" if _scales(graph) else _NOTE


_NOTE = (
    "the pictures' numbers were given as they are, 0 to 255: the network has no Rescaling or "
    "Normalization at its input; if it was trained on others, give these in a .npz file"
)


def _only_image(graph: Graph) -> Image:
    found = images(graph)
    if len(graph.inputs) != 1 or len(found) != 1 or len(found[0].sizes) != 2:
        inputs = ", ".join(f"'{node.name}' {node.shape}" for node in graph.inputs)
        raise OptionError(
            f"int8: pictures are for a network with one input of images, but model '{graph.name}' "
            f"takes {inputs}; give arrays in a .npz file, by these names"
        )
    if _channels(found[0]) not in MODES or (graph.inputs[0].shape or (None,))[0] not in (None, 1):
        raise OptionError(
            f"int8: pictures have 1, 3 or 4 channels and come one by one, but input "
            f"'{found[0].node.name}' is {found[0].node.shape}; give arrays in a .npz file"
        )
    return found[0]


def _channels(image: Image) -> int | None:
    shape = image.node.shape or (None,)
    return shape[-1] if image.data_format == "channels_last" else shape[1]


def _import_pillow(folder: Path) -> None:
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise FileError(
            f"{folder}: reading pictures takes Pillow, which is not installed ({error}); "
            "pip install pillow, or give arrays in a .npz file"
        ) from error


def _read(file: Path, image: Image) -> list[np.ndarray]:
    from PIL import Image as pillow

    try:
        with pillow.open(file) as picture:
            pixels = picture.convert(MODES[_channels(image) or 3])
    except (OSError, SyntaxError, ValueError) as error:
        raise FileError(f"{file}: is no picture that Pillow can read: {error}") from error
    own = image.sizes
    size = (own[1] or pixels.width, own[0] or pixels.height)
    if size != pixels.size:
        pixels = pixels.resize(size, pillow.Resampling.BILINEAR)
    array = np.asarray(pixels).astype(image.node.config.get("dtype") or "float32")
    array = array.reshape(*array.shape[:2], -1)
    if image.data_format == "channels_first":
        array = np.moveaxis(array, -1, 0)
    return [array[None]]


def _scales(graph: Graph) -> bool:
    """Tell whether the network itself brings pixels into the range it was trained on."""
    users = graph.users()[graph.inputs[0]]
    return all(user.kind in ("Rescaling", "Normalization") for user in users)
