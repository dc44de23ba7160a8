"""What lies in a .tar, read in place: where each file's bytes are.

    with tarfile.open("VOC2012.tar", "r:") as archive:
        members = TarMembers(archive)
    for name, offset, size in members.list_files(): ...

tarfile would keep a kilobyte in memory for each member; here they lie in a Sorter.
"""

from __future__ import annotations

import itertools
import operator
import posixpath
import tarfile
from collections.abc import Iterator

from voc_tfdata.devkit.source_files import UNREADABLE, is_litter
from voc_tfdata.devkit.spill import Sorter

_MAX_HOPS = 40  # from link to link, as Linux goes (path_resolution(7))


class TarMembers:
    """The files in a .tar, links resolved, litter left out. Of several of one name the last counts, as in unpacking.

    Raises:
      tarfile.ReadError: it is damaged or cut off.
    """

    def __init__(self, archive: tarfile.TarFile) -> None:
        self.roots: set[str] = set()  # what stands before Annotations/ in the names of annotations
        self._files: Sorter[tuple[str, int, int, int]] = Sorter()  # name, position in the .tar, offset, size
        links: dict[str, tuple[int, str]] = {}  # position in the .tar, target
        for number, member in enumerate(archive):
            archive.members.clear()  # type: ignore[attr-defined]  # it would keep them all, a kilobyte each
            name = posixpath.normpath(member.name).lstrip("/")
            if member.isdir() or any(is_litter(part) for part in name.split("/")):
                continue
            if member.islnk() or member.issym():
                folder = "" if member.islnk() else posixpath.dirname(name)
                links[name] = number, posixpath.normpath(posixpath.join(folder, member.linkname)).lstrip("/")
                continue
            plain = member.isreg() and not member.issparse()
            self._files.add((name, number, member.offset_data if plain else UNREADABLE, member.size if plain else 0))
            self._note_root(name)
        archive.fileobj.seek(archive.offset)  # type: ignore[union-attr]
        if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # type: ignore[union-attr]
            # tarfile takes it for the end, and leaves out what follows.
            raise tarfile.ReadError(f"damaged or cut off at byte {archive.offset:,}")
        self._linked = self._resolve(links)
        for name, (offset, _) in self._linked.items():
            if offset != UNREADABLE:
                self._note_root(name)

    def list_files(self) -> Iterator[tuple[str, int, int]]:
        """Yields (name, offset, size); the offset is UNREADABLE for what is no whole file in there."""
        for name, _, offset, size in self._list_regular():
            if name not in self._linked:
                yield name, offset, size
        for name, (offset, size) in self._linked.items():
            yield name, offset, size

    def _list_regular(self) -> Iterator[tuple[str, int, int, int]]:
        for _, same in itertools.groupby(self._files, key=operator.itemgetter(0)):
            *_, last = same
            yield last

    def _resolve(self, links: dict[str, tuple[int, str]]) -> dict[str, tuple[int, int]]:
        """Returns (offset, size) of the file that each link ends at, less the links that a later file replaces."""
        named = links.keys() | {target for _, target in links.values()}
        places = {name: place for name, *place in self._list_regular() if name in named} if links else {}
        links = {name: link for name, link in links.items() if name not in places or places[name][0] < link[0]}
        resolved = {}
        for name in links:
            end, hops = name, 0
            while end in links and hops < _MAX_HOPS:
                end, hops = links[end][1], hops + 1
            _, offset, size = places[end] if end in places and end not in links else (0, UNREADABLE, 0)
            resolved[name] = offset, size
        return resolved

    def _note_root(self, name: str) -> None:
        root = _root_in_tar(name)
        if root is not None:
            self.roots.add(root)


def _root_in_tar(name: str) -> str | None:
    """Returns what stands before Annotations/ in the name of an annotation, None for another name."""
    folders = name.split("/")[:-1]
    if "Annotations" not in folders or not name.lower().endswith(".xml"):
        return None
    return "".join(f"{folder}/" for folder in folders[: folders.index("Annotations")])
