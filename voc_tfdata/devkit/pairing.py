"""What belongs together in a devkit: the image of an annotation, the images of a list.

image = find_picture(devkit, "2007_000027", hint="2007_000027.jpg").file
ids = list(read_split_list(devkit, "train"))
"""

from __future__ import annotations

import codecs
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from voc_tfdata.devkit.layout import PICTURE_SUFFIXES
from voc_tfdata.devkit.listing import Devkit
from voc_tfdata.devkit.source_files import BadFileError, Notice, SourceFile, read_pieces, stem_of
from voc_tfdata.devkit.spill import Sorter


@dataclass(frozen=True)
class FoundPicture:
    """The image that belongs to an annotation, with what was odd about it."""

    file: SourceFile
    warnings: tuple[Notice, ...] = ()


class SplitList(Iterable[str]):
    """The ids of one ImageSets/Main list, in increasing order, each once."""

    def __init__(self, path: str, lines: Sorter[str], unknown: Sequence[str] = ()) -> None:
        self.path = path
        self.unknown = tuple(unknown)  # ids with neither annotation nor image
        self._lines = lines  # the id of each

    def __iter__(self) -> Iterator[str]:
        return (image_id for image_id, _ in itertools.groupby(self._lines))

    def list_warnings(self) -> Iterator[Notice]:
        """Yields a warning for each id that stands there more than once."""
        for image_id, same in itertools.groupby(self._lines):
            if (count := sum(1 for _ in same)) > 1:
                text = f"{self.path}: {image_id!r} is listed {count} times; written once"
                yield Notice("id listed twice", text)


def find_picture(devkit: Devkit, image_id: str, hint: str) -> FoundPicture:
    """Returns the image of an annotation: the one with its stem, else the one its <filename> names.

    Args:
      devkit: where to look.
      image_id: stem of the annotation.
      hint: text of its <filename>, "" where there is none.

    Raises:
      BadFileError: no image, or several that nothing chooses between.
    """
    hint = hint.replace("\\", "/").rsplit("/", 1)[-1].strip()
    sub_folder = image_id[: image_id.rfind("/") + 1]  # "" without sub-folders
    hint = hint and sub_folder + hint
    candidates = devkit.pictures.get(image_id, ())
    if not candidates:
        candidates = _same_text(devkit.pictures, image_id)
        owner = devkit.annotations.get(stem_of(candidates[0].name)) if candidates else None
        if owner:
            reason = f"is for the image that {owner[0].path} is for; remove one of them"
            raise BadFileError(devkit.annotations[image_id][0].path, reason)
    if not candidates:
        candidates = _others_of(devkit, image_id)
    if not candidates and (found := _same_but_case(devkit, image_id)):
        xml = devkit.annotations[image_id][0]
        text = f"{xml.path}: no image has its stem; used {found.name!r}, which differs in case only"
        return FoundPicture(found, (Notice("picture differs in case", text),))
    if not candidates:
        return _picture_by_hint(devkit, image_id, hint)
    if len(candidates) > 1:
        return _one_of_several(devkit.annotations[image_id][0], candidates, hint)
    picture = candidates[0]
    # Another suffix than the image's is what a conversion of the images leaves behind, and names no other image.
    named = stem_of(hint) if hint.lower().endswith(PICTURE_SUFFIXES) else hint
    if hint not in ("", picture.name) and _nfc(named) != _nfc(image_id):
        xml = devkit.annotations[image_id][0]
        told = hint.removeprefix(sub_folder)
        text = f"{xml.path}: <filename> is {told!r}, the image of this stem is {picture.name!r}; used that"
        return FoundPicture(picture, (Notice("<filename> disagrees", text),))
    return FoundPicture(picture)


def read_split_list(devkit: Devkit, name: str) -> SplitList:
    """Returns the ids of ImageSets/Main/{name}.txt: `id` or `id flag` lines, with or without an image's suffix.

    Of a devkit whose folders stand for splits, it is the ids of such a folder.

    Raises:
      FileNotFoundError: there is no such list; the message names those there are.
      ValueError: it is empty or not text.
    """
    if name in devkit.split_ids:
        return SplitList(f"{devkit.root} ({name})", devkit.split_ids[name])
    if name not in devkit.lists:
        known = ", ".join(sorted(n for n in devkit.lists if n.partition("_")[2] not in devkit.lists))  # no dog_train
        raise FileNotFoundError(
            f"no {devkit.root}/ImageSets/Main/{name}.txt; lists there: {known or 'none'}; "
            "name one of them in --splits, or leave --splits out for --split_ratios"
        )
    file = devkit.lists[name]
    lines: Sorter[str] = Sorter()
    unknown: list[str] = []
    for line in filter(None, map(str.strip, _read_lines(file))):
        image_id = _id_of_line(devkit, line)
        if image_id is None:
            unknown.append(line)
        else:
            lines.add(image_id)
    if not lines and not unknown:
        raise ValueError(f"{file.path} holds no id; name another list in --splits, or use --split_ratios")
    return SplitList(file.path, lines, unknown)


def _read_lines(file: SourceFile) -> Iterator[str]:
    """Yields the lines of a text file; they end with \\n, \\r or both (then with an empty line between)."""
    decoder, rest, position = None, "", 0
    for piece in itertools.chain(read_pieces(file), [b""]):
        if decoder is None:
            encoding = "utf-16" if piece[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
            decoder = codecs.getincrementaldecoder(encoding)()
        position += len(piece)
        try:
            *lines, rest = re.split("[\r\n]", rest + decoder.decode(piece, final=not piece))
        except UnicodeDecodeError as err:
            byte = position - len(err.object) + err.start
            raise ValueError(f"{file.path} is not UTF-8 (byte {byte}); save it as UTF-8") from err
        yield from lines
    yield rest


def _id_of_line(devkit: Devkit, line: str) -> str | None:
    """An id may hold spaces and dots, so the longest reading that is known wins: `id`, `id flag`, `id.jpg [flag]`."""
    head, *flag = line.rsplit(None, 1)
    for reading in [line, head] if flag in (["1"], ["0"], ["-1"]) else [line]:
        ids = [reading, stem_of(reading)] if reading.lower().endswith(PICTURE_SUFFIXES) else [reading]
        for image_id in ids:
            forms = [image_id]
            if not image_id.isascii():
                forms += [unicodedata.normalize(form, image_id) for form in ("NFC", "NFD")]
            for files in (devkit.annotations, devkit.pictures):  # the annotation may have the other form
                for form in forms:
                    if form in files:
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


def _same_but_case(devkit: Devkit, image_id: str) -> SourceFile | None:
    """Returns the one image whose stem differs in case only, if it is of no other annotation."""
    stems = devkit.pictures.same_but_case(image_id)
    if len(stems) != 1 or len(devkit.annotations.same_but_case(image_id)) != 1:
        return None
    files = devkit.pictures[stems[0]]
    return files[0] if len(files) == 1 else None


def _others_of(devkit: Devkit, image_id: str) -> tuple[SourceFile, ...]:
    """Files without an image's suffix whose stem, or whole name, is the id."""
    whole = devkit.other_pictures.named(image_id)
    same_stem = devkit.other_pictures.get(image_id, ())
    return same_stem if whole is None or whole in same_stem else (*same_stem, whole)


def _picture_by_hint(devkit: Devkit, image_id: str, hint: str) -> FoundPicture:
    annotation = devkit.annotations[image_id][0]
    named = devkit.pictures.named(hint) or devkit.other_pictures.named(hint)
    if named is None:
        also = f", nor the {hint!r} of its <filename>" if hint and stem_of(hint) != image_id else ""
        raise BadFileError(
            annotation.path,
            f"no image {image_id}.jpg (.png ...) in {devkit.pictures_dir}{also}; add it, or remove the annotation",
        )
    owner = devkit.annotations.get(stem_of(hint)) or _same_text(devkit.annotations, stem_of(hint))
    if owner:
        raise BadFileError(
            annotation.path,
            f"no image {image_id}.jpg (.png ...) in {devkit.pictures_dir}, and the {hint!r} of its <filename> is "
            f"that of {owner[0].name}; add it, or remove the annotation",
        )
    text = f"{annotation.path}: no image has its stem; used {named.name!r}, which its <filename> names"
    return FoundPicture(named, (Notice("picture found by <filename>", text),))


def _one_of_several(annotation: SourceFile, candidates: tuple[SourceFile, ...], hint: str) -> FoundPicture:
    names = ", ".join(f.name for f in candidates)
    named = [f for f in candidates if f.name == hint]
    if not named:
        raise BadFileError(annotation.path, f"several images have its stem: {names}; remove all but one")
    text = f"{annotation.path}: several images have its stem: {names}; used {hint}, which its <filename> names"
    return FoundPicture(named[0], (Notice("several images of one stem", text),))
