"""Arrays in a file, and what a path is that holds none."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from allconv.errors import FileError
from allconv.pictures.folder import SUFFIXES

ARRAYS = "arrays in a .npy or .npz file"
IMAGES = f"a folder of pictures, or {ARRAYS}"


def read_arrays(path: Path, expected: str = ARRAYS) -> Any:
    """Read the array in a `.npy` file, or the arrays in a `.npz` file by name.

    Args:
        path: The file.
        expected: What it may be, for the message.

    Raises:
        FileError: The file cannot be read, or holds something else.
    """
    try:
        with path.open("rb") as file:
            arrays = np.load(file, allow_pickle=False)
            return arrays if isinstance(arrays, np.ndarray) else dict(arrays)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise FileError(f"{path}: expected {expected}: {_told(path, error)}") from error


def _told(path: Path, error: Exception) -> str:
    if is_picture(path):
        return "it is one picture, and a folder is to hold them"
    system_says = getattr(error, "strerror", None)
    return system_says or "it is damaged, or holds other things than numbers"


def is_picture(path: Path) -> bool:
    """Tell whether a path names one picture."""
    return path.suffix.lower() in SUFFIXES and path.is_file()
