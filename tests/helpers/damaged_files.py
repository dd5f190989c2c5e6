"""Files damaged at random: their bytes, their archive's members, their HDF5, their description."""

from __future__ import annotations

import copy
import io
import json
import random
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from allconv.read.dialects.class_names import ALIASES, LAYERS, REMOVED

MARKS = (
    b"TREE",
    b"HEAP",
    b"SNOD",
    b"GCOL",
    b"OHDR",
    b"OCHK",
    b"\x89HDF",
    b"PK\1\2",
    b"PK\3\4",
    b"PK\5\6",
)
"""What the parts of HDF5 and zip files begin with."""
NUMBERS = (0, 1, 2, 7, 8, 255, 2**16 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
BOMB = 64 * 2**20

HOSTILE: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        3,
        7,
        64,
        1000,
        10**6,
        2**31,
        2**31 + 1,
        2**63,
        10**30,
        10**400,
    ),
    *(0.5, -0.5, 2.0, 1e-300, 1e308, float("nan"), float("inf"), -float("inf")),
    *(
        "",
        "x",
        "same",
        "valid",
        "causal",
        "channels_first",
        "relu",
        "softmax",
        "\ud800",
        "\0",
        "../x",
    ),
    *(
        [],
        [[]],
        [1],
        [2, 2],
        [1, 2, 3],
        [-1],
        [0, 0],
        [2**31, 2**31],
        [1] * 9,
        [None, None, None, 1],
    ),
    *([10**6, 10**6], [[1, 1], [1, 1]], [[10**9, 0], [0, 0]], [None, 10**9, 10**9, 3], [1e308]),
    *({}, {"class_name": "Lambda", "config": {}}, {"class_name": "__numpy__", "config": {}}),
    {"class_name": "__numpy__", "config": {"value": [1.0], "dtype": "S1000000000"}},
    {"class_name": "__tensor__", "config": {"value": [[1], [2, 3]], "dtype": "float32"}},
    {"class_name": "__slice__", "config": {"start": "x", "stop": 1, "step": 0}},
    {"module": "os", "class_name": "system", "config": "true", "registered_name": "os>system"},
)
"""Values for anything."""

Place = tuple[Any, Any]
"""A list or an object of a description, and a position or a key in it."""


def mutate(seed: Path, others: list[Path], path: Path, rng: random.Random) -> str:
    """Write a damaged copy of a model file.

    Args:
        seed: The file.
        others: Files of which parts may be taken.
        path: The copy.
        rng: Says what is damaged.

    Returns:
        What was done, in words.
    """
    is_zip = seed.read_bytes()[:2] == b"PK"
    ways: list[Callable[[Path, list[Path], Path, random.Random], str]] = [_bytes, _json, _json]
    ways.append(_members if is_zip else _tree)
    try:
        done = rng.choice(ways)(seed, others, path, rng)
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        # a seed from elsewhere may be no whole file
        done = f"{_bytes(seed, others, path, rng)} (after {type(error).__name__})"
    return f"{seed.name}: {done}"


def _bytes(seed: Path, others: list[Path], path: Path, rng: random.Random) -> str:
    """Damage the bytes of a file in a few places."""
    data, other, done = bytearray(seed.read_bytes()), rng.choice(others).read_bytes(), []
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        start, way = _position(data, rng), rng.choice(sorted(BYTES))
        BYTES[way](data, start, other, rng)
        data = data or bytearray(1)
        done.append(f"{way} at {start}")
    path.write_bytes(data)
    return ", ".join(done)


def _cut(data: bytearray, start: int, other: bytes, rng: random.Random) -> None:
    del data[start : start + _length(rng)]


def _end(data: bytearray, start: int, other: bytes, rng: random.Random) -> None:
    del data[max(start, len(data) - rng.choice((1, 100, 10_000, len(data)))) :]


def _flip(data: bytearray, start: int, other: bytes, rng: random.Random) -> None:
    data[start] ^= 1 << rng.randrange(8)


def _insert(data: bytearray, start: int, other: bytes, rng: random.Random) -> None:
    data[start:start] = rng.randbytes(rng.choice((1, 8, 100)))


def _point(data: bytearray, start: int, other: bytes, rng: random.Random) -> None:
    """Write an address, as HDF5 does, of a place where some part begins."""
    there = data.find(rng.choice(MARKS), rng.randrange(len(data)))
    data[start - start % 8 : start - start % 8 + 8] = struct.pack("<q", there)


def _repeat(data: bytearray, start: int, other: bytes, rng: random.Random) -> None:
    stop = start + _length(rng)
    data[start:stop] *= rng.choice((2, 3, 50))


def _set(data: bytearray, start: int, other: bytes, rng: random.Random) -> None:
    size = rng.choice((1, 2, 4, 8))
    number = rng.choice((*NUMBERS, len(data), start)) % 256**size
    data[start : start + size] = number.to_bytes(size, "little")


def _splice(data: bytearray, start: int, other: bytes, rng: random.Random) -> None:
    length, there = _length(rng), rng.randrange(len(other))
    data[start : start + length] = other[there : there + length]


def _swap(data: bytearray, start: int, other: bytes, rng: random.Random) -> None:
    there = _position(data, rng)
    here, far = data[start : start + 64], data[there : there + 64]
    data[start : start + len(far)], data[there : there + len(here)] = far, here


def _zero(data: bytearray, start: int, other: bytes, rng: random.Random) -> None:
    stop = min(start + _length(rng), len(data))
    data[start:stop] = bytes(stop - start)


BYTES: dict[str, Callable[[bytearray, int, bytes, random.Random], None]] = {
    way.__name__[1:]: way
    for way in (_cut, _end, _flip, _insert, _point, _repeat, _set, _splice, _swap, _zero)
}


def _length(rng: random.Random) -> int:
    return rng.choice((1, 2, 8, 64, 512))


def _position(data: bytearray, rng: random.Random) -> int:
    """A place in a file, mostly near where a part of it begins."""
    if rng.random() < 0.7:
        at = data.find(rng.choice(MARKS), rng.randrange(len(data)))
        if at >= 0:
            return min(max(at + rng.randrange(-8, 96), 0), len(data) - 1)
    return rng.randrange(len(data))


def _json(seed: Path, others: list[Path], path: Path, rng: random.Random) -> str:
    description = description_of(seed)
    other = description_of(rng.choice(others))
    done = [_change(description, other, rng) for _ in range(rng.choice((1, 1, 2, 3, 6)))]
    text = json.dumps(description)
    if rng.random() < 0.05:
        start = rng.randrange(len(text))
        text, cut = text[:start] + rng.choice(("", "[" * 10**5, '{"a":' * 10**5)), "text cut"
        done.append(cut)
    with_description(seed, text, path)
    return ", ".join(done)


def description_of(path: Path) -> Any:
    """The description in a model file."""
    if path.read_bytes()[:2] == b"PK":
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json"))
    with h5py.File(path) as file:
        return json.loads(file.attrs["model_config"])


def with_description(seed: Path, text: str, path: Path) -> None:
    """Write a copy of a model file with another description."""
    if seed.read_bytes()[:2] == b"PK":
        with zipfile.ZipFile(seed) as old, zipfile.ZipFile(path, "w") as new:
            for info in old.infolist():
                is_it = info.filename == "config.json"
                new.writestr(info.filename, text if is_it else old.read(info))
        return
    shutil.copy(seed, path)
    with h5py.File(path, "r+") as file:
        del file.attrs["model_config"]
        file.attrs["model_config"] = np.bytes_(text.encode("utf-8", "surrogatepass"))


def _places(data: Any) -> list[Place]:
    places: list[Place] = []
    stack = [data]
    while stack:
        item = stack.pop()
        keys = list(item) if isinstance(item, dict) else range(len(item))
        places += [(item, key) for key in keys]
        stack += [item[key] for key in keys if isinstance(item[key], (dict, list))]
    return places


def _change(description: Any, other: Any, rng: random.Random) -> str:
    """Change one place of a description."""
    places = _places(description)
    if not places:
        return "nothing left"
    if rng.random() < 0.5:  # in a layer's own configuration, or a call
        places = [place for place in places if place[1] not in CALLED] or places
    holder, key = rng.choice(places)
    old = holder[key]
    way = rng.choice(
        (
            "hostile",
            "hostile",
            "hostile",
            "delete",
            "number",
            "swap",
            "rename",
            "class",
            "graft",
            "copy",
            "nest",
            "shuffle",
        )
    )
    if way == "number" and isinstance(old, int):
        holder[key] = old * rng.choice((-1, 2, 1000, 10**6, 2**31)) + rng.choice((-1, 0, 1))
    elif way == "delete":
        del holder[key]
    elif way == "swap":
        there, where = rng.choice(places)
        holder[key], there[where] = copy.deepcopy(there[where]), copy.deepcopy(old)
    elif way == "rename" and isinstance(holder, dict):
        holder[str(rng.choice(places)[1])] = holder.pop(key)
    elif way == "class":
        layers = [place for place in places if place[1] == "class_name"]
        holder, key = rng.choice(layers) if layers else (holder, key)
        holder[key] = rng.choice(sorted(LAYERS | REMOVED | set(ALIASES) | MODELS))
    elif way == "graft":
        there, where = rng.choice(_places(other))
        holder[key] = copy.deepcopy(there[where])
    elif way == "copy" and isinstance(holder, list):
        holder[key:key] = [copy.deepcopy(old) for _ in range(rng.choice((1, 1, 50)))]
    elif way == "nest":
        value = old
        for _ in range(rng.choice((1, 5, 40, 150))):
            value = [value] if rng.random() < 0.5 else {"class_name": "Sequential", "config": value}
        holder[key] = value
    elif way == "shuffle" and isinstance(old, list):
        rng.shuffle(old)
    else:
        way, holder[key] = "hostile", copy.deepcopy(rng.choice(HOSTILE))
    return f"{way} {key!r}"


CALLED = {"keras_history", "inbound_nodes", "registered_name", "module"}
MODELS = {"Functional", "Model", "Sequential", "Merge", "TFOpLambda", "TensorFlowOpLayer"}


def _members(seed: Path, others: list[Path], path: Path, rng: random.Random) -> str:
    """Damage the members of an archive."""
    with zipfile.ZipFile(seed) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(
        rng.choice([path for path in others if path.suffix == ".keras"])
    ) as archive:
        strange = {info.filename: archive.read(info) for info in archive.infolist()}
    name = rng.choice(sorted(members))
    way = rng.choice(
        ("drop", "rename", "empty", "cut", "foreign", "bomb", "claim", "pack", "twice", "flag")
    )
    packing = zipfile.ZIP_STORED
    if way == "drop":
        del members[name]
    elif way == "rename":
        members[rng.choice(("../", "/", "C:\\", "x/", "\0")) + name] = members.pop(name)
    elif way == "empty":
        members[name] = b""
    elif way == "cut":
        members[name] = members[name][: rng.randrange(len(members[name]))]
    elif way == "foreign":
        members[name] = strange.get(name) or rng.choice(sorted(strange.values()))
    elif way == "bomb":
        packing, members[name] = zipfile.ZIP_DEFLATED, members[name] + bytes(BOMB)
    elif way == "pack":
        packing = rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for member, content in members.items():
            archive.writestr(zipfile.ZipInfo(member) if "\0" in member else member, content)
        if way == "twice":
            archive.fp.seek(0, io.SEEK_END)
            archive.NameToInfo.clear()
            archive.writestr(name, rng.choice(sorted(strange.values())))
    data = bytearray(buffer.getvalue())
    if way in ("claim", "flag"):
        start = data.find(b"PK\1\2", rng.randrange(len(data)))
        offset, size = rng.choice(((8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (42, 4)))
        number = rng.choice(NUMBERS) % 256**size
        data[start + offset : start + offset + size] = number.to_bytes(size, "little")
        name = f"{offset} bytes behind {start} to {number}"
    path.write_bytes(data)
    return f"{way} {name}"


def _tree(seed: Path, others: list[Path], path: Path, rng: random.Random) -> str:
    """Damage what lies in an HDF5 file."""
    shutil.copy(seed, path)
    done = []
    with h5py.File(path, "r+") as file:
        for _ in range(rng.choice((1, 1, 2, 5))):
            names: list[str] = []
            file.visit(names.append)
            name = rng.choice([*names, "model_weights"])
            way = rng.choice(sorted(TREE))
            TREE[way](file, name, rng)
            done.append(f"{way} {name}")
    return ", ".join(done)


def _delete(file: h5py.File, name: str, rng: random.Random) -> None:
    del file[name]


def _replace(file: h5py.File, name: str, rng: random.Random) -> None:
    parent, _, last = name.rpartition("/")
    group = file[parent or "/"]
    del group[last]
    shape = rng.choice(((), (0,), (3,), (2, 2), (1, 10**6), (3, 3, 1, 4), (1,) * 32))
    dtype = rng.choice(("f4", "f8", ">f2", "i1", "u8", "S9", "?", "c8", "V3", "V2", [("a", "f4")]))
    kind = rng.choice(("plain", "packed", "unwritten", "resizable", "text"))
    if kind == "text":
        group.create_dataset(last, data="x", dtype=h5py.string_dtype())
    elif kind == "plain" or not shape or 0 in shape:
        group.create_dataset(last, data=np.zeros(shape, dtype))
    elif kind == "packed":
        group.create_dataset(
            last, shape, dtype, compression=rng.choice(("gzip", "lzf")), shuffle=True
        )
    elif kind == "resizable":
        group.create_dataset(last, shape, dtype, maxshape=(None,) * len(shape))
    else:
        huge = rng.choice((shape, (2**40,), (2**20, 2**20)))
        group.create_dataset(last, huge, dtype, chunks=rng.choice((None, (1,) * len(huge))))


def _link(file: h5py.File, name: str, rng: random.Random) -> None:
    parent, _, last = name.rpartition("/")
    group = file[parent or "/"]
    links = [h5py.SoftLink("/"), h5py.ExternalLink("/etc/passwd", "/"), h5py.SoftLink(name)]
    del group[last]
    group[last] = rng.choice([*links, file["/"], group])


def _outside(file: h5py.File, name: str, rng: random.Random) -> None:
    parent, _, last = name.rpartition("/")
    group = file[parent or "/"]
    del group[last]
    if rng.random() < 0.5:
        group.create_dataset(last, (4,), "u1", external=[("/etc/hostname", 0, 4)])
    else:
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource("/tmp/other.h5", "x", (4,))
        group.create_virtual_dataset(last, layout)


def _attribute(file: h5py.File, name: str, rng: random.Random) -> None:
    holder = file[name]
    names = sorted(holder.attrs) or ["weight_names"]
    which = rng.choice([*names, "weight_names", "layer_names", "weight_names0"])
    listed = [rng.choice(("a", "..", "/", ".", "a/b", name, "\udc80")).encode("utf-8", "replace")]
    values = (
        b"",
        b"x",
        1.0,
        [1, 2],
        h5py.Empty("S1"),
        "ü",
        listed * 3,
        [b"a"] * 5000,
        b"{}",
        b"[1]",
    )
    holder.attrs[which] = rng.choice(values)


TREE: dict[str, Callable[[h5py.File, str, random.Random], None]] = {
    "delete": _delete,
    "replace": _replace,
    "link": _link,
    "outside": _outside,
    "attribute": _attribute,
}
