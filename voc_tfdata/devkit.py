"""A folder (or a .tar) in the layout of the PASCAL VOC development kit: what is in it.

devkit = open_devkit("VOCdevkit/VOC2012")
data = read_file(devkit.annotations["2007_000027"][0])
"""

from __future__ import annotations

import itertools
import os
import posixpath
import tarfile
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from voc_tfdata.source_files import FilesByStem, Notice, SourceFile, stem_of

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
_SYSTEM_LITTER = ("thumbs.db", "desktop.ini", "@eadir", "__macosx", "lost+found")
_FOLDERS = ("Annotations", "JPEGImages", "ImageSets/Main")


class _Listing:
    """(name, offset, size) of files, as they come."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._offsets, self._sizes = array("q"), array("q")

    def add(self, name: str, offset: int, size: int) -> None:
        self._names.append(name)
        self._offsets.append(offset)
        self._sizes.append(size)

    def choose(self, suffixes: tuple[str, ...], *, others: bool = False) -> Iterator[tuple[str, int, int]]:
        """Yields the files that end in one of the suffixes, or the others."""
        for file in zip(self._names, self._offsets, self._sizes, strict=True):
            if file[0].lower().endswith(suffixes) is not others:
                yield file


@dataclass(frozen=True)
class Devkit:
    """The files of one devkit."""

    root: str
    annotations: FilesByStem
    pictures: FilesByStem
    other_pictures: Mapping[str, SourceFile]  # by whole name: files in JPEGImages without a picture's suffix
    lists: Mapping[str, SourceFile]  # ImageSets/Main, by name without .txt
    warnings: tuple[Notice, ...]


def open_devkit(voc_root: str | Path) -> Devkit:
    """Returns what lies in a devkit: a folder with Annotations/ and JPEGImages/, a VOCdevkit with one year in it, or
    an uncompressed .tar of either.

    Raises:
      FileNotFoundError: there is nothing at voc_root, or no such folders are in it.
      ValueError: several devkits, sub-folders with annotations in Annotations/, no annotation at all, or a file
        that is no readable .tar.
    """
    path = Path(voc_root)
    if path.is_dir():
        return _open_folder(_find_root(path))
    if path.is_file():
        return _open_tar(path)
    raise FileNotFoundError(f"no {path}; --voc_root wants a folder with Annotations/ and JPEGImages/, or its .tar")


def _find_root(path: Path) -> Path:
    if (path / "Annotations").is_dir() or (path / "JPEGImages").is_dir():
        for name in _FOLDERS[:2]:
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
    files = {folder: _Listing() for folder in _FOLDERS}
    folders: list[str] = []
    for folder in _FOLDERS:
        if not (root / folder).is_dir():
            continue
        with os.scandir(root / folder) as entries:
            for entry in entries:
                name = entry.name
                if not name.isascii():  # UTF-8, whatever the locale
                    name = os.fsencode(name).decode("utf-8", "surrogateescape")
                if _is_litter(name):
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
                files[folder].add(name, 0, size)
    nested = [f for f in folders if f.startswith("Annotations/") and any((root / f).rglob("*.[xX][mM][lL]"))]
    return _make_devkit(str(root), files, folders, nested)


def _open_tar(path: Path) -> Devkit:
    try:
        with tarfile.open(path, "r:", encoding="utf-8", errors="surrogateescape") as archive:
            members = _list_members(archive)
    except tarfile.ReadError as err:
        raise ValueError(
            f"{path} is no readable uncompressed .tar ({err}); unpack it and give the folder in --voc_root"
        ) from err
    roots = {_root_in_tar(name) for name in members} - {None}
    if len(roots) != 1:
        found = ", ".join(sorted(f"{root}Annotations" for root in roots)) or "none"
        raise ValueError(
            f"{path} should hold one devkit with Annotations/; found: {found}; unpack it and give a folder"
        )
    root = roots.pop()
    if not any(name.startswith(f"{root}JPEGImages/") for name in members):
        raise FileNotFoundError(f"no folder {root}JPEGImages in {path}; --voc_root wants it beside Annotations/")
    files = {folder: _Listing() for folder in _FOLDERS}
    folders: set[str] = set()
    nested: set[str] = set()
    for name, (offset, size) in members.items():
        for folder, content in files.items():
            inside = name.removeprefix(f"{root}{folder}/")
            if inside == name:
                continue
            if "/" in inside:
                sub_folder = f"{folder}/{inside.split('/')[0]}"
                folders.add(sub_folder)
                if folder == "Annotations" and inside.lower().endswith(".xml"):
                    nested.add(sub_folder)
                continue
            content.add(inside, offset, size)
    return _make_devkit(f"{path}/{root}".rstrip("/"), files, sorted(folders), sorted(nested), archive=str(path))


def _list_members(archive: tarfile.TarFile) -> dict[str, tuple[int, int]]:
    """Returns {name: (offset, size)} of the files in a .tar, links resolved, litter left out.

    Of several of one name the last counts, as in unpacking.
    """
    found: dict[str, tuple[int, int]] = {}
    links: dict[str, str] = {}
    for member in archive:
        name = posixpath.normpath(member.name).lstrip("/")
        if any(_is_litter(part) for part in name.split("/")):
            continue
        if member.isreg() and not member.issparse():
            found[name] = (member.offset_data, member.size)
        elif member.islnk() or member.issym():
            folder = "" if member.islnk() else posixpath.dirname(name)
            links[name] = posixpath.normpath(posixpath.join(folder, member.linkname)).lstrip("/")
    return {name: found[target] for name, target in links.items() if target in found} | found


def _root_in_tar(name: str) -> str | None:
    """Returns what stands before Annotations/ in the name of an annotation, None for another name."""
    folders = name.split("/")[:-1]
    if "Annotations" not in folders or not name.lower().endswith(".xml"):
        return None
    return "".join(f"{folder}/" for folder in folders[: folders.index("Annotations")])


def _make_devkit(
    root: str, files: Mapping[str, _Listing], folders: list[str], nested: list[str], archive: str = ""
) -> Devkit:
    if nested:
        raise ValueError(
            f"annotations lie in sub-folders of {root}/Annotations: {some_of(sorted(nested))}; "
            "move the files up, or convert each sub-folder as a devkit of its own"
        )
    warnings = [Notice("not a file", f"{root}/{f} is no file (a folder?); nothing in it is read") for f in folders]

    def choose(folder: str, suffixes: tuple[str, ...], *, others: bool = False) -> FilesByStem:
        return FilesByStem(f"{root}/{folder}/", files[folder].choose(suffixes, others=others), archive)

    annotations = choose("Annotations", (".xml",))
    for file in _each(choose("Annotations", (".xml",), others=True)):
        warnings.append(Notice("not an annotation", f"{file.path} does not end in .xml; not read"))
    if not annotations:
        raise ValueError(f"no .xml file in {root}/Annotations; --voc_root wants a devkit with annotations")
    return Devkit(
        root=root,
        annotations=annotations,
        pictures=choose("JPEGImages", PICTURE_SUFFIXES),
        other_pictures={f.name: f for f in _each(choose("JPEGImages", PICTURE_SUFFIXES, others=True))},
        lists={stem_of(f.name): f for f in _each(choose("ImageSets/Main", (".txt",)))},
        warnings=tuple(sorted(warnings, key=lambda w: w.text)),
    )


def _each(files: FilesByStem) -> Iterator[SourceFile]:
    return itertools.chain.from_iterable(files.values())


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SYSTEM_LITTER


def some_of(names: list[str], limit: int = 10) -> str:
    """Returns the first few names, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
