"""A model file, opened through Keras with safe mode on: nothing in it is executed."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from allconv.errors import FileError

if TYPE_CHECKING:
    import keras

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def open_model(path: str | os.PathLike[str]) -> keras.Model:
    """Load the model of a `.keras` or `.h5` file.

    Raises:
        FileError: There is no such file, or Keras cannot make a model of it.
    """
    import keras

    path = Path(path)
    _check_file(path)
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise FileError(f"{path}: Keras cannot load it ({_first_line(error)})") from error


def _check_file(path: Path) -> None:
    if not path.exists():
        raise FileError(f"{path}: there is no such file")
    if path.is_dir():
        raise FileError(f"{path} is a folder; expected a .keras or .h5 file")
    with path.open("rb") as file:
        start = file.read(8)
    if not start:
        raise FileError(f"{path}: the file is empty")
    if start != HDF5_SIGNATURE and not zipfile.is_zipfile(path):
        raise FileError(
            f"{path}: neither a .keras file (zip) nor an .h5 file (HDF5), or cut short; "
            f"it begins with {start!r}"
        )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
