"""A model file, opened through Keras with safe mode on: nothing in it is executed."""

from __future__ import annotations

import os
import re
import textwrap
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from allconv.errors import FileError

if TYPE_CHECKING:
    import keras

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

EXPLANATIONS = {
    r"No model config found": "it holds weights only, no architecture; make the model in Python, "
    "load the weights into it, and convert that or save it whole",
    r"no item named 'config.json'": "it is a zip file, but no model that Keras saved",
    r"truncated file": "it is cut short",
    r"deserialization of a `?Lambda": "it has a Lambda layer, whose code is not run; if you trust "
    "it, load it in Python with safe_mode=False and give allconv the model",
    r"(?:Could not locate \w+|Unknown layer:?) '([^']+)'": "it needs '{}', which Keras does not "
    "know; if it is your own, load it in Python with custom_objects and give allconv the model",
}
"""What Keras says of a file, as patterns, and what a user can make of it; the first that fits."""


def open_model(path: str | os.PathLike[str]) -> keras.Model:
    """Load the model of a `.keras` or `.h5` file.

    Raises:
        FileError: The file cannot be read, or Keras cannot make a model of it.
    """
    path = Path(path)
    check_readable(path)
    import keras

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise FileError(f"{path}: {_explanation(str(error)) or _as_told(error, path)}") from error


def check_readable(path: Path) -> None:
    """Find what can be found wrong with a model file without Keras, which takes seconds to import.

    Raises:
        FileError: The file is missing, a folder, empty, cannot be read, or is of another format
            than its name says.
    """
    try:
        start = _first_bytes(path)
        is_zip = zipfile.is_zipfile(path)
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not start:
        raise FileError(f"{path}: the file is empty")
    if start != HDF5_SIGNATURE and not is_zip:
        raise FileError(
            f"{path}: neither a .keras file (zip) nor an .h5 file (HDF5), or cut short; "
            f"it begins with {start!r}"
        )
    # Keras tells the two formats apart by the name alone.
    if is_zip and path.suffix != ".keras":
        raise FileError(f"{path}: a .keras file (zip) by another name; rename it to end in .keras")
    if not is_zip and path.suffix not in (".h5", ".hdf5"):
        raise FileError(f"{path}: an .h5 file (HDF5) by another name; rename it to end in .h5")


def _first_bytes(path: Path) -> bytes:
    if not path.exists():
        raise FileError(f"{path}: there is no such file")
    if path.is_dir():
        raise FileError(f"{path}: is a folder; expected a .keras or .h5 file")
    with path.open("rb") as file:
        return file.read(len(HDF5_SIGNATURE))


def _explanation(message: str) -> str:
    """What a user can make of Keras' message, "" where that is not known."""
    for pattern, words in EXPLANATIONS.items():
        if found := re.search(pattern, message):
            return words.format(*found.groups())
    return ""


def _as_told(error: Exception, path: Path) -> str:
    """Keras' own words; those for the innermost of nested layers stand last."""
    message = str(error).rpartition("Exception encountered: ")[2].strip() or type(error).__name__
    line = textwrap.shorten(message.splitlines()[0], 200, placeholder=" ...")
    return f"Keras cannot load it ({line}){_age(path)}"


def _age(path: Path) -> str:
    """That a file is of an older Keras, if it is: then this is why its words make little sense."""
    if not h5py.is_hdf5(path):
        return ""
    with h5py.File(path) as file:
        version = str(file.attrs.get("keras_version", ""))
    if not version.startswith(("1.", "2.")):
        return ""
    return f"; Keras {version} saved it, and not every file of Keras 1 and 2 can be read today"
