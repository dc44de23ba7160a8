"""Where the annotations and the images of a folder lie: as in VOC's development kit, or as other programs write it.

    layout = find_layout(Path("VOCdevkit"), annotations_dir="", images_dir="")
    layout.root, layout.places

Known are, in any case of the letters:
- Annotations/ beside JPEGImages/ (or images/): VOC, and the VOC exports of labelImg, CVAT and others;
- annotations beside their images in one folder;
- the same in each of train/, valid/ (or val/) and test/: Roboflow's VOC export, with its splits.
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
_SPLITS = {"train": "train", "valid": "val", "val": "val", "test": "test"}
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
      FileNotFoundError: a folder is not there, or none of the known layouts is.
      ValueError: several folders below have one.
    """
    if annotations_dir or images_dir:
        return _named_layout(path, annotations_dir, images_dir)
    if places := _places_in(path):
        return Layout(path, places)
    _refuse_half(path)
    for depth in ("*", "*/*"):
        found = [(inside, places) for inside in sorted(path.glob(depth)) if (places := _places_in(inside))]
        if subfolders and not all(_is_vocs(places) for _, places in found):
            break  # each would be a part of what lies below
        if len(found) == 1:
            logging.info("%s: the devkit in %s is taken", path, found[0][0])
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
    known = _places_in(path)
    annotations = annotations_dir or (known[0].annotations if known else "")
    images = images_dir or (known[0].images if known else annotations)
    for name in (annotations, images):
        if not name or not (path / name).is_dir():
            raise FileNotFoundError(f"no folder {path / name}; {_HINT}")
    return Layout(path, (Place(annotations, images),))


def _places_in(path: Path) -> tuple[Place, ...]:
    """Returns the places of a folder that has one of the known layouts, else ()."""
    if not path.is_dir():
        return ()
    folders = {entry.name.casefold(): entry.name for entry in sorted(path.iterdir(), reverse=True) if entry.is_dir()}
    annotations = next((folders[name] for name in _ANNOTATIONS if name in folders), None)
    images = next((folders[name] for name in _IMAGES if name in folders), None)
    if annotations and images:
        return (Place(annotations, images),)
    if annotations or images:
        return ()  # a half of VOC's layout
    if _holds_pairs(path):
        return (Place(".", "."),)
    splits = {split: folders[name] for name, split in _SPLITS.items() if name in folders}
    splits = {split: name for split, name in splits.items() if _holds_pairs(path / name)}
    return tuple(Place(name, name, split) for split, name in splits.items())


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
