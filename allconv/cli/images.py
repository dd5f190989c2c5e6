"""The images that `--calibrate` names: pictures in a folder, or arrays in a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from allconv.cli.options import read_arrays
from allconv.errors import OptionError
from allconv.graph import Graph
from allconv.pictures.batches import PictureBatches
from allconv.pictures.folder import pictures
from allconv.pictures.preprocessing import Preprocessing

NAMES = ("x_train", "x", "images", "arr_0")
"""Names under which a .npz file may hold the images, the first that is there."""


@dataclass(frozen=True)
class ImageSource:
    """Images that a command is given.

    Attributes:
        path: A folder of pictures, or a `.npy` or `.npz` file.
        preprocessing: How pictures become what the network takes.
    """

    path: Path
    preprocessing: Preprocessing | None = None


def read_images(source: ImageSource, graph: Graph) -> tuple[Any, list[str]]:
    """Read images as `allconv.calibrate` takes them, and what has to be known of pictures.

    Raises:
        FileError: The file holds no arrays, or the folder no pictures.
        OptionError: They do not fit the network, or it cannot be told which numbers it takes.
    """
    if source.path.is_dir():
        samples, notes = pictures(source.path, graph, source.preprocessing)
        return PictureBatches(samples), notes
    inputs = [node.name for node in graph.inputs]
    return images_in(read_arrays(source.path), inputs, source.path), []


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
