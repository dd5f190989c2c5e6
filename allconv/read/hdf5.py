"""HDF5 files from strangers, read with h5py so that nothing in them hangs or fills the memory.

Links are not followed, values are not taken from other files, and what a dataset declares is held
against the bytes that are there before any memory is taken. In the files that Keras writes, an
array's values lie in one piece; they are read from their place without HDF5.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from allconv.errors import FileError, first_line
from allconv.read.guarded import Region
from allconv.weights import Array

if TYPE_CHECKING:
    import h5py

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MOST_FOUND = 30_000
"""Groups within themselves, and lists of one name, make any number of a few bytes. NASNetLarge has
5,000 groups and arrays.
"""
UNPACKED = {1: "deflate", 2: "shuffle", 3: "fletcher32", 32000: "LZF"}
"""HDF5's filters that are undone, by number: those that come with h5py itself."""
DENSEST = 1040
"""No more bytes than these come out of one that deflate has packed."""

P = ParamSpec("P")
T = TypeVar("T")


def damaged(path: Path, error: Exception) -> FileError:
    """Turn what h5py raises about a damaged file, in many classes, into a FileError."""
    reason = first_line(error) or type(error).__name__
    return FileError(f"{path}: the file is damaged or cut short ({reason}); get it again")


def _damage_as_file_error(
    method: Callable[Concatenate[Group, P], T],
) -> Callable[Concatenate[Group, P], T]:
    @wraps(method)
    def wrapped(self: Group, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(self, *args, **kwargs)
        except FileError:
            raise
        except Exception as error:
            raise damaged(self.region.path, error) from error

    return wrapped


class Group:
    """A group of an HDF5 file: its attributes, and the groups and arrays in it.

    All methods raise a FileError where the file is damaged.
    """

    def __init__(
        self, region: Region, group: h5py.Group, counts: Counter[str] | None = None
    ) -> None:
        self.region, self._group = region, group
        self._counts = Counter() if counts is None else counts  # of the whole file

    @_damage_as_file_error
    def text(self, name: str) -> str | None:
        """Read an attribute that is a text; None where there is none."""
        if name not in self._group.attrs:
            return None
        (text,) = _texts(self._attribute(name))
        return text

    @_damage_as_file_error
    def texts(self, name: str) -> list[str] | None:
        """Read an attribute that is a list of texts; Keras cuts one above 64 KB into several."""
        if name in self._group.attrs:
            return _texts(self._attribute(name))
        texts: list[str] = []
        part = 0
        while f"{name}{part}" in self._group.attrs:
            texts += _texts(self._attribute(f"{name}{part}"))
            part += 1
        return texts if part else None

    @_damage_as_file_error
    def names(self) -> list[str]:
        """List the names of what lies in the group, sorted."""
        if len(self._group) > MOST_FOUND:
            raise OSError(f"a group with more than {MOST_FOUND:,} members")
        return sorted(self._group)

    @_damage_as_file_error
    def group(self, path: str) -> Group | None:
        """Find the group at a path below this one; None where there is none."""
        import h5py

        found = self._find(path)
        return Group(self.region, found, self._counts) if isinstance(found, h5py.Group) else None

    @_damage_as_file_error
    def array(self, path: str) -> Array | None:
        """Find the dataset at a path below this one, its values not read; None where there is none.

        Raises:
            FileError: Its values are no numbers, lie in another file, or are not all there.
        """
        import h5py

        found = self._find(path)
        return self._array(path, found) if isinstance(found, h5py.Dataset) else None

    def _attribute(self, name: str) -> Any:
        import h5py

        identifier = self._group.attrs.get_id(name)
        kind, count = identifier.get_type(), math.prod(identifier.shape or ())
        if count * kind.get_size() > self.region.size:
            raise OSError(f"its attribute '{name}' claims {count * kind.get_size():,} bytes")
        if count and not isinstance(kind, h5py.h5t.TypeStringID):
            # not read: HDF5 1.14 crashes on some damaged types of lists
            raise OSError(f"its attribute '{name}' is no text")
        return self._group.attrs[name] if count else []

    def _find(self, path: str) -> Any:
        """Find what lies at a path, by hard links alone: others leave the file or go in circles."""
        import h5py

        self._counts["found"] += 1
        if self._counts["found"] > MOST_FOUND:
            raise OSError(f"more than {MOST_FOUND:,} groups and arrays in it are named")
        found = self._group.id  # h5py's own layer over these takes three times as long
        for name in filter(None, path.encode().split(b"/")):
            if not isinstance(found, h5py.h5g.GroupID) or not found.links.exists(name):
                return None
            if found.links.get_info(name).type != h5py.h5l.TYPE_HARD:
                raise FileError(
                    f"{self.region.path}: '{path}' in it is a link to another place or file; links "
                    "are not followed, the array itself is expected there"
                )
            found = h5py.h5o.open(found, name)
        kinds = {h5py.h5g.GroupID: h5py.Group, h5py.h5d.DatasetID: h5py.Dataset}
        return kinds.get(type(found), lambda other: None)(found)

    def _array(self, path: str, dataset: h5py.Dataset) -> Array:
        where = f"{self.region.path}: the array '{path}' in it"
        dtype, shape = dataset.dtype, dataset.shape
        name = _dtype_name(dtype)
        if name is None or shape is None:
            raise FileError(f"{where} holds {dtype}; expected numbers")
        if dataset.external or dataset.is_virtual:
            raise FileError(
                f"{where} has its values in another file, which is not opened; save the model "
                "again as one file"
            )
        shape, offset = tuple(map(int, shape)), dataset.id.get_offset()
        packing = _unknown_packing(dataset)
        if packing:
            raise FileError(
                f"{where} is compressed by {packing}, which allconv does not unpack; save the "
                "model again with Keras"
            )
        size, there = math.prod(shape) * dtype.itemsize, _bytes_there(dataset, self.region)
        if size > there or _piece(dataset) > max(4 * size, 2**20):
            raise FileError(f"{where} claims {size:,} bytes; the file has {there:,} for it at most")
        place = dataset.name if offset is None else int(offset)
        return Array(shape, name, values_at, (self.region, place, shape, dtype.str))


@contextmanager
def hdf5(region: Region) -> Iterator[Group]:
    """Open an HDF5 file.

    Raises:
        FileError: It is damaged; later also what the groups in it raise.
    """
    import h5py

    with region.opened() as guarded:
        _refuse_other_forms(region, guarded.bytes_at(0, 64))
        try:
            file = h5py.File(guarded, "r")
        except Exception as error:
            raise damaged(region.path, error) from error
        with file:
            yield Group(region, file)


def _refuse_other_forms(region: Region, head: bytes) -> None:
    """Raise a FileError unless a file begins as h5py writes it, with numbers of eight bytes.

    So `Guarded` knows how its heaps are written. HDF5 has other forms, which it looks for as far as
    the end of the file.
    """
    version = head[len(SIGNATURE)] if head.startswith(SIGNATURE) and len(head) == 64 else 99
    sizes, base = {0: (13, 24), 1: (13, 28), 2: (9, 12), 3: (9, 12)}.get(version, (0, 0))
    if not sizes or head[sizes : sizes + 2] != b"\x08\x08" or any(head[base : base + 8]):
        raise damaged(region.path, OSError("it begins as no HDF5 file of Keras does"))


def values_at(region: Region, place: int | str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Read the values of an array: from an offset in the file, or by HDF5 where they lie in pieces.

    Raises:
        FileError: They are no longer there.
    """
    count = math.prod(shape) * np.dtype(dtype).itemsize
    if isinstance(place, str):
        with hdf5(region) as root:
            return _plain(_unpacked(root, place))
    with region.opened() as file:
        data = file.bytes_at(place, count)
    if len(data) < count:
        raise FileError(f"{region.path}: the file has changed while it was read; start again")
    return _plain(np.frombuffer(data, dtype).reshape(shape))


@_damage_as_file_error
def _unpacked(root: Group, place: str) -> np.ndarray:
    return np.asarray(root._find(place)[()])


def _plain(values: np.ndarray) -> np.ndarray:
    """Put values in this machine's byte order; bfloat16, unknown to NumPy, as float32."""
    if values.dtype.kind == "V":
        return (values.view("<u2").astype(np.uint32) << 16).view(np.float32)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _texts(value: Any) -> list[str]:
    items = np.atleast_1d(np.asarray(value, object)).ravel().tolist()
    return [item.decode("utf-8") if isinstance(item, bytes) else str(item) for item in items]


def _dtype_name(dtype: np.dtype[Any]) -> str | None:
    """Name the element type of an array as Keras does; None where it is no number."""
    if dtype.kind == "V" and dtype.itemsize == 2 and not dtype.names:
        return "bfloat16"  # which h5py knows as two bytes of anything
    return str(dtype.name) if dtype.kind in "fiu" and dtype.itemsize <= 8 else None


def _unknown_packing(dataset: h5py.Dataset) -> str:
    settings = dataset.id.get_create_plist()
    filters = [settings.get_filter(i) for i in range(settings.get_nfilters())]
    return ", ".join(f"filter {number}" for number, *_ in filters if number not in UNPACKED)


def _bytes_there(dataset: h5py.Dataset, region: Region) -> int:
    """Say how many bytes an array can have at most, by what of the file is its own."""
    stored, offset = int(dataset.id.get_storage_size()), dataset.id.get_offset()
    if dataset.chunks is not None:
        return min(stored, region.size) * DENSEST
    return min(stored, region.size if offset is None else max(region.size - int(offset), 0))


def _piece(dataset: h5py.Dataset) -> int:
    return int(math.prod(dataset.chunks or ()) * dataset.dtype.itemsize)
