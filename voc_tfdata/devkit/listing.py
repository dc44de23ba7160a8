"""A folder (or a .tar) in the layout of the PASCAL VOC development kit: what is in it.

devkit = open_devkit("VOCdevkit/VOC2012")
path = devkit.annotations["2007_000027"][0].path
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voc_tfdata.devkit.layout import PICTURE_SUFFIXES, Layout, find_layout
from voc_tfdata.devkit.source_files import File, FilesByStem, Notice, SourceFile, is_litter, stem_of
from voc_tfdata.devkit.spill import Sorter
from voc_tfdata.devkit.tar_members import TarMembers

_SUFFIXES = {"annotations": (".xml",), "pictures": PICTURE_SUFFIXES, "lists": (".txt",)}
_LISTS = "ImageSets/Main"
_TAR_FOLDERS = {"Annotations": "annotations", "JPEGImages": "pictures", _LISTS: "lists"}


class _Listing:
    """The files of one kind as they come: those with one of its suffixes, and the others."""

    def __init__(self, suffixes: tuple[str, ...]) -> None:
        self._suffixes = suffixes
        self.chosen: Sorter[File] = Sorter()  # of FilesByStem
        self.others: Sorter[File] = Sorter()

    def add(self, name: str, offset: int, size: int, place: int = 0) -> None:
        stem, suffix = os.path.splitext(name)
        files = self.chosen if suffix.lower() in self._suffixes else self.others
        files.add((stem, suffix, offset, size, place))


def _make_listings() -> dict[str, _Listing]:
    return {kind: _Listing(suffixes) for kind, suffixes in _SUFFIXES.items()}


@dataclass(frozen=True)
class Devkit:
    """The files of one devkit."""

    root: str
    annotations: FilesByStem
    pictures: FilesByStem
    other_annotations: FilesByStem  # files in Annotations that are no .xml
    other_pictures: FilesByStem  # files in JPEGImages without an image's suffix
    pictures_dir: str  # for messages
    lists: Mapping[str, SourceFile]  # ImageSets/Main, by name without .txt
    folders: tuple[str, ...]  # in these folders, and what else is no file there
    split_ids: Mapping[str, Sorter[str]]  # by split: the ids of a folder that stands for one

    def list_warnings(self) -> Iterator[Notice]:
        """Yields a warning for each thing that is not read."""
        for folder in self.folders:
            yield Notice("not a file", f"{self.root}/{folder} is no file (a folder?); nothing in it is read")
        for file in self.other_annotations.files():
            yield Notice("not an annotation", f"{file.path} does not end in .xml; not read")


def open_devkit(
    voc_root: str | Path, *, annotations_dir: str = "", images_dir: str = "", subfolders: bool = False
) -> Devkit:
    """Returns what lies in a devkit: a folder of a known layout, see find_layout, or an uncompressed .tar of VOC's.

    Args:
      voc_root: the folder or the .tar.
      annotations_dir: of find_layout.
      images_dir: of find_layout.
      subfolders: whether files in sub-folders are read, too; the id of sub/a.xml is then "sub/a".

    Raises:
      FileNotFoundError: there is nothing at voc_root, or no known layout in it.
      ValueError: several devkits, sub-folders with annotations in Annotations/, no annotation at all, or a file
        that is no readable .tar.
      OSError: the temporary folder is full.
    """
    path = Path(voc_root)
    if path.is_dir():
        layout = find_layout(path, annotations_dir=annotations_dir, images_dir=images_dir, subfolders=subfolders)
        return _open_folder(layout, subfolders)
    if path.is_file():
        if annotations_dir or images_dir:
            raise ValueError(f"--annotations_dir and --images_dir are for a folder; unpack {path} and give the folder")
        return _open_tar(path, subfolders)
    raise FileNotFoundError(f"no {path}; --voc_root wants a folder with Annotations/ and JPEGImages/, or its .tar")


def _open_folder(layout: Layout, subfolders: bool) -> Devkit:
    root, listings = layout.root, _make_listings()
    folders: list[str] = []
    nested: list[str] = []
    split_ids: dict[str, Sorter[str]] = {place.split: Sorter() for place in layout.places if place.split}
    for number, place in enumerate(layout.places):
        if place.annotations == place.images:
            for name, size in _list_files(root, place.images, folders, sizes=True, deep=subfolders):
                kind = "annotations" if name.lower().endswith(".xml") else "pictures"
                listings[kind].add(name, 0, size, number)
                if kind == "annotations" and place.split:
                    split_ids[place.split].add(stem_of(name))
        else:
            for name, _ in _list_files(root, place.annotations, folders, deep=subfolders):
                listings["annotations"].add(name, 0, 0, number)
                if place.split and name.lower().endswith(".xml"):
                    split_ids[place.split].add(stem_of(name))
            # The sizes plan the shards.
            for name, size in _list_files(root, place.images, folders, sizes=True, deep=subfolders):
                listings["pictures"].add(name, 0, size, number)
            nested += [f for f in folders if f.startswith(f"{place.annotations}/") and any(_find_xml(root / f))]
    if (root / _LISTS).is_dir():
        for name, _ in _list_files(root, _LISTS, folders):
            listings["lists"].add(name, 0, 0)
    own = {part for place in layout.places for part in (place.annotations, place.images)}
    return _make_devkit(
        str(root),
        [(place.annotations, place.images) for place in layout.places],
        listings,
        [name for name in folders if name not in own and (name[:2] != "./" or any(_find_xml(root / name)))],
        nested,
        split_ids=split_ids,
    )


def _find_xml(folder: Path) -> Iterator[Path]:
    return folder.rglob("*.[xX][mM][lL]")


def _list_files(
    root: Path, folder: str, folders: list[str], *, sizes: bool = False, deep: bool = False
) -> Iterator[tuple[str, int]]:
    """Yields (name, size in bytes) of the files of a folder; adds what is no file to folders.

    With deep, files in folders below, too, as "sub/name"; a folder that links lead to again is read once.
    """
    waiting, seen = [""], set[tuple[int, int]]()
    while waiting:
        inside = waiting.pop()
        status = os.stat(root / folder / inside)
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        others: list[str] = []
        for name, size in _scan_folder(root / folder / inside, others, sizes=sizes):
            yield inside + name, size
        for name in others:
            if deep and (root / folder / inside / name).is_dir():
                waiting.append(f"{inside}{name}/")
            else:
                folders.append(f"{folder}/{inside}{name}")


def _scan_folder(folder: Path, others: list[str], *, sizes: bool) -> Iterator[tuple[str, int]]:
    """Yields (name, size in bytes) of the files right in a folder; adds the names of what is no file to others."""
    with os.scandir(folder) as entries:
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
                others.append(name)
                continue
            yield name, entry.stat().st_size if sizes and is_file else 0  # a call each where they are asked for


def _open_tar(path: Path, subfolders: bool) -> Devkit:
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
        for folder, kind in _TAR_FOLDERS.items():
            inside = name.removeprefix(f"{root}{folder}/")
            if inside == name:
                continue
            has_pictures = has_pictures or folder == "JPEGImages"
            if "/" in inside and (not subfolders or kind == "lists"):
                sub_folder = f"{folder}/{inside.split('/')[0]}"
                folders.add(sub_folder)
                if folder == "Annotations" and inside.lower().endswith(".xml"):
                    nested.add(sub_folder)
                continue
            listings[kind].add(inside, offset, size)
    if not has_pictures:
        raise FileNotFoundError(f"no folder {root}JPEGImages in {path}; --voc_root wants it beside Annotations/")
    return _make_devkit(
        f"{path}/{root}".rstrip("/"),
        [("Annotations", "JPEGImages")],
        listings,
        list(folders),
        list(nested),
        archive=str(path),
    )


def _make_devkit(
    root: str,
    places: Sequence[tuple[str, str]],
    listings: Mapping[str, _Listing],
    folders: list[str],
    nested: list[str],
    *,
    archive: str = "",
    split_ids: Mapping[str, Sorter[str]] | None = None,
) -> Devkit:
    annotation_folders = [_join(root, annotations) for annotations, _ in places]
    picture_folders = [_join(root, pictures) for _, pictures in places]
    where = annotation_folders[0].rstrip("/") if len(places) == 1 else root
    if nested:
        raise ValueError(
            f"annotations lie in sub-folders of {where}: {some_of(sorted(nested))}; "
            "--subfolders reads them with ids such as sub/name; or convert each as a devkit of its own"
        )
    annotations = FilesByStem(annotation_folders, listings["annotations"].chosen, archive)
    if not annotations:
        raise ValueError(f"no .xml file in {where}; --voc_root wants a devkit with annotations")
    lists = FilesByStem([f"{root}/{_LISTS}/"], listings["lists"].chosen, archive)
    return Devkit(
        root=root,
        annotations=annotations,
        pictures=FilesByStem(picture_folders, listings["pictures"].chosen, archive),
        other_annotations=FilesByStem(annotation_folders, listings["annotations"].others, archive),
        other_pictures=FilesByStem(picture_folders, listings["pictures"].others, archive),
        pictures_dir=picture_folders[0].rstrip("/") if len(places) == 1 else root,
        lists={stem_of(file.name): file for file in lists.files()},
        folders=tuple(sorted(folders)),
        split_ids=split_ids or {},
    )


def _join(root: str, folder: str) -> str:
    """Returns what stands before the name of a file in a folder of the root."""
    return f"{root}/" if folder == "." else f"{folder}/" if os.path.isabs(folder) else f"{root}/{folder}/"


def some_of(names: list[str], limit: int = 10) -> str:
    """Returns the first few names, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
