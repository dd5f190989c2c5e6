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

HEAP = b"GCOL\x01"
"""How a global heap begins, in which HDF5 keeps strings."""
OBJECT = struct.Struct("<HHIQ")
"""The head of an object in a global heap: number, references, four bytes of nothing, size."""
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
        """The bytes as a file of their own."""
        with io.BytesIO(self.content) if self.content else self.path.open("rb") as file:
            yield Guarded(file, self.start, self.size)


class Guarded(io.RawIOBase):
    """A part of a file, as a file for HDF5, which is kept from what would never end.

    HDF5 1.14 walks forever through a heap with an object of no size, and a damaged file can send
    it around in circles; so heaps are looked at before it sees them, and its reading has an end.
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
        self.left -= len(view)
        if self.left < 0:
            raise OSError("its parts refer to one another in circles")
        self._check_heaps(data)
        view[: len(data)] = data
        self.position += len(data)
        return len(data)

    def bytes_at(self, offset: int, count: int) -> bytes:
        """The bytes from an offset on, fewer at the end."""
        self.file.seek(self.start + offset)
        return self.file.read(max(min(count, self.size - offset), 0))

    def _check_heaps(self, data: bytes) -> None:
        found = data.find(HEAP)
        while found >= 0:
            self._check_heap(self.position + found)
            found = data.find(HEAP, found + 1)

    def _check_heap(self, offset: int) -> None:
        (size,) = struct.unpack("<Q", self.bytes_at(offset, 16)[8:].ljust(8, b"\0"))
        heap, place = self.bytes_at(offset, min(size, self.size)), 16
        while place + OBJECT.size <= len(heap):
            number, _, _, length = OBJECT.unpack_from(heap, place)
            step = OBJECT.size + -(-length // 8) * 8 if number else length
            if step < OBJECT.size:
                raise OSError("a heap of strings in it is damaged")
            place += step
