"""A model file, `.keras` or `.h5`, told by its content and opened without Keras.

A `.keras` file is a zip archive of `config.json`, `metadata.json` and `model.weights.h5`; its
members are read by name and never unpacked to the disk. An `.h5` file is HDF5 with the description
of the model in an attribute of its root.
"""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from allconv.errors import FileError
from allconv.read.foreign_files import (
    HEAD,
    address,
    foreign,
    foreign_archive,
    foreign_folder,
    written_out,
)
from allconv.read.guarded import Region
from allconv.read.hdf5 import SIGNATURE, Group, hdf5
from allconv.read.json_text import MOST_BYTES, parse_json
from allconv.saving.output_names_in_files import KEY, MEMBER, names_in

WEIGHTS = "model.weights.h5"
LOCAL_HEAD = 30
"""Bytes of what stands before a member of a zip archive, but for its name and further fields."""
DENSEST, ALWAYS = 20, 2**26
"""Weights that are packed may unpack to so many times their size, or to so many bytes: half of the
weights of a pruned model are zeros, but hardly all. Keras does not pack them."""

HAS_OWN = (
    "it has an architecture of its own; ModelFile(file, config=...) is for files of weights only, "
    "leave it out here"
)

Order = Literal["by path", "by layer"]


@dataclass(frozen=True)
class SavedModel:
    """What a model file holds.

    Attributes:
        path: The file.
        description: The model, `{"class_name": ..., "config": ...}`, in the words of its time.
        keras_version: Of the Keras that saved it, "" where that is not said.
        backend: Of that Keras, likewise.
        weights: The group of HDF5 that holds the weights.
        order: How they lie in it: `"by path"` of attributes, as Keras 3 writes them
            (`layers/conv2d/vars/0`), or `"by layer"`, as `.h5` files of all ages have them.
        output_names: What its outputs are called, where the layers' names do not say it.
        compile_settings: How the model was compiled, as the file says it.
    """

    path: Path
    description: Mapping[str, Any]
    keras_version: str
    backend: str
    weights: Group
    order: Order
    output_names: tuple[str, ...] = ()
    compile_settings: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def opened(path: Path, config: Path | None = None) -> Iterator[SavedModel]:
    """Open a model file.

    Args:
        path: The file.
        config: A file of JSON, as `model.to_json()` gives it, which describes the model; for files
            that hold weights only.

    Raises:
        FileError: The file is missing, a folder, empty, of another format, damaged, or it holds no
            model; later also where a part of it is damaged.
    """
    described = None if config is None else _described_in(config)
    start = _first_bytes(path)
    if start.startswith(SIGNATURE):
        with hdf5(Region(path, 0, path.stat().st_size)) as root:
            yield _in_hdf5(path, root, described)
    elif start.startswith(b"PK"):
        with _zip(path) as archive, hdf5(_weights_in(path, archive)) as root:
            yield _in_zip(path, archive, root, described)
    else:
        raise FileError(f"{path}: {_what_else(start, path.stat().st_size)}")


def _first_bytes(path: Path) -> bytes:
    try:
        if elsewhere := address(path):
            raise FileError(f"{written_out(path)}: {elsewhere}")
        if not path.exists():
            raise FileError(f"{path}: there is no such file")
        if path.is_dir():
            raise FileError(f"{path}: {foreign_folder(path)}")
        if not path.is_file():
            raise FileError(f"{path}: is no regular file; copy its content to one first")
        with path.open("rb") as file:
            start = file.read(HEAD)
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not start:
        raise FileError(f"{path}: the file is empty; get it again")
    return start


def _what_else(start: bytes, size: int) -> str:
    """Say what a file is that is no model file, and what is expected."""
    expected = "; expected a .keras file (zip) or .h5 (HDF5)"
    if said := foreign(start, size):
        return said
    if start.lstrip()[:1] in (b"{", b"["):
        description = (
            "a JSON text: a description has no weights, give it by ModelFile(file, config=...) "
            "with their file"
        )
        return description + expected
    if SIGNATURE.startswith(start) or start.startswith(b"\x89HDF") or start == b"P":
        return f"cut short{expected}"
    begin = start[: len(SIGNATURE)]
    return f"neither of the two kinds of model file, it begins with {begin!r}{expected}"


def _described_in(config: Path) -> dict[str, Any]:
    start = _first_bytes(config)
    if start.startswith((SIGNATURE, b"PK")):
        raise FileError(f"{config}: expected the JSON of model.to_json(), got a model file")
    if said := foreign(start, config.stat().st_size):
        raise FileError(f"{config}: expected the JSON of model.to_json(); it is {said}")
    try:
        with config.open("rb") as file:
            return parse_json(file.read(MOST_BYTES + 1), str(config))
    except OSError as error:
        raise FileError(f"{config}: cannot be read ({error.strerror or error})") from error


def _in_hdf5(path: Path, root: Group, described: dict[str, Any] | None) -> SavedModel:
    text = root.text("model_config")
    if described is not None and text is not None:
        raise FileError(f"{path}: {HAS_OWN}")
    weights = root.group("model_weights") or root
    is_by_layer = weights.texts("layer_names") is not None
    if described is None and text is None:
        raise FileError(f"{path}: {_lacking(weights, is_by_layer)}")
    return SavedModel(
        path,
        described or parse_json(text or "", f"{path}: model_config"),
        weights.text("keras_version") or root.text("keras_version") or "",
        weights.text("backend") or root.text("backend") or "",
        weights,
        "by layer" if is_by_layer else "by path",
        names_in(root.text(KEY)),
        {} if described else _training_config(root),
    )


def _training_config(root: Group) -> Mapping[str, Any]:
    """Read how the model in an `.h5` file was compiled; skip what is damaged here."""
    try:
        return parse_json(root.text("training_config") or "{}", "training_config")
    except FileError:
        return {}


def _lacking(weights: Group, is_by_layer: bool) -> str:
    """Say what a file without a description is, and what to do about it."""
    remedy = (
        "give the model's architecture, as model.to_json() writes it, by "
        'ModelFile(file, config="model.json")'
    )
    if not is_by_layer and weights.group("layers") is None and weights.group("vars") is None:
        return "an HDF5 file, but none that Keras saved a model in"
    names = [name for name in weights.texts("layer_names") or [] if weights.group(name)]
    layers = (
        f" (of the layers {', '.join(names[:3])}{', ...' if names[3:] else ''})" if names else ""
    )
    return f"it holds weights only{layers}, no architecture; {remedy}"


class _Careful(io.BufferedReader):
    """A file for `zipfile`, which takes the size of an archive's list of members at its word."""

    most = 2**22

    def read(self, size: int | None = -1) -> bytes:
        """Read some bytes, no more than a list of members may have."""
        if size is not None and size > self.most:
            raise OSError("its list of members is longer than any model's")
        return super().read(size)


@contextmanager
def _zip(path: Path) -> Iterator[zipfile.ZipFile]:
    with _Careful(path.open("rb", buffering=0)) as file:
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise FileError(
                f"{path}: the zip archive is damaged or cut short ({error}); get it again"
            ) from error
        file.most = sys.maxsize
        with archive:
            yield archive


def _in_zip(
    path: Path, archive: zipfile.ZipFile, root: Group, described: dict[str, Any] | None
) -> SavedModel:
    where = f"{path}: config.json"
    if described is not None and "config.json" in archive.namelist():
        raise FileError(f"{path}: {HAS_OWN}")
    description = described or parse_json(_member(path, archive, "config.json"), where)
    version = ""
    if "metadata.json" in archive.namelist():
        metadata = _member(path, archive, "metadata.json")
        version = str(parse_json(metadata, f"{path}: metadata.json").get("keras_version", ""))
    names: tuple[str, ...] = ()
    if MEMBER in archive.namelist():
        names = names_in(_member(path, archive, MEMBER).decode("utf-8", "replace"))
    compiled = description.get("compile_config")
    settings = compiled if isinstance(compiled, Mapping) else {}
    return SavedModel(path, description, version, "", root, "by path", names, settings)


def _info(path: Path, archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    try:
        info = archive.getinfo(name)
    except KeyError:
        if said := foreign_archive(archive.namelist()):
            raise FileError(f"{path}: {said}") from None
        raise FileError(
            f"{path}: a zip archive without '{name}', so not a complete model saved by Keras"
        ) from None
    if info.flag_bits & 1:
        raise FileError(f"{path}: its '{name}' is encrypted")
    return info


def _member(path: Path, archive: zipfile.ZipFile, name: str, most: int = MOST_BYTES) -> bytes:
    """Read a member of an archive, no further than it may be long."""
    info = _info(path, archive, name)
    if info.file_size > most:
        raise FileError(
            f"{path}: its '{name}' claims {info.file_size:,} bytes; expected {most:,} at most"
        )
    try:
        with archive.open(info) as file:
            return file.read(info.file_size)
    except Exception as error:  # of zlib, lzma, bz2 and zipfile, each its own
        raise FileError(f"{path}: its '{name}' is damaged ({error})") from error


def _weights_in(path: Path, archive: zipfile.ZipFile) -> Region:
    """Say where the weights lie in an archive; Keras does not pack them."""
    info, size = _info(path, archive, WEIGHTS), path.stat().st_size
    if info.compress_type != zipfile.ZIP_STORED:
        content = _member(
            path, archive, WEIGHTS, max(DENSEST * min(info.compress_size, size), ALWAYS)
        )
        return Region(path, 0, len(content), content)
    with path.open("rb") as file:
        file.seek(min(max(info.header_offset, 0), size))
        head = file.read(LOCAL_HEAD)
    lengths = int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
    start = info.header_offset + LOCAL_HEAD + lengths
    whole = info.header_offset >= 0 and start + info.file_size <= size
    if not head.startswith(b"PK\x03\x04") or not whole:
        raise FileError(f"{path}: its '{WEIGHTS}' is cut short")
    return Region(path, start, info.file_size)
