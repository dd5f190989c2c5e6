"""The bytes of an HDF5 file from a stranger, handed out so that HDF5 comes to an end with them."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

GLOBAL_HEAP = b"GCOL\x01"
"""How a heap begins in which HDF5 keeps strings of any length."""
OBJECT = struct.Struct("<HHIQ")
"""The head of an object in it: number, references, four bytes of nothing, size."""
LOCAL_HEAP = b"HEAP\x00\x00\x00\x00"
"""How a heap begins in which HDF5 keeps the names in a group."""
PLACES = struct.Struct("<QQQ")
"""What follows: the size of its data, the first free place in these, and where they are."""
FREE = struct.Struct("<QQ")
"""A free place: the next one, 1 for none, and its size."""
MOST_READS = 8
"""How many times over HDF5 may read a file while it looks for names and shapes."""


@dataclass(frozen=True)
class Region:
    """The bytes of an HDF5 file: a file, a part of an archive, or unpacked into memory.

    Attributes:
        path: The file they lie in.
        start: Where they begin.
        size: How many they are.
        content: The bytes themselves, where they lay packed in an archive.
    """

    path: Path
    start: int
    size: int
    content: bytes = field(default=b"", repr=False)

    @contextmanager
    def opened(self) -> Iterator[Guarded]:
        """Open the bytes as a file of their own."""
        with io.BytesIO(self.content) if self.content else self.path.open("rb") as file:
            yield Guarded(file, self.start, self.size)


class Guarded(io.RawIOBase):
    """A part of a file, as a file for HDF5, which is kept from what would never end.

    HDF5 1.14 walks forever through a heap with an object of no size, or with free places in a
    circle, and a damaged file can send it around in other circles; so heaps are looked at before it
    sees them, and its reading has an end.
    """

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self.file, self.start, self.size = file, start, size
        self.position = 0
        self.left = MOST_READS * size + 2**20

    def readable(self) -> bool:  # noqa: D102
        return True

    def seekable(self) -> bool:  # noqa: D102
        return True

    def tell(self) -> int:  # noqa: D102
        return self.position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:  # noqa: D102
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence]
        self.position = max(origin + offset, 0)
        return self.position

    def readinto(self, buffer: Any) -> int:  # noqa: D102
        view = memoryview(buffer).cast("B")
        data = self.bytes_at(self.position, len(view))
        self._spend(len(view))
        self._check_heaps(data)
        view[: len(data)] = data
        self.position += len(data)
        return len(data)

    def bytes_at(self, offset: int, count: int) -> bytes:
        """Read the bytes from an offset on, fewer at the end."""
        self.file.seek(self.start + offset)
        return self.file.read(max(min(count, self.size - offset), 0))

    def _spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise OSError("its parts refer to one another in circles")

    def _check_heaps(self, data: bytes) -> None:
        for mark, check in (GLOBAL_HEAP, self._check_global), (LOCAL_HEAP, self._check_local):
            found = data.find(mark)
            while found >= 0:
                check(self.position + found)
                found = data.find(mark, found + 1)

    def _check_local(self, offset: int) -> None:
        head = self.bytes_at(offset + len(LOCAL_HEAP), PLACES.size)
        size, place, start = PLACES.unpack(head.ljust(PLACES.size, b"\0"))
        seen: set[int] = set()
        while place != 1 and place + FREE.size <= min(size, self.size - start):
            if place in seen:
                raise OSError("a heap of names in it is damaged")
            seen.add(place)
            self._spend(FREE.size)
            place, _ = FREE.unpack(self.bytes_at(start + place, FREE.size))

    def _check_global(self, offset: int) -> None:
        (size,) = struct.unpack("<Q", self.bytes_at(offset, 16)[8:].ljust(8, b"\0"))
        heap, place = self.bytes_at(offset, min(size, self.size)), 16
        self._spend(len(heap))
        while place + OBJECT.size <= len(heap):
            number, _, _, length = OBJECT.unpack_from(heap, place)
            step = OBJECT.size + -(-length // 8) * 8 if number else length
            if step < OBJECT.size:
                raise OSError("a heap of strings in it is damaged")
            place += step
