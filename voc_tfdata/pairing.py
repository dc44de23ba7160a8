"""What belongs together in a devkit: the picture of an annotation, the images of a list.

picture = find_picture(devkit, "2007_000027", hint="2007_000027.jpg").file
ids = read_split_list(devkit, "train").ids
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from voc_tfdata.devkit import PICTURE_SUFFIXES, Devkit, some_of
from voc_tfdata.source_files import BadFileError, Notice, SourceFile, read_file, stem_of


@dataclass(frozen=True)
class FoundPicture:
    """The picture that belongs to an annotation, with what was odd about it."""

    file: SourceFile
    warnings: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class SplitList:
    """The ids of one ImageSets/Main list, each once, in the order of the file."""

    ids: tuple[str, ...]
    warnings: tuple[Notice, ...] = ()


def find_picture(devkit: Devkit, image_id: str, hint: str) -> FoundPicture:
    """Returns the picture of an annotation: the one with its stem, else the one its <filename> names.

    Args:
      devkit: where to look.
      image_id: stem of the annotation.
      hint: text of its <filename>, "" where there is none.

    Raises:
      BadFileError: no picture, or several that nothing chooses between.
    """
    hint = hint.replace("\\", "/").rsplit("/", 1)[-1].strip()
    candidates = devkit.pictures.get(image_id, ()) or _same_text(devkit.pictures, image_id)
    if not candidates:
        candidates = tuple(f for name, f in _others_of(devkit, image_id))
    if not candidates:
        return _picture_by_hint(devkit, image_id, hint)
    if len(candidates) > 1:
        return _one_of_several(devkit.annotations[image_id][0], candidates, hint)
    picture = candidates[0]
    if _nfc(hint) not in ("", _nfc(image_id), _nfc(picture.name)):
        xml = devkit.annotations[image_id][0]
        text = f"{xml.path}: <filename> is {hint!r}, the picture of this stem is {picture.name!r}; used that"
        return FoundPicture(picture, (Notice("<filename> disagrees", text),))
    return FoundPicture(picture)


def read_split_list(devkit: Devkit, name: str) -> SplitList:
    """Returns the ids of ImageSets/Main/{name}.txt: `id` or `id flag` lines, with or without a picture's suffix.

    Raises:
      FileNotFoundError: there is no such list; the message names those there are.
      ValueError: it is empty, not text, or names ids of which there is neither annotation nor picture.
    """
    if name not in devkit.lists:
        known = ", ".join(sorted(n for n in devkit.lists if "_" not in n)) or ", ".join(sorted(devkit.lists))
        raise FileNotFoundError(
            f"no {devkit.root}/ImageSets/Main/{name}.txt; lists there: {known or 'none'}; "
            "name one of them in --splits, or leave --splits out for --split_ratios"
        )
    file = devkit.lists[name]
    data = read_file(file)
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as err:
        raise ValueError(f"{file.path} is not UTF-8 (byte {err.start}); save it as UTF-8") from err
    counts: dict[str, int] = {}
    unknown: list[str] = []
    for line in text.replace("\r", "\n").split("\n"):
        if line.strip():
            image_id = _id_of_line(devkit, line.strip())
            if image_id is None:
                unknown.append(line.strip())
            else:
                counts[image_id] = counts.get(image_id, 0) + 1
    if unknown:
        raise ValueError(
            f"{file.path} names {len(unknown)} ids with neither annotation nor picture in {devkit.root}: "
            f"{some_of(unknown)}; correct the list, or name another in --splits"
        )
    if not counts:
        raise ValueError(f"{file.path} holds no id; name another list in --splits, or use --split_ratios")
    warnings = tuple(
        Notice("id listed twice", f"{file.path}: {image_id!r} stands there {n} times; written once")
        for image_id, n in counts.items()
        if n > 1
    )
    return SplitList(tuple(counts), warnings)


def _id_of_line(devkit: Devkit, line: str) -> str | None:
    """An id may hold spaces and dots, so the longest reading that is known wins: `id`, `id flag`, `id.jpg [flag]`."""
    head, *flag = line.rsplit(None, 1)
    readings = [line] + ([head] if flag in (["1"], ["0"], ["-1"]) else [])
    for reading in readings:
        for image_id in (reading, stem_of(reading) if reading.lower().endswith(PICTURE_SUFFIXES) else reading):
            for form in (image_id, *(unicodedata.normalize(f, image_id) for f in ("NFC", "NFD"))):
                if form in devkit.annotations or form in devkit.pictures:
                    return form
    return None


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _same_text(files: Mapping[str, tuple[SourceFile, ...]], stem: str) -> tuple[SourceFile, ...]:
    """Stems that differ in Unicode normal form only (macOS writes é as two characters)."""
    for form in ("NFC", "NFD"):
        if found := files.get(unicodedata.normalize(form, stem)):
            return found
    return ()


def _others_of(devkit: Devkit, image_id: str) -> list[tuple[str, SourceFile]]:
    return [(name, f) for name, f in devkit.other_pictures.items() if image_id in (name, stem_of(name))]


def _picture_by_hint(devkit: Devkit, image_id: str, hint: str) -> FoundPicture:
    annotation = devkit.annotations[image_id][0]
    named = [f for f in devkit.pictures.get(stem_of(hint), ()) if f.name == hint]
    named += [devkit.other_pictures[hint]] if hint in devkit.other_pictures else []
    if not named:
        also = f", nor the {hint!r} of its <filename>" if hint and stem_of(hint) != image_id else ""
        raise BadFileError(
            annotation.path,
            f"no picture {image_id}.jpg (.png ...) in {devkit.root}/JPEGImages{also}; add it, or remove the annotation",
        )
    owner = devkit.annotations.get(stem_of(hint))
    if owner:
        raise BadFileError(
            annotation.path,
            f"no picture {image_id}.jpg (.png ...) in {devkit.root}/JPEGImages, and the {hint!r} of its <filename> is "
            f"that of {owner[0].name}; add it, or remove the annotation",
        )
    text = f"{annotation.path}: no picture has its stem; used {named[0].name!r}, which its <filename> names"
    return FoundPicture(named[0], (Notice("picture found by <filename>", text),))


def _one_of_several(annotation: SourceFile, candidates: tuple[SourceFile, ...], hint: str) -> FoundPicture:
    names = ", ".join(f.name for f in candidates)
    named = [f for f in candidates if f.name == hint]
    if not named:
        raise BadFileError(annotation.path, f"several pictures have its stem: {names}; remove all but one")
    text = f"{annotation.path}: several pictures have its stem: {names}; used {hint}, which its <filename> names"
    return FoundPicture(named[0], (Notice("several pictures of one stem", text),))
