"""The annotations of a devkit, parsed, each with its image: what may become an example.

images = scan(devkit, wanted, VOC_CLASSES, run, found)        # wanted: (image id, numbers of its lists)
for place, image in images.usable(): ...

Of a devkit nothing stays in memory here but what is wrong with it.
"""

from __future__ import annotations

import difflib
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from absl import logging

from voc_tfdata.convert.tasks import NO_OBJECT, ScanTask, count_class_names, pack_item, scan_chunk
from voc_tfdata.convert.worker_pool import Run
from voc_tfdata.devkit.annotations import fold_class_name
from voc_tfdata.devkit.listing import Devkit
from voc_tfdata.devkit.pairing import find_picture
from voc_tfdata.devkit.source_files import BadFileError, FilesByStem, Notice, SourceFile, stem_of
from voc_tfdata.devkit.spill import Sorter, Spill

_SCAN_CHUNK = 256  # annotations a task
_RARE = 3  # objects of a class, at most, that may be another one misspelt
_PRESENT = bytes(label != NO_OBJECT for label in range(256))  # for bytes.translate
_ImageFields = tuple[str, tuple[int, ...], bytes, int, int, bytes]  # of Image


@dataclass
class Problems:
    """What a run collects on its way."""

    errors: list[BadFileError] = field(default_factory=list)
    warnings: Sorter[Notice] = field(default_factory=Sorter)


class Image(NamedTuple):
    """An annotation and its picture."""

    image_id: str
    lists: tuple[int, ...]  # numbers of the split lists that name it
    labels: bytes  # one per class, as in ParsedAnnotation
    num_objects: int
    picture_bytes: int
    item: bytes  # of pack_item


@dataclass(frozen=True)
class Images:
    """What was found of a devkit."""

    images: Spill[_ImageFields]  # in the order of their ids
    refused: frozenset[str]  # ids of those whose image is another's
    label_sets: Counter[bytes]  # how many of those that are not refused have each set of labels
    adopted: FilesByStem  # images that are not of the stem of their annotation, or have no image's suffix

    def at(self, place: int) -> Image:
        """Returns the image at a place that usable() gave."""
        return Image(*self.images.at(place))

    def usable(self) -> Iterator[tuple[int, Image]]:
        """Yields (place, image) of those that are not refused."""
        for place, fields in self.images.items():
            if fields[0] not in self.refused:
                yield place, Image(*fields)


class _Claim(NamedTuple):
    """An annotation that has an image which another annotation may have, too."""

    picture: tuple[str, str]  # stem and suffix
    image_id: str
    annotation: str  # its path
    labels: bytes
    warnings: tuple[Notice, ...]  # that hold if it keeps the image


def scan(
    devkit: Devkit,
    wanted: Iterable[tuple[str, tuple[int, ...]]],
    classes: tuple[str, ...],
    run: Run,
    found: Problems,
    *,
    ignore_others: bool = False,
) -> Images:
    """Returns the images, after parsing all annotations and looking for their images.

    Args:
      devkit: where they are.
      wanted: ids of annotations, in increasing order, with the numbers of the split lists that name them.
      classes: names, in label order.
      run: as start_workers yields it.
      found: gets what is bad and what is odd.
      ignore_others: see parse_annotation.

    Raises:
      OSError: the temporary folder is full.
    """
    images: Spill[_ImageFields] = Spill()
    label_sets: Counter[bytes] = Counter()
    claims: Sorter[_Claim] = Sorter()
    tasks = _make_tasks(devkit, wanted, classes, found, ignore_others=ignore_others)
    for result in itertools.chain.from_iterable(run(scan_chunk, tasks)):
        if isinstance(result, BadFileError):
            found.errors.append(result)
            continue
        try:
            pairing = find_picture(devkit, result.image_id, result.filename)
        except BadFileError as err:
            found.errors.append(err)
            continue
        picture, warnings = pairing.file, (*result.warnings, *pairing.warnings)
        if _is_its_own(picture, result.image_id, devkit):
            found.warnings.extend(warnings)
        else:
            path = devkit.annotations[result.image_id][0].path
            claims.add(_Claim(os.path.splitext(picture.name), result.image_id, path, result.labels, warnings))
        item = pack_item(result.annotation, picture)
        images.append((result.image_id, result.lists, result.labels, result.num_objects, picture.size, item))
        label_sets[label_set(result.labels)] += 1
    refused = list(_settle(claims, found))
    label_sets.subtract(label_set(claim.labels) for claim in refused)
    claimed = (claim.picture for claim in claims)
    adopted = FilesByStem([""], ((*picture, 0, 0, 0) for picture, _ in itertools.groupby(claimed)))
    return Images(images, frozenset(claim.image_id for claim in refused), +label_sets, adopted)


def find_classes(devkit: Devkit, run: Run) -> tuple[str, ...]:
    """Returns the class names that occur in the annotations, sorted, and logs how often each does.

    Names that differ in case or in Unicode normal form only are one: the spelling that is most frequent.

    Raises:
      ValueError: no annotation holds an object.
    """
    spellings: dict[str, Counter[str]] = {}
    tasks = _make_tasks(devkit, ((i, ()) for i in devkit.annotations), (), Problems())
    for counts in run(count_class_names, tasks):
        for name, count in counts.items():
            spellings.setdefault(fold_class_name(name), Counter())[name] += count
    if not spellings:
        raise ValueError(f"--classes=auto: no annotation in {devkit.root} holds an object with a name")
    found = {max(sorted(names), key=lambda n: names[n]): sum(names.values()) for names in spellings.values()}
    classes = tuple(sorted(found))
    logging.info("--classes=auto: %s", ", ".join(f"{name} ({found[name]})" for name in classes))
    _tell_misspelt(found)
    return classes


def _tell_misspelt(found: Mapping[str, int]) -> None:
    """Warns of names that hardly occur and are nearly those of classes that do."""
    for name, count in found.items():
        frequent = [other for other in found if count <= _RARE and found[other] >= 10 * count]
        for other in difflib.get_close_matches(name, frequent, n=1):
            logging.warning(
                "--classes=auto: %r (%d) is nearly %r (%d): if it is misspelt, mend the annotations, or give the names "
                "by --classes=FILE",
                name,
                count,
                other,
                found[other],
            )


def label_set(labels: bytes) -> bytes:
    """Returns one byte a class: 1 where an image of these labels has an object of it, difficult or not."""
    return labels.translate(_PRESENT)


def _is_its_own(picture: SourceFile, image_id: str, devkit: Devkit) -> bool:
    """Returns whether no other annotation gets this image: see find_picture."""
    return stem_of(picture.name) == image_id and devkit.other_pictures.named(picture.name) is None


def _settle(claims: Iterable[_Claim], found: Problems) -> Iterator[_Claim]:
    """Yields those of the annotations that do not get the image that they claim: the first of several does."""
    for _, several in itertools.groupby(claims, key=lambda claim: claim.picture):
        owner, *others = several
        found.warnings.extend(owner.warnings)
        for other in others:
            reason = f"is for the image that {owner.annotation} is for; remove one of them"
            found.errors.append(BadFileError(other.annotation, reason))
            yield other


def _make_tasks(
    devkit: Devkit,
    wanted: Iterable[tuple[str, tuple[int, ...]]],
    classes: tuple[str, ...],
    found: Problems,
    *,
    ignore_others: bool = False,
) -> Iterator[ScanTask]:
    wanted = iter(wanted)
    while chunk := list(itertools.islice(wanted, _SCAN_CHUNK)):
        files = []
        for image_id, lists in chunk:
            file, *others = devkit.annotations[image_id]
            if others:
                reason = f"several annotations of one stem: {', '.join(f.name for f in (file, *others))}; keep one"
                found.errors.append(BadFileError(file.path, reason))
            elif not _is_writable_id(image_id):
                what = "a line break or control character, or bytes that are no UTF-8"
                reason = f"{what}, in its name; rename it and its image"
                found.errors.append(BadFileError(ascii(file.path), reason))
            else:
                files.append((image_id, lists, file))
        yield ScanTask(tuple(files), classes, ignore_others)


def _is_writable_id(image_id: str) -> bool:
    """Returns whether an id can stand in a record and in the id list: file names may hold any bytes."""
    return image_id.isprintable()  # neither line breaks of any kind, nor half a character
