"""The images that `--calibrate` names, pictures in a folder or arrays in a file, and others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from allconv.errors import OptionError
from allconv.graph import Graph
from allconv.pictures.arrays import IMAGES, read_arrays
from allconv.pictures.batches import PictureBatches
from allconv.pictures.folder import pictures
from allconv.pictures.preprocessing import Preprocessing
from allconv.verification.inputs import arrange

NAMES = ("x_train", "x", "images", "arr_0")
"""Names under which a .npz file may hold the images, the first that is there."""


@dataclass(frozen=True)
class GivenImages:
    """Images that a command is given.

    Attributes:
        name: That of the file or folder.
        images: As `allconv.calibrate` takes them.
        notes: What has to be known of how pictures were read.
    """

    name: str
    images: Any
    notes: list[str]


def given_images(
    path: Path | None, preprocessing: Preprocessing | None, graph: Graph
) -> GivenImages | None:
    """Read images for a network, before Keras is imported; None where no path is given.

    Raises:
        FileError: The file holds no arrays, or the folder no pictures.
        OptionError: They do not fit the network, or it cannot be told which numbers it takes.
    """
    if path is None:
        return None
    if path.is_dir():
        samples, notes = pictures(path, graph, preprocessing)
        return GivenImages(path.name, PictureBatches(samples), notes)
    inputs = [node.name for node in graph.inputs]
    images = images_in(read_arrays(path, IMAGES), inputs, path)
    refuse_misfit(images, graph, path, "original")
    return GivenImages(path.name, images, [])


def refuse_misfit(arrays: Any, graph: Graph, file: Path, role: str) -> None:
    """Raise an OptionError that names the file where a network does not take its arrays."""
    try:
        arrange(arrays, graph, role)
    except OptionError as error:
        raise OptionError(f"{file}: {error}") from error


def images_in(arrays: Any, inputs: list[str], file: Path) -> Any:
    """Find the images among the arrays of a file: by the inputs' names, or under a usual name.

    Raises:
        OptionError: It cannot be told which array holds them.
    """
    if isinstance(arrays, np.ndarray) or set(inputs) == arrays.keys():
        return arrays
    if set(inputs) <= arrays.keys():
        return {name: arrays[name] for name in inputs}
    name = next((name for name in NAMES if name in arrays), None)
    if len(inputs) > 1 or name is None:
        listed = ", ".join(map(repr, inputs))
        raise OptionError(
            f"--calibrate: {file} holds {', '.join(map(repr, arrays)) or 'nothing'}; expected an "
            f"array for each input of the model, {listed}, or one called {', '.join(NAMES[:-1])}"
        )
    return arrays[name]
