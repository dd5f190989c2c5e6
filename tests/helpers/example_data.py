"""Small files in the form of MNIST and CIFAR-10, for the tests of the examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SHAPES = {"mnist": (28, 28), "cifar10": (32, 32, 3)}


def drawn_arrays(name: str, training: int = 96, testing: int = 40) -> dict[str, np.ndarray]:
    """Arrays as in `name`.npz; an image's first pixel is its class, and the rest is noise."""
    random = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", training), ("test", testing)):
        labels = random.integers(0, 10, count)
        images = random.integers(0, 256, (count, *SHAPES[name]))
        images[:, 0, 0] = labels.reshape(-1, *[1] * (images.ndim - 3))
        arrays |= {f"x_{part}": images.astype("uint8"), f"y_{part}": labels.astype("uint8")}
    return arrays


def write_data(folder: Path, name: str) -> Path:
    """The folder, in which `name`.npz now lies."""
    np.savez(folder / f"{name}.npz", **drawn_arrays(name))
    return folder
