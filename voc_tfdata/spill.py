"""More items than memory should hold: beyond the first few MiB they lie in a temporary file.

pictures = Spill()
place = pictures.append(picture)
pictures.at(place), list(pictures.items())           # a picture, [(place, picture)]

names = Sorter()
names.add("b"); names.add("a")
list(names)                                         # ["a", "b"]
"""

from __future__ import annotations

import contextlib
import heapq
import pickle
import tempfile
import weakref
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Generic, TypeVar

_IN_MEMORY = 8 << 20  # 8 MiB
_RUN_ITEMS = 1 << 16  # sorted in memory, some 20 MB
_BLOCK_ITEMS = 256  # read at once while runs are merged
T = TypeVar("T")
Orderable = TypeVar("Orderable", bound=Any)


class TemporaryFolderError(OSError):
    """The temporary folder cannot be written: it is full."""


class Spill(Generic[T]):
    """Items (anything that can be pickled) in the order they came; none stays in memory for good.

    The file has no name and ends with the process, whatever ends that.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)
        self._end = 0  # bytes
        self._count = 0
        weakref.finalize(self, self._file.close)

    def append(self, item: T) -> int:
        """Adds an item and returns its place, for at().

        Raises:
          TemporaryFolderError: the temporary folder is full; it is named.
        """
        place = self._end
        try:
            self._file.seek(place)
            pickle.dump(item, self._file, pickle.HIGHEST_PROTOCOL)
            self._end = self._file.tell()
        except OSError as err:
            raise self._give_up(err) from err
        self._count += 1
        return place

    def at(self, place: int) -> T:
        """Returns the item that append gave this place.

        Raises:
          TemporaryFolderError: as append; what was added last is written now.
        """
        try:
            self._file.seek(place)
            item: T = pickle.load(self._file)
        except OSError as err:
            raise self._give_up(err) from err
        return item

    def __len__(self) -> int:
        return self._count

    def items(self) -> Iterator[tuple[int, T]]:
        """Yields (place, item) of each, in the order they came."""
        place = 0
        while place < self._end:
            item = self.at(place)
            after = self._file.tell()
            yield place, item
            place = after

    def _give_up(self, err: OSError) -> TemporaryFolderError:
        """Closes the file and returns an error that names the folder and the remedy."""
        with contextlib.suppress(OSError):  # it tries once more to write what it holds
            self._file.close()
        reason = f"{err.strerror}; set TMPDIR to another folder"
        return TemporaryFolderError(err.errno, reason, tempfile.gettempdir())


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
