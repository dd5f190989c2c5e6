"""Files that are no Keras model, told by their content: what each is, and the way on.

Nothing of them is opened but the first bytes, or the names in a zip archive or a folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

HEAD = 4096
"""Bytes that are looked at."""

OF_A_MODEL = "give a .keras or .h5 file"
SAVE_ITSELF = "give the Keras model that it was made from, saved by model.save('model.keras')"
PACKED = "unpack it and give the .keras or .h5 file in it"
ARRAYS = "arrays have no layers; give the model, saved by model.save('model.keras')"
PICKLED = "allconv opens no pickle, since that runs code; if you trust it, load it and "
PICTURE = ("a picture, not a model", OF_A_MODEL)
LFS = ("a Git LFS pointer, not the file itself", "run 'git lfs pull' where it was cloned")
ANNEX = ("a git-annex pointer, not the file itself", "run 'git annex get' on it")
PAGE = (
    "an HTML page, not the file itself",
    "download the file by its own link (on GitHub, 'Raw' or 'Download')",
)
ERROR_PAGE = ("an error page of a server, not the file itself", PAGE[1])
PYTORCH = (
    "a file of PyTorch",
    "allconv reads Keras models; rebuild the model in Keras and copy its weights",
)

MARKS: tuple[tuple[int, bytes, tuple[str, str]], ...] = (
    (0, b"version https://git-lfs", LFS),
    (0, b"/annex/objects/", ANNEX),
    (0, b"404: Not Found", ERROR_PAGE),
    (4, b"TFL3", ("a TensorFlow Lite file", SAVE_ITSELF)),
    (0, b"\x93NUMPY", ("an array of NumPy (.npy)", ARRAYS)),
    (0, b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", PYTORCH),
    (257, b"ustar", ("a tar archive", PACKED)),
    (0, b"\x1f\x8b", ("packed by gzip", PACKED)),
    (0, b"BZh", ("packed by bzip2", PACKED)),
    (0, b"\xfd7zXZ\x00", ("packed by xz", PACKED)),
    (0, b"\x28\xb5\x2f\xfd", ("packed by zstd", PACKED)),
    (0, b"7z\xbc\xaf\x27\x1c", ("a 7z archive", PACKED)),
    (0, b"Rar!", ("a RAR archive", PACKED)),
    (0, b"MATLAB ", ("a MAT-file of MATLAB", ARRAYS)),
    (0, b"GGUF", ("a GGUF file of a language model", OF_A_MODEL)),
    (8, b'{"', ("a safetensors file, weights without layers", ARRAYS)),
    (0, b"\x89PNG", PICTURE),
    (0, b"\xff\xd8\xff", PICTURE),
    (0, b"model_checkpoint_path:", ("the list of a TensorFlow checkpoint, weights only", ARRAYS)),
)
"""Where in a file, which bytes, what it is then and the way on; the first that is there."""

PICKLES = re.compile(rb"\x80[\x02-\x05]|\((?:dp|lp|i)\d|c(?:copy_reg|__builtin__|numpy)")
PAGES = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html|head|body)", re.IGNORECASE)
URL = re.compile(r"([a-zA-Z][a-zA-Z\d+.-]+):/+(.+)", re.DOTALL)

IN_ONNX = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}
"""The fields of an ONNX file; number 7 is its graph."""


def foreign(start: bytes, size: int) -> str:
    """Say what a file is that is no model of Keras, and the way on; "" where it is unknown.

    Args:
        start: Its first bytes, HEAD of them where there are as many.
        size: Bytes in all.
    """
    for offset, mark, said in MARKS:
        if start.startswith(mark, offset):
            return "; ".join(said)
    if PAGES.match(start):
        return "; ".join(PAGE)
    if b'"modelTopology"' in start or b'"layers-model"' in start:
        return f"a model of TensorFlow.js; {SAVE_ITSELF}"
    if PICKLES.match(start):
        return f"a pickle of Python; {PICKLED}save the model by model.save('model.keras')"
    return _of_fields(start, size)


def foreign_archive(names: Iterable[str]) -> str:
    """Say what a zip archive is that holds these names, and the way on; "" where it is unknown."""
    names = list(names)
    if any(name.rpartition("/")[2] in ("data.pkl", "constants.pkl") for name in names):
        return "; ".join(PYTORCH)
    if names and all(name.endswith(".npy") for name in names):
        return f"arrays of NumPy (.npz); {ARRAYS}"
    if any(name.rpartition("/")[2] == "saved_model.pb" for name in names):
        return f"a zip archive of a SavedModel folder of TensorFlow; {SAVE_ITSELF}"
    packed = next((name for name in names if name.endswith((".keras", ".h5", ".hdf5"))), None)
    if packed is not None and packed != "model.weights.h5":
        return f"a zip archive that holds '{packed}'; unpack it and give that file"
    return ""


def foreign_folder(folder: Path) -> str:
    """Say what a folder is, and the way on."""
    names = sorted(path.name for path in folder.iterdir())
    if "saved_model.pb" in names:
        return f"a SavedModel folder of TensorFlow; {_from_saved_model(names)}"
    if {"config.json", "model.weights.h5"} <= set(names):
        packing = "zip -0 ../model.keras *"
        return f"a .keras file that was unpacked; pack what is in it again: {packing}"
    models = [name for name in names if name.endswith((".keras", ".h5", ".hdf5"))]
    if len(models) == 1:
        return f"is a folder; give the file '{models[0]}' in it"
    return "is a folder; expected a .keras or .h5 file"


def _from_saved_model(names: list[str]) -> str:
    if "keras_metadata.pb" not in names:
        return SAVE_ITSELF
    return "load it by tf_keras.models.load_model(FOLDER), and give what .save('model.h5') writes"


def address(path: Path) -> str:
    """Say what to do with a path that is the address of a file elsewhere; "" where it is none."""
    found = URL.fullmatch(str(path))
    if found is None or path.exists():
        return ""
    if found[1].lower() == "file":
        return f"is a URL; give the path alone, /{found[2]}"
    return "is a URL; download the file first, and give its path"


def written_out(path: Path) -> str:
    """Return a path as it was written: of the two slashes of a URL a path keeps one."""
    found = URL.fullmatch(str(path))
    return f"{found[1]}://{found[2]}" if found and address(path) else str(path)


def _of_fields(start: bytes, size: int) -> str:
    """Say what a message of Protocol Buffers is, by its first fields."""
    fields = _fields(start, size)
    if not fields:
        return ""
    (number, value, content), numbers = fields[0], [number for number, _, _ in fields]
    if number != 1:
        return ""
    if value == 1 and not content and numbers[1:2] == [2]:
        return f"the saved_model.pb of a SavedModel folder of TensorFlow; {SAVE_ITSELF}"
    if not content and 7 in numbers and set(numbers) <= IN_ONNX:
        return f"an ONNX file; {SAVE_ITSELF}"
    if content.startswith(b"\x0a") and b"\x12" in content:
        return f"a frozen graph of TensorFlow (.pb); {SAVE_ITSELF}"
    return ""


def _fields(start: bytes, size: int) -> list[tuple[int, int, bytes]]:
    """Read the fields that begin in the first bytes as number, value, content; none if amiss."""
    place = 0
    found: list[tuple[int, int, bytes]] = []
    while place < len(start):
        key, place = _number(start, place)
        value, place = _number(start, place)
        if key & 7 not in (0, 2) or not key >> 3 or place > size:
            break
        content = start[place : place + value] if key & 7 == 2 else b""
        place += value if key & 7 == 2 else 0
        if place > size:
            break
        found.append((key >> 3, value, content))
    return found


def _number(start: bytes, place: int) -> tuple[int, int]:
    """Read a number of seven bits a byte, the lowest first, and the place behind it."""
    value = 0
    for shift in range(0, 64, 7):
        byte = start[place] if place < len(start) else 0
        value, place = value | (byte & 127) << shift, place + 1
        if byte < 128:
            break
    return value, place
