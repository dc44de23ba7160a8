"""A folder (or a .tar) in the layout of the PASCAL VOC development kit: what is in it.

devkit = open_devkit("VOCdevkit/VOC2012")
path = devkit.annotations["2007_000027"][0].path
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from voc_tfdata.devkit.source_files import FilesByStem, Notice, SourceFile, is_litter, stem_of
from voc_tfdata.devkit.spill import Sorter
from voc_tfdata.devkit.tar_members import TarMembers

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
_FOLDERS = {"Annotations": (".xml",), "JPEGImages": PICTURE_SUFFIXES, "ImageSets/Main": (".txt",)}


class _Listing:
    """The files of one folder as they come: those with one of its suffixes, and the others."""

    def __init__(self, suffixes: tuple[str, ...]) -> None:
        self._suffixes = suffixes
        self.chosen: Sorter[tuple[str, str, int, int]] = Sorter()  # of FilesByStem
        self.others: Sorter[tuple[str, str, int, int]] = Sorter()

    def add(self, name: str, offset: int, size: int) -> None:
        stem, suffix = os.path.splitext(name)
        files = self.chosen if suffix.lower() in self._suffixes else self.others
        files.add((stem, suffix, offset, size))


def _make_listings() -> dict[str, _Listing]:
    return {folder: _Listing(suffixes) for folder, suffixes in _FOLDERS.items()}


@dataclass(frozen=True)
class Devkit:
    """The files of one devkit."""

    root: str
    annotations: FilesByStem
    pictures: FilesByStem
    other_annotations: FilesByStem  # files in Annotations that are no .xml
    other_pictures: FilesByStem  # files in JPEGImages without a picture's suffix
    lists: Mapping[str, SourceFile]  # ImageSets/Main, by name without .txt
    folders: tuple[str, ...]  # in these folders, and what else is no file there

    def list_warnings(self) -> Iterator[Notice]:
        """Yields a warning for each thing that is not read."""
        for folder in self.folders:
            yield Notice("not a file", f"{self.root}/{folder} is no file (a folder?); nothing in it is read")
        for file in self.other_annotations.files():
            yield Notice("not an annotation", f"{file.path} does not end in .xml; not read")


def open_devkit(voc_root: str | Path) -> Devkit:
    """Returns what lies in a devkit: a folder with Annotations/ and JPEGImages/, a VOCdevkit with one year in it, or
    an uncompressed .tar of either.

    Raises:
      FileNotFoundError: there is nothing at voc_root, or no such folders are in it.
      ValueError: several devkits, sub-folders with annotations in Annotations/, no annotation at all, or a file
        that is no readable .tar.
      OSError: the temporary folder is full.
    """
    path = Path(voc_root)
    if path.is_dir():
        return _open_folder(_find_root(path))
    if path.is_file():
        return _open_tar(path)
    raise FileNotFoundError(f"no {path}; --voc_root wants a folder with Annotations/ and JPEGImages/, or its .tar")


def _find_root(path: Path) -> Path:
    if (path / "Annotations").is_dir() or (path / "JPEGImages").is_dir():
        for name in ("Annotations", "JPEGImages"):
            if not (path / name).is_dir():
                raise FileNotFoundError(f"no folder {path / name}; --voc_root wants Annotations/ and JPEGImages/ in it")
        return path
    inside = sorted(p.parent for p in path.glob("*/Annotations") if (p.parent / "JPEGImages").is_dir())
    if len(inside) == 1:
        return inside[0]
    deeper = inside or sorted(p.parent for p in path.glob("*/*/Annotations"))
    found = "; found: " + ", ".join(map(str, deeper)) + " (give one of these)" if deeper else ""
    raise FileNotFoundError(f"no folders Annotations/ and JPEGImages/ in {path}{found}")


def _open_folder(root: Path) -> Devkit:
    listings = _make_listings()
    folders: list[str] = []
    for folder, listing in listings.items():
        if not (root / folder).is_dir():
            continue
        with os.scandir(root / folder) as entries:
            for entry in entries:
                name = entry.name
                if not name.isascii():  # UTF-8, whatever the locale
                    name = os.fsencode(name).decode("utf-8", "surrogateescape")
                if is_litter(name):
                    continue
                try:
                    is_folder, is_file = entry.is_dir(), entry.is_file()
                except OSError:  # a link to itself
                    is_folder = is_file = False
                if is_folder or (not is_file and os.path.exists(entry.path)):  # a pipe, a device
                    folders.append(f"{folder}/{name}")
                    continue
                size = 0
                if folder == "JPEGImages":  # sizes plan the shards; elsewhere they would cost a call each
                    size = entry.stat().st_size if is_file else 0
                listing.add(name, 0, size)
    nested = [f for f in folders if f.startswith("Annotations/") and any((root / f).rglob("*.[xX][mM][lL]"))]
    return _make_devkit(str(root), listings, folders, nested)


def _open_tar(path: Path) -> Devkit:
    try:
        with tarfile.open(path, "r:", encoding="utf-8", errors="surrogateescape") as archive:
            members = TarMembers(archive)
    except tarfile.ReadError as err:
        raise ValueError(
            f"{path} is no readable uncompressed .tar ({err}); unpack it and give the folder in --voc_root"
        ) from err
    if len(members.roots) != 1:
        found = ", ".join(sorted(f"{root}Annotations" for root in members.roots)) or "none"
        raise ValueError(
            f"{path} should hold one devkit with Annotations/; found: {found}; unpack it and give a folder"
        )
    (root,) = members.roots
    listings = _make_listings()
    folders: set[str] = set()
    nested: set[str] = set()
    has_pictures = False
    for name, offset, size in members.list_files():
        for folder, listing in listings.items():
            inside = name.removeprefix(f"{root}{folder}/")
            if inside == name:
                continue
            has_pictures = has_pictures or folder == "JPEGImages"
            if "/" in inside:
                sub_folder = f"{folder}/{inside.split('/')[0]}"
                folders.add(sub_folder)
                if folder == "Annotations" and inside.lower().endswith(".xml"):
                    nested.add(sub_folder)
                continue
            listing.add(inside, offset, size)
    if not has_pictures:
        raise FileNotFoundError(f"no folder {root}JPEGImages in {path}; --voc_root wants it beside Annotations/")
    return _make_devkit(f"{path}/{root}".rstrip("/"), listings, list(folders), list(nested), archive=str(path))


def _make_devkit(
    root: str, listings: Mapping[str, _Listing], folders: list[str], nested: list[str], archive: str = ""
) -> Devkit:
    if nested:
        raise ValueError(
            f"annotations lie in sub-folders of {root}/Annotations: {some_of(sorted(nested))}; "
            "move the files up, or convert each sub-folder as a devkit of its own"
        )

    def open_files(folder: str, files: Iterable[tuple[str, str, int, int]]) -> FilesByStem:
        return FilesByStem(f"{root}/{folder}/", files, archive)

    annotations = open_files("Annotations", listings["Annotations"].chosen)
    if not annotations:
        raise ValueError(f"no .xml file in {root}/Annotations; --voc_root wants a devkit with annotations")
    lists = open_files("ImageSets/Main", listings["ImageSets/Main"].chosen)
    return Devkit(
        root=root,
        annotations=annotations,
        pictures=open_files("JPEGImages", listings["JPEGImages"].chosen),
        other_annotations=open_files("Annotations", listings["Annotations"].others),
        other_pictures=open_files("JPEGImages", listings["JPEGImages"].others),
        lists={stem_of(file.name): file for file in lists.files()},
        folders=tuple(sorted(folders)),
    )


def some_of(names: list[str], limit: int = 10) -> str:
    """Returns the first few names, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
