"""What `allconv convert --calibrate` does: fits the converted model to images in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import allconv
from allconv.cli_options import read_arrays
from allconv.errors import OptionError
from allconv.graph import Graph

IMAGES = ("x_train", "x", "images", "arr_0")
"""Names under which a .npz file may hold the images, the first that is there."""


def calibrated(graph: Graph, converted: Any, file: Path) -> allconv.Calibration:
    """Fit a converted model, in place, to the images in a file.

    Raises:
        CalibrationError: The conversion left nothing to fit, or the images do not show enough.
        FileError: The file holds no arrays.
        OptionError: The arrays do not fit the model.
    """
    images = images_in(read_arrays(file), [node.name for node in graph.inputs], file)
    return allconv.calibrate(graph, converted, images, progress=False)


def images_in(arrays: Any, inputs: list[str], file: Path) -> Any:
    """The images among the arrays of a file: by the inputs' names, or under a usual name.

    Raises:
        OptionError: It cannot be told which array holds them.
    """
    if isinstance(arrays, np.ndarray) or set(inputs) == arrays.keys():
        return arrays
    if set(inputs) <= arrays.keys():
        return {name: arrays[name] for name in inputs}
    name = next((name for name in IMAGES if name in arrays), None)
    if len(inputs) > 1 or name is None:
        listed = ", ".join(map(repr, inputs))
        raise OptionError(
            f"--calibrate: {file} holds {', '.join(map(repr, arrays)) or 'nothing'}; expected an "
            f"array for each input of the model, {listed}, or one called {', '.join(IMAGES[:-1])}"
        )
    return arrays[name]
