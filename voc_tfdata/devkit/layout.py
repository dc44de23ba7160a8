"""Where the annotations and the images of a folder lie: as in VOC's development kit, or as other programs write it.

    layout = find_layout(Path("VOCdevkit"), annotations_dir="", images_dir="")
    layout.root, layout.places

Known are, in any case of the letters:
- Annotations/ beside JPEGImages/ (or images/): VOC, and the VOC exports of labelImg, CVAT and others;
- annotations beside their images in one folder;
- one of these in each of train/, valid/ (val/, validation/) and test/: Roboflow's VOC export, with its splits.
One of these that is the only one up to two levels below is taken, and said. With subfolders their files may lie in any
folders below.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from absl import logging

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm")
# Of images that are refused by name, with how to convert them: see image_formats.
UNREAD_SUFFIXES = (".heic", ".heif", ".avif", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2")
_ANNOTATIONS = ("annotations",)
_IMAGES = ("jpegimages", "images")
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_HINT = "--voc_root wants Annotations/ and JPEGImages/ in it; others are named by --annotations_dir and --images_dir"


@dataclass(frozen=True)
class Place:
    """A folder of annotations and that of their images, below the root; "." is the root itself."""

    annotations: str
    images: str
    split: str = ""  # that the folder stands for


@dataclass(frozen=True)
class Layout:
    """The folders of one devkit."""

    root: Path
    places: tuple[Place, ...]


def find_layout(path: Path, *, annotations_dir: str = "", images_dir: str = "", subfolders: bool = False) -> Layout:
    """Returns the layout of a folder.

    Args:
      path: the folder.
      annotations_dir: folder of the annotations, below path or absolute; "" is to be found.
      images_dir: folder of the images; "" is to be found, or that of the annotations if only they are given.
      subfolders: whether annotations and images beside each other in any folders below are a layout, too.

    Raises:
      FileNotFoundError: a folder is not there, none of the known layouts is, or several folders below have one.
      ValueError: beside the folders of the splits others hold annotations, too: they would be left out.
    """
    if annotations_dir or images_dir:
        return _named_layout(path, annotations_dir, images_dir)
    if places := _places_in(path):
        _refuse_others(path, places)
        return Layout(path, places)
    _refuse_half(path)
    for depth in ("*", "*/*"):
        found = [(inside, places) for inside in sorted(path.glob(depth)) if (places := _places_in(inside))]
        if subfolders and not all(_is_vocs(places) for _, places in found):
            break  # each would be a part of what lies below
        if len(found) == 1:
            logging.info("%s: the devkit in %s is taken", path, found[0][0])
            _refuse_others(*found[0])
            return Layout(*found[0])
        if found:
            names = ", ".join(str(inside) for inside, _ in found)
            raise FileNotFoundError(
                f"no folders Annotations/ and JPEGImages/ in {path}; found: {names} (give one of these"
                f"{'' if all(_is_vocs(places) for _, places in found) else ', or all of them with --subfolders'})"
            )
    if subfolders and any(path.rglob("*.[xX][mM][lL]")):
        return Layout(path, (Place(".", "."),))
    raise FileNotFoundError(f"no folders Annotations/ and JPEGImages/ in {path}; {_HINT}")


def _is_vocs(places: tuple[Place, ...]) -> bool:
    """Returns whether annotations and images lie in folders of their own."""
    return len(places) == 1 and places[0].annotations != places[0].images


def _named_layout(path: Path, annotations_dir: str, images_dir: str) -> Layout:
    folders = _folders_in(path) if path.is_dir() else {}
    usual_annotations, usual_images = (_first(folders, names) for names in (_ANNOTATIONS, _IMAGES))
    beside = "." if any(path.glob("*.[xX][mM][lL]")) else images_dir
    annotations = annotations_dir or usual_annotations or beside
    images = images_dir or usual_images or annotations_dir
    for name in (annotations, images):
        if not (path / name).is_dir():
            raise FileNotFoundError(f"no folder {path / name}; {_HINT}")
    return Layout(path, (Place(annotations, images),))


def _folders_in(path: Path) -> dict[str, str]:
    """Returns {name in lower case: name} of the folders in path."""
    return {entry.name.casefold(): entry.name for entry in sorted(path.iterdir(), reverse=True) if entry.is_dir()}


def _first(folders: dict[str, str], names: tuple[str, ...]) -> str:
    """Returns the first of the folders that has one of these names; "" where none has."""
    return next((folders[name] for name in names if name in folders), "")


def _places_in(path: Path, *, splits: bool = True) -> tuple[Place, ...]:
    """Returns the places of a folder that has one of the known layouts, of the last one only with `splits`, else ()."""
    if not path.is_dir():
        return ()
    folders = _folders_in(path)
    annotations, images = _first(folders, _ANNOTATIONS), _first(folders, _IMAGES)
    if annotations and images:
        return (Place(annotations, images),)
    if annotations or images:
        return ()  # a half of VOC's layout
    if _holds_pairs(path):
        return (Place(".", "."),)
    places = []
    for name, split in _SPLITS.items() if splits else ():
        for place in _places_in(path / folders[name], splits=False) if name in folders else ():
            annotations, images = (os.path.normpath(f"{folders[name]}/{p}") for p in (place.annotations, place.images))
            places.append(Place(annotations, images, split))
    return tuple(places)


def _refuse_others(path: Path, places: tuple[Place, ...]) -> None:
    """Raises ValueError if annotations lie in folders beside those of the splits, or two folders are one split."""
    if not places[0].split:
        return
    names = [place.annotations.partition("/")[0] for place in places]
    if len({place.split for place in places}) < len(places):
        raise ValueError(f"{path}: of {', '.join(names)} two stand for one split; put their files together")
    others = [
        entry.name
        for entry in sorted(path.iterdir())
        if entry.is_dir() and entry.name not in names and _places_in(entry, splits=False)
    ]
    if others:
        raise ValueError(
            f"{path}: {', '.join(others)} would be left out: annotations lie there, but only {', '.join(_SPLITS)} are "
            "splits; rename what belongs to one, or move it away"
        )


def _refuse_half(path: Path) -> None:
    names = {entry.name.casefold() for entry in path.iterdir() if entry.is_dir()}
    has_annotations, has_images = any(n in names for n in _ANNOTATIONS), any(n in names for n in _IMAGES)
    if has_annotations != has_images:
        missing = path / ("JPEGImages" if has_annotations else "Annotations")
        raise FileNotFoundError(f"no folder {missing}; {_HINT}")


def _holds_pairs(folder: Path) -> bool:
    """Returns whether annotations and images lie in a folder."""
    suffixes = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                suffixes.add(os.path.splitext(entry.name)[1].lower())
    return ".xml" in suffixes and not suffixes.isdisjoint(PICTURE_SUFFIXES)
