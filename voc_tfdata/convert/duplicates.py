"""Identical images: kept in one split where ratios deal them out, and told where lists put them into several.

    copies = find_copies(images, run)                      # {place of a copy: place of the first such image}
    tell_identical(digests, strict=False, found=found)     # once the records are written

An image is read for this only if another one has its size in bytes, and as a whole only if their middles agree, too.
"""

from __future__ import annotations

import hashlib
import itertools
import operator
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from voc_tfdata.convert.scan import Images, Problems
from voc_tfdata.convert.tasks import unpack_item
from voc_tfdata.convert.worker_pool import Run
from voc_tfdata.devkit.source_files import BadFileError, Notice, SourceFile, as_bad_file, read_ahead
from voc_tfdata.devkit.spill import Sorter

_CHUNK = 256  # images a task
_PROBE_BYTES = 4 << 10  # 4 KiB
_NAMED = 10  # images in a message

Digest = tuple[bytes, str, str, bytes]  # SHA-256, split, id, labels of a record


class IdenticalImages(ValueError):
    """Identical images that --strict_duplicates does not accept: a sentence for each group."""

    def __init__(self, groups: list[BadFileError]) -> None:
        super().__init__(groups)
        self.groups = groups


@dataclass(frozen=True)
class DigestTask:
    """Images to read, as a whole or a few bytes from the middle of each."""

    files: tuple[tuple[int, SourceFile], ...]  # by place
    whole: bool


def find_copies(images: Images, run: Run) -> dict[int, int]:
    """Returns {place: place of the first image with the same bytes} of all images that are such a copy.

    What cannot be read is no copy; it is told when it is converted.

    Raises:
      OSError: the temporary folder is full, or a fault of the machine.
    """
    sizes: Sorter[tuple[bytes, int]] = Sorter()
    for place, image in images.usable():
        if image.picture_bytes:
            sizes.add((image.picture_bytes.to_bytes(8, "big"), place))
    middles: Sorter[tuple[bytes, int]] = Sorter()
    middles.extend(_digest(_repeated(sizes), images, run, whole=False))
    contents: Sorter[tuple[bytes, int]] = Sorter()
    contents.extend(_digest(_repeated(middles), images, run, whole=True))
    copies: dict[int, int] = {}
    for _, several in itertools.groupby(contents, key=operator.itemgetter(0)):
        (_, first), *others = several
        copies.update((place, first) for _, place in others)
    return copies


def digest_chunk(task: DigestTask) -> list[tuple[bytes, int]]:
    """Returns (SHA-256 of the size and the bytes that were read, place) of each image that can be read."""
    places, files = [place for place, _ in task.files], [file for _, file in task.files]
    contents = read_ahead(files) if task.whole else map(_read_middle, files)
    return [
        (hashlib.sha256(file.size.to_bytes(8, "big") + data).digest(), place)
        for place, file, data in zip(places, files, contents, strict=True)
        if not isinstance(data, BadFileError)
    ]


def tell_identical(digests: Iterable[Digest], *, strict: bool, found: Problems) -> int:
    """Warns of identical images in several splits (a test split then knows what was trained on) or of other labels.

    Returns:
      How many images are identical to another one.

    Raises:
      IdenticalImages: there are such, and `strict`.
    """
    groups, count = [], 0
    for _, several in itertools.groupby(digests, key=operator.itemgetter(0)):
        rows = list(several)
        splits: dict[str, set[str]] = {}  # by id; one image may be in several, of which one is the union
        for _, split, image_id, _ in rows:
            splits.setdefault(image_id, set()).add(split)
        if len(splits) == 1:
            continue
        count += len(rows)
        names = ", ".join(f"{image_id} ({split})" for _, split, image_id, _ in rows[:_NAMED])
        kinds = []
        if any(others != splits[rows[0][2]] for others in splits.values()):
            kinds.append("identical images in several splits")
        if any(labels != rows[0][3] for _, _, _, labels in rows):
            kinds.append("identical images with other labels")
        for kind in kinds:
            found.warnings.add(Notice(kind, f"{kind}: {names}"))
            groups.append(BadFileError(names, kind))
    if groups and strict:
        raise IdenticalImages(groups)
    return count


def _digest(places: Iterable[int], images: Images, run: Run, *, whole: bool) -> Iterator[tuple[bytes, int]]:
    places = iter(places)
    first = next(places, None)
    if first is None:  # no pipeline of Beam's for nothing
        return
    tasks = _make_tasks(itertools.chain([first], places), images, whole=whole)
    yield from itertools.chain.from_iterable(run(digest_chunk, tasks))


def _make_tasks(places: Iterator[int], images: Images, *, whole: bool) -> Iterator[DigestTask]:
    while chunk := list(itertools.islice(places, _CHUNK)):
        yield DigestTask(tuple((place, unpack_item(images.at(place).item)[1]) for place in chunk), whole)


def _repeated(keyed: Iterable[tuple[bytes, int]]) -> Iterator[int]:
    """Yields the places whose key is that of another one, too."""
    for _, several in itertools.groupby(keyed, key=operator.itemgetter(0)):
        first = next(several)
        for number, (_, place) in enumerate(several):
            if not number:
                yield first[1]
            yield place


def _read_middle(file: SourceFile) -> bytes | BadFileError:
    try:
        with open(file.container, "rb", buffering=0) as stream:
            return os.pread(stream.fileno(), _PROBE_BYTES, max(file.offset, 0) + file.size // 2)
    except OSError as err:
        return as_bad_file(err, file.path)
