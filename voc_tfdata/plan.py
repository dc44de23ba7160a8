"""What a conversion will write, before any picture is read: which images, in which split, order and shard.

plan = make_plan(devkit, options, run, found)
plan.ids[row] for row in plan.splits["train"]; shard_rows(plan, "train", options)
"""

from __future__ import annotations

import hashlib
import re
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import google_crc32c
import numpy as np
import numpy.typing as npt
from absl import logging

from voc_tfdata import splits
from voc_tfdata.devkit import Devkit
from voc_tfdata.manifest import Split
from voc_tfdata.pairing import find_picture, read_split_list
from voc_tfdata.records import ids_name
from voc_tfdata.source_files import BadFileError, Notice, SourceFile, stem_of
from voc_tfdata.spill import Spill
from voc_tfdata.workers import IGNORED, NO_OBJECT, POSITIVE, Run, Scanned, ScanTask, pack_item, scan_chunk, unpack_item

_SHARD_BYTES = 128 << 20  # 128 MiB
_SCAN_CHUNK = 256  # annotations a task


@dataclass(frozen=True)
class Options:
    """The options of a conversion, checked."""

    ratios: Mapping[str, float]  # empty when lists are used
    lists: tuple[str, ...]  # empty when ratios are used
    seed: int
    num_shards: int | None
    num_workers: int
    classes: tuple[str, ...]
    skip_bad: bool
    shorter_side: int | None
    max_pixels: int
    overwrite: bool
    dry_run: bool


@dataclass
class Findings:
    """What a run collects on its way."""

    errors: list[BadFileError] = field(default_factory=list)
    warnings: list[Notice] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """The N usable images, and the rows among them of each split, in the order of their records.

    A devkit may hold millions: an image takes some 50 bytes here and its id.
    """

    ids: Sequence[str]  # [N], sorted
    items: Spill  # [N], of pack_item
    picture_bytes: npt.NDArray[np.int64]  # [N]
    labels: npt.NDArray[np.uint8]  # [N, C], as in Scanned
    num_objects: npt.NDArray[np.int64]  # [N]
    splits: Mapping[str, npt.NDArray[np.int64]]


def make_plan(devkit: Devkit, options: Options, run: Run, found: Findings) -> Plan:
    """Returns the plan; what cannot be used and what is odd goes to `found`.

    Raises:
      FileNotFoundError, ValueError: a list is missing, empty, or shares images with another.
    """
    wanted, left_out = _wanted_ids(devkit, options, found)
    images = _scan(devkit, wanted, options, run, found)
    found.warnings.extend(notice for path, notice in left_out.items() if path not in images.borrowed)
    labels = np.frombuffer(images.labels, dtype=np.uint8).reshape(len(images.ids), len(options.classes))
    return Plan(
        images.ids,
        images.items,
        np.array(images.picture_bytes, dtype=np.int64),
        labels,
        np.array(images.num_objects, dtype=np.int64),
        _assign(images.ids, labels != NO_OBJECT, wanted, options),
    )


def shard_rows(plan: Plan, split: str, options: Options) -> list[npt.NDArray[np.int64]]:
    """Returns the rows of each shard: contiguous runs of nearly equal length."""
    rows = plan.splits[split]
    if options.num_shards is None:
        sizes = plan.picture_bytes[rows]
        if options.shorter_side:
            # A resized picture of quality 95 takes about 0.4 bytes a pixel; never more than the file it came from.
            sizes = np.minimum(sizes, int(options.shorter_side**2 * 4 / 3 * 0.4))
        count = -(-int(sizes.sum()) // _SHARD_BYTES)
    else:
        count = options.num_shards
    count = max(1, min(count, len(rows)))
    return [rows[k * len(rows) // count : (k + 1) * len(rows) // count] for k in range(count)] if len(rows) else []


def count_split(split: str, rows: npt.NDArray[np.int64], plan: Plan, classes: Sequence[str]) -> Split:
    """Returns the manifest's entry of a split that holds these rows, without its shards."""
    labels, num_objects = plan.labels[rows], plan.num_objects[rows]
    return Split(
        num_examples=len(rows),
        shards=(),
        ids_file=ids_name(split),
        ids_crc32c=f"{google_crc32c.value(ids_text(plan, rows).encode()):08x}",
        positives=dict(zip(classes, (labels == POSITIVE).sum(axis=0).tolist(), strict=True)),
        ignores=dict(zip(classes, (labels == IGNORED).sum(axis=0).tolist(), strict=True)),
        num_objects=int(num_objects.sum()),
        num_unlabelled=int((num_objects == 0).sum()),
    )


def ids_text(plan: Plan, rows: npt.NDArray[np.int64]) -> str:
    """Returns the text of a split's id file."""
    return "".join(f"{plan.ids[row]}\n" for row in rows)


def _wanted_ids(
    devkit: Devkit, options: Options, found: Findings
) -> tuple[dict[str, tuple[str, ...]], dict[str, Notice]]:
    """Returns {list name: ids}, with ratios one entry "" that is to be dealt out, and {path: notice} of each picture
    that is left out, unless the <filename> of some annotation names it.
    """
    if not options.lists and "trainval" not in devkit.lists:
        left_out = {
            file.path: Notice("no picture's suffix", f"{file.path} has no picture's suffix; left out")
            for file in devkit.other_pictures.values()
        }
        left_out |= _note_unannotated(devkit, (i for i in devkit.pictures if i not in devkit.annotations))
        return {"": tuple(devkit.annotations)}, left_out
    # With ratios those of trainval: VOC2012 annotates 17,125 images, 11,540 of them for classification.
    lists = {name: read_split_list(devkit, name) for name in options.lists or ("trainval",)}
    for split_list in lists.values():
        found.warnings.extend(split_list.warnings)
    splits.check_disjoint({name: split_list.ids for name, split_list in lists.items()})
    wanted = {name: tuple(i for i in content.ids if i in devkit.annotations) for name, content in lists.items()}
    for name, ids in wanted.items():
        if not ids:
            raise ValueError(f"none of the images in {devkit.lists[name].path} has a file in {devkit.root}/Annotations")
    missing = {i for content in lists.values() for i in content.ids if i not in devkit.annotations}
    return wanted if options.lists else {"": wanted["trainval"]}, _note_unannotated(devkit, missing)


def _note_unannotated(devkit: Devkit, image_ids: Iterable[str]) -> dict[str, Notice]:
    paths = [file.path for image_id in image_ids for file in devkit.pictures[image_id]]
    return {path: Notice("picture without annotation", f"{path} has no annotation; left out") for path in paths}


@dataclass
class _Images:
    """The usable images, as they are found."""

    ids: list[str] = field(default_factory=list)
    items: Spill = field(default_factory=Spill)
    picture_bytes: array[int] = field(default_factory=lambda: array("q"))
    labels: bytearray = field(default_factory=bytearray)
    num_objects: array[int] = field(default_factory=lambda: array("q"))
    borrowed: dict[str, str] = field(default_factory=dict)  # picture of another stem -> the annotation that has it

    def owner_of(self, picture: SourceFile, devkit: Devkit) -> str | None:
        """Returns the path of the annotation that has this picture already."""
        if picture.path in self.borrowed:
            return self.borrowed[picture.path]
        stem = stem_of(picture.name)
        row = bisect_left(self.ids, stem)
        if row == len(self.ids) or self.ids[row] != stem or unpack_item(self.items[row])[1] != picture:
            return None
        return devkit.annotations[stem][0].path


def _scan(
    devkit: Devkit, wanted: Mapping[str, tuple[str, ...]], options: Options, run: Run, found: Findings
) -> _Images:
    """Returns what is usable of the wanted images, after parsing all annotations and looking for their pictures."""
    (ids,) = wanted.values() if len(wanted) == 1 else (set().union(*wanted.values()),)
    logging.info("reading %d annotations", len(ids))
    images = _Images()
    for image_id, result in _scan_results(devkit, sorted(ids), options, run, found):
        if isinstance(result, BadFileError):
            found.errors.append(result)
            continue
        try:
            pairing = find_picture(devkit, image_id, result.filename)
        except BadFileError as err:
            found.errors.append(err)
            continue
        picture = pairing.file
        if owner := images.owner_of(picture, devkit):
            reason = f"is for the picture that {owner} is for; remove one of them"
            found.errors.append(BadFileError(devkit.annotations[image_id][0].path, reason))
            continue
        if stem_of(picture.name) != image_id or picture.name in devkit.other_pictures:
            images.borrowed[picture.path] = devkit.annotations[image_id][0].path
        found.warnings.extend(result.warnings)
        found.warnings.extend(pairing.warnings)
        images.ids.append(image_id)
        images.items.append(pack_item(result.annotation, picture))
        images.picture_bytes.append(picture.size)
        images.labels.extend(result.labels)
        images.num_objects.append(result.num_objects)
    return images


def _scan_results(
    devkit: Devkit, ids: Sequence[str], options: Options, run: Run, found: Findings
) -> Iterator[tuple[str, Scanned | BadFileError]]:
    """Yields each id, in order, with what its annotation says."""
    waiting: deque[list[str]] = deque()  # the ids of each task that was handed out

    def make_tasks() -> Iterator[ScanTask]:
        for start in range(0, len(ids), _SCAN_CHUNK):
            single = []
            for image_id in ids[start : start + _SCAN_CHUNK]:
                files = devkit.annotations[image_id]
                if len(files) > 1:
                    reason = f"several annotations of one stem: {', '.join(f.name for f in files)}; keep one"
                    found.errors.append(BadFileError(files[0].path, reason))
                elif not _is_writable_id(image_id):
                    reason = "a line break, or bytes that are no UTF-8, in its name; rename it and its picture"
                    found.errors.append(BadFileError(ascii(files[0].path), reason))
                else:
                    single.append((image_id, files[0]))
            waiting.append([image_id for image_id, _ in single])
            yield ScanTask(tuple(single), options.classes)

    for results in run(scan_chunk, make_tasks()):
        yield from zip(waiting.popleft(), results, strict=True)


def _is_writable_id(image_id: str) -> bool:
    """Returns whether an id can stand in a record and in the id list: file names may hold any bytes."""
    return not re.search("[\n\r\ud800-\udfff]", image_id)


def _assign(
    ids: Sequence[str], present: npt.NDArray[np.bool_], wanted: Mapping[str, tuple[str, ...]], options: Options
) -> dict[str, npt.NDArray[np.int64]]:
    """Returns the rows of each split, in the order of their records."""
    if options.lists:
        number = {image_id: row for row, image_id in enumerate(ids)}
        rows = {name: [number[i] for i in part if i in number] for name, part in wanted.items()}
    else:
        rows = splits.stratify(present, splits.split_sizes(len(ids), options.ratios), seed=options.seed)
    order = {name: sorted(part, key=lambda row: _shuffle_key(options.seed, ids[row])) for name, part in rows.items()}
    return {name: np.array(part, dtype=np.int64) for name, part in order.items()}


def _shuffle_key(seed: int, image_id: str) -> bytes:
    """A shuffle that depends on the seed and the id only: adding images does not reorder the others."""
    return hashlib.sha256(f"{seed}:{image_id}".encode()).digest()
