"""The files of a devkit, wherever they lie: in a folder or inside a .tar, a few or millions.

    files = FilesByStem("VOC2012/JPEGImages/", [("2007_000027", ".jpg", 0, 145493)])     # stem, suffix, offset, size
    (data,) = read_ahead(files["2007_000027"])

A file is held as (container, offset, size), so that an image in a folder and one inside a .tar are read alike.
"""

from __future__ import annotations

import errno
import io
import itertools
import operator
import os
import sys
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from voc_tfdata.devkit.spill import Spill

_FILES_AHEAD = 4
_PIECE_BYTES = 1 << 20  # 1 MiB
_BLOCK_FILES = 256
# What open(2) and read(2) report of one file. All else (EMFILE, ENFILE, ENOMEM, EIO, ENOSPC ...) is of the machine.
_FAULTS_OF_A_FILE = (
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENXIO,
    errno.ENODEV,
    errno.EINVAL,
    errno.EILSEQ,
)
UNREADABLE = -1  # offset of what is no whole file in a .tar: a broken link, a sparse file, a pipe
_SYSTEM_LITTER = ("thumbs.db", "desktop.ini", "@eadir", "__macosx", "lost+found")
File = tuple[str, str, int, int, int]  # stem, suffix, offset, size, number of its folder


_WHY_UNREADABLE = "is no whole file in the .tar (a broken link, a sparse file, a pipe); unpack it and give the folder"


def printable(text: str) -> str:
    """Returns a text without control characters, as \\x1b and the like: file names and XML may hold any."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


class BadFileError(ValueError):
    """One file that cannot become a right example: its path and the reason."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return printable(f"{self.path}: {self.reason}")


class SourceFile(NamedTuple):
    """Where the bytes of one file lie. A tuple: it goes to the workers, and a tuple is pickled fastest."""

    path: str  # as the user knows it: /data/VOC2012/JPEGImages/a.jpg or devkit.tar/VOC2012/JPEGImages/a.jpg
    container: str  # the file to open; its name in the locale's encoding, where that is not UTF-8
    offset: int  # bytes; 0 for a file of its own, or UNREADABLE
    size: int  # bytes; 0 for a broken link
    name_start: int = -1  # where, in path, its name inside its folder begins; -1: after the last "/"

    @property
    def name(self) -> str:
        """The name inside its folder: "a.jpg", or with sub-folders "sub/a.jpg"."""
        return self.path[self.name_start :] if self.name_start >= 0 else self.path.rpartition("/")[2]


class Notice(NamedTuple):
    """Something the user should know that stops nothing: its kind is counted, its text names the file."""

    kind: str
    text: str


class FilesByStem(Mapping[str, tuple[SourceFile, ...]]):
    """The files of one folder by stem (name less its last suffix); more than one file for a stem is possible.

    Iterates over the stems in increasing order. There may be millions: they lie in blocks in a Spill, and the block
    that was looked into last is kept, so that look-ups in increasing order cost little.
    """

    def __init__(self, folders: Sequence[str], files: Iterable[File], archive: str = "") -> None:
        """Takes (stem, suffix, offset, size, number of its folder) of each file.

        Args:
          folders: what stands before the names in SourceFile.path, "/" included, by number.
          files: in increasing order.
          archive: the .tar that they lie in; "" for files of their own.

        Raises:
          OSError: the temporary folder is full.
        """
        self._folders, self._archive = tuple(folders), archive
        self._by_case: dict[str, list[str]] = {}
        self._blocks: Spill[list[File]] = Spill()
        self._first_stems: list[str] = []  # of each block
        self._places: list[int] = []
        self._num_stems = 0
        self._number, self._block = -1, list[File]()  # the block that was looked into last
        block: list[File] = []
        for _, group in itertools.groupby(files, key=operator.itemgetter(0)):
            self._num_stems += 1
            if len(block) >= _BLOCK_FILES:  # here: the files of one stem are never in two
                self._add_block(block)
                block = []
            block.extend(group)
        if block:
            self._add_block(block)

    def __getitem__(self, stem: str) -> tuple[SourceFile, ...]:
        found = self._find(stem)
        if not found:
            raise KeyError(stem)
        return tuple(map(self._source_file, found))

    def __contains__(self, stem: object) -> bool:
        return bool(self._find(str(stem)))

    def __iter__(self) -> Iterator[str]:
        for _, block in self._blocks.items():
            for stem, _ in itertools.groupby(block, key=operator.itemgetter(0)):
                yield stem

    def files(self) -> Iterator[SourceFile]:
        """Yields every file, in the order of the stems."""
        for _, block in self._blocks.items():
            yield from map(self._source_file, block)

    def __len__(self) -> int:
        return self._num_stems

    def named(self, name: str) -> SourceFile | None:
        """Returns the file of this name."""
        stem, suffix = os.path.splitext(name)
        return next((self._source_file(file) for file in self._find(stem) if file[1] == suffix), None)

    def same_but_case(self, stem: str) -> list[str]:
        """Returns the stems that are this one but for the case of letters; the first call reads all stems."""
        if not self._by_case:
            for known in self:
                self._by_case.setdefault(known.casefold(), []).append(known)
        return self._by_case.get(stem.casefold(), [])

    def _add_block(self, block: list[File]) -> None:
        self._first_stems.append(block[0][0])
        self._places.append(self._blocks.append(block))

    def _find(self, stem: str) -> list[File]:
        number = bisect_right(self._first_stems, stem) - 1
        if number < 0:
            return []
        if number != self._number:
            self._number, self._block = number, self._blocks.at(self._places[number])
        first = end = bisect_left(self._block, (stem,))
        while end < len(self._block) and self._block[end][0] == stem:
            end += 1
        return self._block[first:end]

    def _source_file(self, file: File) -> SourceFile:
        stem, suffix, offset, size, number = file
        name, folder = stem + suffix, self._folders[number]
        path = container = folder + name
        if not name.isascii():  # the system knows it in the locale's encoding
            container = folder + os.fsdecode(name.encode("utf-8", "surrogateescape"))
        return SourceFile(path, self._archive or container, offset, size, len(folder))


def as_bad_file(err: OSError, path: str) -> BadFileError:
    """Returns a fault of a file as the error that names it.

    Raises:
      OSError: it is a fault of the machine (no memory, no descriptors, I/O): no file is to blame, and none is skipped.
    """
    if err.errno not in _FAULTS_OF_A_FILE:
        raise OSError(err.errno, f"{err.strerror} (a fault of the machine, not of the file)", path) from err
    return BadFileError(path, f"cannot be read ({err.strerror})")


def read_pieces(file: SourceFile) -> Iterator[bytes]:
    """Yields the bytes of a file in pieces of up to 1 MiB.

    Raises:
      BadFileError: it cannot be read, or is shorter than when it was listed.
    """
    if file.offset == UNREADABLE:
        raise BadFileError(file.path, _WHY_UNREADABLE)
    try:
        with open(file.container, "rb") as stream:
            stream.seek(file.offset)
            left = file.size if file.offset else sys.maxsize
            while piece := stream.read(min(left, _PIECE_BYTES)):
                left -= len(piece)
                yield piece
    except OSError as err:
        raise as_bad_file(err, file.path) from err
    if file.offset and left:
        raise BadFileError(file.path, _describe_cut(file, file.size - left))


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
    if file.offset == UNREADABLE:
        return BadFileError(file.path, _WHY_UNREADABLE)
    try:
        stream = open(file.container, "rb", buffering=0)
        os.posix_fadvise(stream.fileno(), file.offset, file.size, os.POSIX_FADV_WILLNEED)
    except OSError as err:
        return as_bad_file(err, file.path)
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
        return as_bad_file(err, file.path)
    if len(data) < file.size:
        return BadFileError(file.path, _describe_cut(file, len(data)))
    return data


def _describe_cut(file: SourceFile, num_bytes: int) -> str:
    return f"ends after {num_bytes:,} of {file.size:,} bytes; the .tar is cut off"


def stem_of(name: str) -> str:
    """Returns a file name less its last suffix: 'end.' of 'end..jpg', 'cam.v2' of 'cam.v2.xml'."""
    return os.path.splitext(name)[0]


def is_litter(name: str) -> bool:
    """Returns whether a file or folder of this name is one that systems leave about."""
    return name.startswith(".") or name.lower() in _SYSTEM_LITTER
