"""Images to calibrate and measure with: drawn, in arrays, in a file of arrays, or in a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from allconv.errors import OptionError
from allconv.export.comparison.trial_sizes import taking, trial_sizes
from allconv.graph import Graph
from allconv.pictures.arrays import IMAGES, read_arrays
from allconv.pictures.folder import pictures
from allconv.pictures.preprocessing import Preprocessing
from allconv.shapes import Shape
from allconv.sizes.image_sizes import Sizes, refuse_misfits
from allconv.verification.inputs import DRAWN, arrange, batch_size, draw_inputs

Sample = Callable[[], list[np.ndarray]]
"""Gives one batch of each input, as Keras takes them, when it is called: pictures are read late."""

Images = np.ndarray | Sequence[np.ndarray] | Mapping[str, np.ndarray] | str | os.PathLike[str]

DRAWS = 4
"""Batches of four samples that are drawn of each size."""

HELD_OUT = 4
"""One sample of so many is kept from calibration, to measure with."""


@dataclass(frozen=True)
class Samples:
    """Samples for two purposes.

    Attributes:
        calibration: Those from which ranges are learnt.
        measured: Those on which errors are measured; not the same ones if there are enough.
        words: What the latter are.
        notes: What has to be known of how they were read.
    """

    calibration: Sequence[Sample]
    measured: Sequence[Sample]
    words: str
    notes: Sequence[str] = ()


def read_samples(
    images: Images, graph: Graph, preprocessing: Preprocessing | None = None
) -> Samples:
    """Read samples for a network from what a caller has.

    Args:
        images: An array of images as the Keras model takes them, a list of arrays or a dictionary
            by name for several inputs, a `.npy` or `.npz` file of these, or a folder of pictures.
        graph: The network.
        preprocessing: What becomes of the pixels of pictures in a folder.

    Raises:
        FileError: A file or the folder cannot be read, or holds no images.
        OptionError: The images do not fit the network's inputs, or are not finite; nothing tells
            which numbers a network takes of pictures, or arrays are to be preprocessed.
    """
    notes: Sequence[str] = ()
    if isinstance(images, (str, os.PathLike)) and Path(images).is_dir():
        found, notes = pictures(Path(images), graph, preprocessing)
    elif preprocessing is not None:
        raise OptionError("preprocessing is for a folder of pictures; arrays are taken as they are")
    else:
        found = _batches(_given(images, graph), (graph.inputs[0].shape or (None,))[0] or 1)
    seen: set[tuple[Shape, ...]] = set()
    found = [partial(_held_to_sizes, sample, graph, seen) for sample in found]
    measured = found[HELD_OUT - 1 :: HELD_OUT]
    if len(measured) < 2:
        return Samples(found, found, "images that it was calibrated on", notes)
    rest = [sample for number, sample in enumerate(found) if (number + 1) % HELD_OUT]
    return Samples(rest, measured, f"images held out, calibrated on {len(rest):,} others", notes)


def _held_to_sizes(sample: Sample, graph: Graph, seen: set[tuple[Shape, ...]]) -> list[np.ndarray]:
    """Check that the network takes a sample; its free sizes may be too small or not go together.

    Args:
        sample: Gives it.
        graph: The network.
        seen: Shapes that the network takes; these are added.
    """
    arrays = sample()
    shapes = tuple(array.shape for array in arrays)
    if shapes not in seen:
        refuse_misfits(graph, shapes, "int8")
        seen.add(shapes)
    return arrays


def _given(images: Images, graph: Graph) -> list[np.ndarray]:
    """Return the arrays that a caller has, or has in a file, one for each input."""
    if not isinstance(images, (str, os.PathLike)):
        return _arranged(images, graph)
    arrays = read_arrays(Path(images), IMAGES)
    try:
        return _arranged(arrays, graph)
    except OptionError as error:
        raise OptionError(f"{os.fspath(images)}: {error}") from error


def _arranged(images: Any, graph: Graph) -> list[np.ndarray]:
    """Return one array for each input, of its type."""
    inputs = [SimpleNamespace(name=node.name, shape=node.shape) for node in graph.inputs]
    if isinstance(images, Mapping) and len(images) == len(inputs) == 1:
        images = list(images.values())  # np.savez calls a single array arr_0
    arrays = arrange(images, SimpleNamespace(inputs=inputs), "exported")
    if not len(arrays[0]):
        raise OptionError("int8: there are no images to calibrate with")
    for array, node in zip(arrays, graph.inputs, strict=True):
        if not np.isfinite(array).all():
            raise OptionError(f"int8: the images for input '{node.name}' are not all finite")
    return [
        array.astype(node.config.get("dtype") or "float32", copy=False)
        for array, node in zip(arrays, graph.inputs, strict=True)
    ]


def _batches(arrays: Sequence[np.ndarray], length: int) -> list[Sample]:
    starts = range(0, len(arrays[0]), length)
    return [partial(_slices, arrays, slice(start, start + length)) for start in starts]


def _slices(arrays: Sequence[np.ndarray], part: slice) -> list[np.ndarray]:
    return [array[part] for array in arrays]


def drawn_samples(model: Any, graph: Graph) -> Samples:
    """Draw batches at random, at three sizes where the network takes several.

    Args:
        model: A Keras model of the network, whose first layers tell what it expects.
        graph: The network.

    Raises:
        ExportError: No size was found that it takes.
    """
    sizes = trial_sizes(graph)
    drawn = [partial(_drawn, model, graph, seed, size) for size in sizes for seed in range(DRAWS)]
    return Samples(drawn, drawn, "inputs drawn at random")


def _drawn(model: Any, graph: Graph, seed: int, size: Sizes | None) -> list[np.ndarray]:
    drawn = draw_inputs(model, seed, taking(graph, size))
    return [values[: batch_size(model) or DRAWN] for values in drawn]
