"""Writes a model to a file that is complete or not there."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

from allconv.errors import FileError

SUFFIXES = (".keras", ".h5")


def check_writable(path: Path, source: Path | None = None) -> None:
    """Finds what would stop `save_model` before any work is done.

    Raises:
        FileError: The name does not end in `.keras` or `.h5`, its folder is missing or cannot be
            written to, it is a folder itself, or it is the file that the model comes from.
    """
    try:
        _check_place(path, source)
    except OSError as error:  # a folder above it that may not be entered, a name too long
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from error


def _check_place(path: Path, source: Path | None) -> None:
    if path.suffix not in SUFFIXES:
        raise FileError(f"{path}: expected a name that ends in .keras or .h5, such as fcn.keras")
    if not path.parent.is_dir():
        raise FileError(f"{path}: there is no folder '{path.parent}'; make it first")
    if path.is_dir():
        raise FileError(f"{path}: is a folder; give the name of a file")
    if not os.access(path.parent, os.W_OK):
        raise FileError(f"{path}: the folder '{path.parent}' cannot be written to")
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        raise FileError(f"{path}: is the model that is read; give another name")


def save_model(model: Any, path: Path) -> None:
    """Writes `model` beside `path` and moves it there when complete.

    A failure leaves no part of a file, and an older file as it was.

    Raises:
        FileError: The file cannot be written.
    """
    check_writable(path)
    path = path.resolve()  # a link stays a link, to the new file
    part = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        model.save(part)
        os.replace(part, path)
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
