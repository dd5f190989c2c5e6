"""Writes a model, or a page, to a file that is complete or not there."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from allconv.errors import AllconvError, FileError, first_line
from allconv.saving.drafts import draft_folder, put, real_place
from allconv.saving.output_names_in_files import save_with_names
from allconv.weights import item_bytes

SUFFIXES = (".keras", ".h5")


def check_writable(
    path: Path,
    source: Path | None = None,
    suffixes: tuple[str, ...] = SUFFIXES,
    overwrite: bool = True,
) -> None:
    """Find what would stop `save_model` before any work is done.

    Raises:
        FileError: The name does not end in one of `suffixes`, its folder is missing or cannot be
            written to, it is no file but a folder, say, or it is the file that the model comes
            from; or there is a file already that is not to be overwritten.
    """
    try:
        _check_place(path, source, suffixes)
        if not overwrite and path.exists():
            raise FileError(f"{path}: exists already, and was not overwritten; give another name")
    except FileError:
        raise
    except OSError as error:  # a name too long, a link to itself
        raise FileError(f"{path}: cannot be written: {_reason(error)}") from error


def _check_place(path: Path, source: Path | None, suffixes: tuple[str, ...]) -> None:
    if path.suffix not in suffixes:
        ends = " or ".join(filter(None, [", ".join(suffixes[:-1]), suffixes[-1]]))
        raise FileError(f"{path}: expected a name that ends in {ends}, such as fcn{suffixes[0]}")
    place = real_place(path)
    folder = place.parent if path.is_symlink() else path.parent
    if not folder.is_dir():
        raise FileError(f"{path}: there is no folder '{folder}'; make it first")
    if path.is_dir():
        raise FileError(f"{path}: is a folder; give the name of a file")
    if path.exists() and not path.is_file():
        raise FileError(f"{path}: is no regular file; give another name")
    if not os.access(folder, os.W_OK):
        raise FileError(f"{path}: the folder '{folder}' cannot be written to")
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        raise FileError(f"{path}: is the file that is read; give another name")


def save_model(model: Any, path: Path) -> None:
    """Write a model to a file of Keras.

    A failure leaves no part of a file, and an older file as it was.

    Raises:
        FileError: The file cannot be written.
    """
    check_writable(path)
    _write(path, partial(_save, model))


def _save(model: Any, part: Path) -> None:
    if part.suffix == ".h5":
        _find_room(part, _most_bytes(model))
    save_with_names(model, part)


def _most_bytes(model: Any) -> int:
    """Count the bytes of a model as an `.h5` file: weights, description and groups, and more."""
    weights = sum(math.prod(each.shape) * item_bytes(str(each.dtype)) for each in model.weights)
    return int(weights) + 3 * len(model.to_json()) + 2**12 * (len(model.weights) + 16)


def _find_room(part: Path, count: int) -> None:
    """Raise an OSError where the disk has no room for so many bytes.

    HDF5 cannot be let run into a full disk: it may end the process, then or later.
    """
    block = os.urandom(2**20)  # which no file system packs
    with part.open("wb") as file:
        for left in range(count, 0, -len(block)):
            file.write(block[:left])
    part.unlink()


def save_text(text: str, path: Path) -> None:
    """Write a text likewise."""
    _write(path, lambda part: part.write_text(text, encoding="utf-8"))


def save_bytes(data: bytes, path: Path) -> None:
    """Write a file of bytes likewise."""
    _write(path, lambda part: part.write_bytes(data))


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside `path`, and move what is written there when it is complete."""
    try:
        place = real_place(path)
        with draft_folder(place) as folder:
            part = folder / path.name  # whose end tells Keras the form, whatever a link leads to
            write(part)
            put(part, place)
    except AllconvError:
        raise
    except (OSError, RuntimeError) as error:  # HDF5 on a full disk raises the latter
        raise FileError(f"{path}: cannot be written: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return what the system says; HDF5 tells it among much else."""
    said = re.search(r"error message = '([^']+)'", str(error))
    return said[1] if said else getattr(error, "strerror", None) or first_line(error)
