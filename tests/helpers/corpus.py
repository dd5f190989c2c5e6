"""Real model files, each reported, converted where allconv can, and compared with Keras' own load.

    python -m tests.helpers.corpus FOLDER

Keras loads the files here with safe mode on, to have something to compare with; allconv does not.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import keras
import numpy as np

import allconv
from allconv.building.build import build
from allconv.errors import AllconvError, FileError
from allconv.read import read
from tests.helpers.keras_comparison import runnable

Images = list[np.ndarray] | np.ndarray
MODEL_SUFFIXES = {".keras", ".h5", ".hdf5"}


def model_files(folder: Path) -> list[Path]:
    """The model files of a folder, by their names."""
    return sorted(path for path in folder.iterdir() if path.suffix in MODEL_SUFFIXES)


def outcome_of(path: Path) -> tuple[str, str]:
    """What becomes of a file: a word for it, and the details."""
    try:
        report = allconv.report(path)
    except FileError as error:
        return "weights only" if "weights only" in str(error) else "error", str(error)
    if report.refused:
        return "refused", "; ".join(map(str, report.obstacles))
    original = keras_load(path)
    word = "as Keras loads it" if original else "Keras cannot load it"
    verification = compared(original or build(read(path)), allconv.convert(path))
    return (f"converted, {word}" if verification else "FAILED"), str(verification)


def compared(original: keras.Model, converted: keras.Model) -> allconv.Verification:
    """How two models compare, on the first images that the original can tell apart."""
    for images in (drawing(original) for drawing in DRAWINGS):
        models = (original, converted)
        if keras.backend.backend() == "tensorflow":  # its channels-first needs XLA
            models = (runnable(original), runnable(converted))
        verification = allconv.verify(*models, images)
        if verification.passed is not None:
            break
    return verification


def keras_load(path: Path) -> keras.Model | None:
    """The model as Keras loads it, under the suffix that its content has; None if it fails."""
    suffix = ".keras" if path.read_bytes()[:2] == b"PK" else ".h5"
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(path, Path(folder) / f"model{suffix}"))
        try:
            return keras.saving.load_model(copy, compile=False, safe_mode=True)
        except Exception:
            return None


def noise(model: keras.Model, brightness: float) -> Images:
    """Four images of noise for each input of a model."""
    rng = np.random.default_rng(0)
    return images_for(model, lambda shape: brightness * rng.normal(size=shape))


def black_and_white(model: keras.Model) -> Images:
    """Four images of zeros and ones for each input of a model."""
    rng = np.random.default_rng(0)
    return images_for(model, lambda shape: rng.integers(0, 2, shape))


def images_for(model: keras.Model, draw: Callable[[tuple[int, ...]], np.ndarray]) -> Images:
    shapes = [(4, *(size or 48 for size in tensor.shape[1:])) for tensor in model.inputs]
    images = [draw(shape).astype("float32") for shape in shapes]
    return images if len(images) > 1 else images[0]


DRAWINGS = (*(partial(noise, brightness=times) for times in (1, 100, 0.1, 0.01)), black_and_white)


def outcomes(folder: Path) -> Iterator[tuple[Path, str, str]]:
    for path in model_files(folder):
        try:
            yield path, *outcome_of(path)
        except AllconvError as error:
            yield path, "error", str(error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    counts: Counter[str] = Counter()
    for path, word, details in outcomes(parser.parse_args().folder):
        counts[word] += 1
        print(f"{path.name[-56:]:56}  {word}: {details}", flush=True)
    print(dict(counts))


if __name__ == "__main__":
    main()
