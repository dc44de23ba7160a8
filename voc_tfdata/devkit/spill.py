"""More items than memory should hold: beyond the first few MiB they lie in a temporary file.

images = Spill()
place = pictures.append(image)
pictures.at(place), list(pictures.items())           # an image, [(place, image)]

names = Sorter()
names.add("b"); names.add("a")
list(names)                                         # ["a", "b"]
"""

from __future__ import annotations

import heapq
import os
import pickle
import struct
import tempfile
import weakref
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Generic, TypeVar

_IN_MEMORY = 8 << 20  # 8 MiB
_WRITE_BYTES = 1 << 20  # 1 MiB, once there is a file
_READ_BYTES = 8 << 10  # 8 KiB: most items
_LENGTH = struct.Struct("<I")
_RUN_ITEMS = 1 << 16  # sorted in memory, some 20 MB
_BLOCK_ITEMS = 256  # read at once while runs are merged
T = TypeVar("T")
Orderable = TypeVar("Orderable", bound=Any)


class TemporaryFolderError(OSError):
    """The temporary folder is full, or cannot be written for another reason."""


class Spill(Generic[T]):
    """Items (anything that can be pickled) in the order they came; none stays in memory for good.

    The file has no name and ends with the process, whatever ends that. In it each item follows its length in bytes.
    """

    def __init__(self) -> None:
        self._file = -1  # descriptor; there is none at first
        self._written = 0  # bytes in the file
        self._tail = bytearray()  # what comes after those

    def append(self, item: T) -> int:
        """Adds an item and returns its place, for at().

        Raises:
          TemporaryFolderError: the temporary folder is full; it is named.
        """
        place = self._written + len(self._tail)
        data = pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
        self._tail += _LENGTH.pack(len(data))
        self._tail += data
        if len(self._tail) > (_IN_MEMORY if self._file < 0 else _WRITE_BYTES):
            self._write_tail()
        return place

    def at(self, place: int) -> T:
        """Returns the item that append gave this place."""
        return self._read(place)[0]

    def __reduce__(self) -> Any:
        raise TypeError("a Spill stays in its process; iterate over its items")

    def items(self) -> Iterator[tuple[int, T]]:
        """Yields (place, item) of each, in the order they came."""
        place = 0
        while place < self._written + len(self._tail):
            item, after = self._read(place)
            yield place, item
            place = after

    def _read(self, place: int) -> tuple[T, int]:
        """Returns the item at a place, and the place after it."""
        if place >= self._written:
            start = place - self._written + _LENGTH.size
            (length,) = _LENGTH.unpack_from(self._tail, start - _LENGTH.size)
            item: T = pickle.loads(self._tail[start : start + length])
        else:
            data = os.pread(self._file, _READ_BYTES, place)
            (length,) = _LENGTH.unpack_from(data)
            if len(data) < _LENGTH.size + length:
                data = os.pread(self._file, _LENGTH.size + length, place)
            item = pickle.loads(memoryview(data)[_LENGTH.size :])
        return item, place + _LENGTH.size + length

    def _write_tail(self) -> None:
        try:
            if self._file < 0:
                with tempfile.TemporaryFile(buffering=0) as file:
                    self._file = os.dup(file.fileno())
                weakref.finalize(self, os.close, self._file)
            left = memoryview(self._tail)
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as err:
            reason = f"{err.strerror}; set TMPDIR to another folder"
            folder = tempfile.tempdir or os.environ.get("TMPDIR", "/tmp")
            raise TemporaryFolderError(err.errno, reason, str(folder)) from err
        self._written += len(self._tail)
        self._tail = bytearray()


class Sorter(Collection[Orderable]):
    """Items that are iterated over in increasing order: runs that were sorted in memory, merged."""

    def __init__(self) -> None:
        self._blocks: Spill[list[Orderable]] = Spill()
        self._runs: list[list[int]] = []  # places of their blocks
        self._last: list[Orderable] = []  # the run that is being filled
        self._sorted = True
        self._count = 0

    def add(self, item: Orderable) -> None:
        """Adds an item.

        Raises:
          TemporaryFolderError: the temporary folder is full; it is named.
        """
        self._last.append(item)
        self._sorted = False
        self._count += 1
        if len(self._last) >= _RUN_ITEMS:
            self._last.sort()
            starts = range(0, len(self._last), _BLOCK_ITEMS)
            self._runs.append([self._blocks.append(self._last[k : k + _BLOCK_ITEMS]) for k in starts])
            self._last = []

    def extend(self, items: Iterable[Orderable]) -> None:
        """Adds items, as add does."""
        for item in items:
            self.add(item)

    def __reduce__(self) -> Any:
        return _sort, (list(self),)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, item: object) -> bool:
        return any(item == other for other in self)

    def __iter__(self) -> Iterator[Orderable]:
        if not self._sorted:
            self._last.sort()
            self._sorted = True
        if not self._runs:
            return iter(self._last)
        return heapq.merge(*map(self._read, self._runs), self._last)

    def _read(self, places: Iterable[int]) -> Iterator[Orderable]:
        for place in places:
            yield from self._blocks.at(place)


def _sort(items: list[Orderable]) -> Sorter[Orderable]:
    sorter: Sorter[Orderable] = Sorter()
    sorter.extend(items)
    return sorter
