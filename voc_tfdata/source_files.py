"""The files of a devkit, wherever they lie: in a folder or inside a .tar, a few or millions.

    files = FilesByStem("VOC2012/JPEGImages/", [("2007_000027.jpg", 0, 145493)])     # name, offset, size
    data = read_file(files["2007_000027"][0])

A file is held as (container, offset, size), so that a picture in a folder and one inside a .tar are read alike.
"""

from __future__ import annotations

import io
import itertools
import os
import sys
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

_FILES_AHEAD = 4


class BadFileError(ValueError):
    """One file that cannot become a right example: its path and the reason."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class SourceFile(NamedTuple):
    """Where the bytes of one file lie. A tuple: it goes to the workers, and a tuple is pickled fastest."""

    path: str  # as the user knows it: /data/VOC2012/JPEGImages/a.jpg or devkit.tar/VOC2012/JPEGImages/a.jpg
    container: str  # the file to open; its name in the locale's encoding, where that is not UTF-8
    offset: int  # bytes; 0 for a file of its own
    size: int  # bytes; 0 for a broken link

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class Notice(NamedTuple):
    """Something the user should know that stops nothing: its kind is counted, its text names the file."""

    kind: str
    text: str


class FilesByStem(Mapping[str, tuple[SourceFile, ...]]):
    """The files of one folder by stem (name less its last suffix); more than one file for a stem is possible.

    Iterates over the stems in increasing order. A file takes some 100 bytes of memory; there may be millions.
    """

    def __init__(self, folder: str, files: Iterable[tuple[str, int, int]], archive: str = "") -> None:
        """Takes (name, offset, size) of each file.

        Args:
          folder: what stands before the names in SourceFile.path, "/" included.
          files: in any order.
          archive: the .tar that they lie in; "" for files of their own.
        """
        self._folder, self._archive = folder, archive
        stems, suffixes, offsets, sizes = [], [], array("q"), array("q")
        for name, offset, size in files:
            stem, suffix = os.path.splitext(name)
            stems.append(stem)
            suffixes.append(sys.intern(suffix))
            offsets.append(offset)
            sizes.append(size)
        order = sorted(range(len(stems)), key=suffixes.__getitem__)
        order.sort(key=stems.__getitem__)
        self._stems, self._suffixes = [stems[k] for k in order], [suffixes[k] for k in order]
        self._offsets, self._sizes = array("q", (offsets[k] for k in order)), array("q", (sizes[k] for k in order))

    def __getitem__(self, stem: str) -> tuple[SourceFile, ...]:
        first = self._find(stem)
        if first is None:
            raise KeyError(stem)
        end = first + 1
        while end < len(self._stems) and self._stems[end] == stem:
            end += 1
        return tuple([self._file(k) for k in range(first, end)])

    def __contains__(self, stem: object) -> bool:
        return self._find(str(stem)) is not None

    def __iter__(self) -> Iterator[str]:
        return (stem for stem, _ in itertools.groupby(self._stems))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _find(self, stem: str) -> int | None:
        """Returns the place of the first file of a stem, None if there is none."""
        k = bisect_left(self._stems, stem)
        return k if k < len(self._stems) and self._stems[k] == stem else None

    def _file(self, k: int) -> SourceFile:
        name = self._stems[k] + self._suffixes[k]
        path = container = self._folder + name
        if not name.isascii():  # the system knows it in the locale's encoding
            container = self._folder + os.fsdecode(name.encode("utf-8", "surrogateescape"))
        return SourceFile(path, self._archive or container, self._offsets[k], self._sizes[k])


def read_file(file: SourceFile) -> bytes:
    """Returns the bytes of a file.

    Raises:
      BadFileError: it cannot be read, or is shorter than when it was listed.
    """
    (data,) = read_ahead((file,))
    if isinstance(data, BadFileError):
        raise data
    return data


def read_ahead(files: Iterable[SourceFile]) -> Iterator[bytes | BadFileError]:
    """Yields the bytes of each file, or why it cannot be read, while the system fetches those that come next."""
    ahead: deque[tuple[SourceFile, io.FileIO | BadFileError]] = deque()
    for file in files:
        ahead.append((file, _open_ahead(file)))
        if len(ahead) > _FILES_AHEAD:
            yield _read_opened(*ahead.popleft())
    while ahead:
        yield _read_opened(*ahead.popleft())


def _open_ahead(file: SourceFile) -> io.FileIO | BadFileError:
    try:
        stream = open(file.container, "rb", buffering=0)
        os.posix_fadvise(stream.fileno(), file.offset, file.size, os.POSIX_FADV_WILLNEED)
    except OSError as err:
        return BadFileError(file.path, f"cannot be read ({err.strerror})")
    return stream


def _read_opened(file: SourceFile, stream: io.FileIO | BadFileError) -> bytes | BadFileError:
    if isinstance(stream, BadFileError):
        return stream
    try:
        with stream:
            if not file.offset:
                return stream.read()
            stream.seek(file.offset)
            data = stream.read(file.size)
    except OSError as err:
        return BadFileError(file.path, f"cannot be read ({err.strerror})")
    if len(data) < file.size:
        return BadFileError(file.path, f"ends after {len(data):,} of {file.size:,} bytes; the .tar is cut off")
    return data


def stem_of(name: str) -> str:
    """Returns a file name less its last suffix: 'end.' of 'end..jpg', 'cam.v2' of 'cam.v2.xml'."""
    return os.path.splitext(name)[0]
