"""What a conversion will write, before any picture is read: which images, in which split, order and shard.

plan = make_plan(devkit, options, run, found)
plan.items["2007_000027"].picture, plan.splits["train"], shard_ids(plan, "train", options)
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import google_crc32c
import numpy as np
from absl import logging

from voc_tfdata import splits
from voc_tfdata.devkit import BadFileError, Devkit, Notice, SourceFile
from voc_tfdata.manifest import Split
from voc_tfdata.pairing import find_picture, read_split_list
from voc_tfdata.records import ids_name
from voc_tfdata.workers import Run, Scanned, ScanTask, scan_chunk

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


@dataclass(frozen=True, slots=True)
class Item:
    """One image on its way into a split."""

    picture: SourceFile
    annotation: bytes  # as in Scanned
    positives: int
    ignores: int
    num_objects: int


@dataclass(frozen=True)
class Plan:
    """The usable images, and the ids of each split in the order of their records."""

    items: Mapping[str, Item]
    splits: Mapping[str, Sequence[str]]


def make_plan(devkit: Devkit, options: Options, run: Run, found: Findings) -> Plan:
    """Returns the plan; what cannot be used and what is odd goes to `found`.

    Raises:
      FileNotFoundError, ValueError: a list is missing, empty, or shares images with another.
    """
    wanted, left_out = _wanted_ids(devkit, options, found)
    items = _scan(devkit, wanted, options, run, found)
    used = {item.picture.path for item in items.values()}
    found.warnings.extend(notice for path, notice in left_out.items() if path not in used)
    return Plan(items, _assign(items, wanted, options))


def shard_ids(plan: Plan, split: str, options: Options) -> list[Sequence[str]]:
    """Returns the ids of each shard: contiguous runs of nearly equal length."""
    ids = plan.splits[split]
    if options.num_shards is None:
        # A resized picture of quality 95 takes about 0.4 bytes a pixel; never more than the file it came from.
        limit = int(options.shorter_side**2 * 4 / 3 * 0.4) if options.shorter_side else None
        sizes = [plan.items[i].picture.size for i in ids]
        total = sum(min(size, limit) if limit else size for size in sizes)
        count = -(-total // _SHARD_BYTES)
    else:
        count = options.num_shards
    count = max(1, min(count, len(ids)))
    return [ids[k * len(ids) // count : (k + 1) * len(ids) // count] for k in range(count)] if ids else []


def count_split(split: str, ids: Sequence[str], plan: Plan, classes: Sequence[str]) -> Split:
    """Returns the manifest's entry of a split that holds these ids, without its shards."""
    text = ids_text(ids)
    return Split(
        num_examples=len(ids),
        shards=(),
        ids_file=ids_name(split),
        ids_crc32c=f"{google_crc32c.value(text.encode()):08x}",
        positives=_count_bits((plan.items[i].positives for i in ids), classes),
        ignores=_count_bits((plan.items[i].ignores for i in ids), classes),
        num_objects=sum(plan.items[i].num_objects for i in ids),
        num_unlabelled=sum(not plan.items[i].num_objects for i in ids),
    )


def _count_bits(labels: Iterable[int], classes: Sequence[str]) -> dict[str, int]:
    counts = Counter(labels)  # a few hundred sets of labels, however many images
    return {c: sum(n for bits, n in counts.items() if bits >> k & 1) for k, c in enumerate(classes)}


def ids_text(ids: Sequence[str]) -> str:
    """Returns the text of a split's id file."""
    return "".join(f"{image_id}\n" for image_id in ids)


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
        left_out |= _note_unannotated(devkit, set(devkit.pictures) - set(devkit.annotations))
        return {"": tuple(sorted(devkit.annotations))}, left_out
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


def _scan(
    devkit: Devkit, wanted: Mapping[str, tuple[str, ...]], options: Options, run: Run, found: Findings
) -> dict[str, Item]:
    """Returns what is usable of the wanted images, after parsing all annotations and looking for their pictures."""
    ids = sorted({image_id for part in wanted.values() for image_id in part})
    logging.info("reading %d annotations", len(ids))
    items: dict[str, Item] = {}
    owners: dict[str, str] = {}  # picture -> the annotation that has it
    for result in _scan_results(devkit, ids, options, run, found):
        if isinstance(result, BadFileError):
            found.errors.append(result)
            continue
        xml = devkit.annotations[result.image_id][0]
        try:
            picture = find_picture(devkit, result.image_id, result.filename)
        except BadFileError as err:
            found.errors.append(err)
            continue
        if (owner := owners.setdefault(picture.file.path, xml.path)) != xml.path:
            found.errors.append(BadFileError(xml.path, f"is for the picture that {owner} is for; remove one of them"))
            continue
        found.warnings.extend(result.warnings)
        found.warnings.extend(picture.warnings)
        items[result.image_id] = Item(
            picture.file, result.annotation, result.positives, result.ignores, result.num_objects
        )
    return items


def _scan_results(
    devkit: Devkit, ids: Sequence[str], options: Options, run: Run, found: Findings
) -> Iterator[Scanned | BadFileError]:
    single = []
    for image_id in ids:
        files = devkit.annotations[image_id]
        if len(files) > 1:
            names = ", ".join(f.name for f in files)
            found.errors.append(BadFileError(files[0].path, f"several annotations of one stem: {names}; keep one"))
        elif not _is_writable_id(image_id):
            reason = "a line break, or bytes that are no UTF-8, in its name; rename it and its picture"
            found.errors.append(BadFileError(ascii(files[0].path), reason))
        else:
            single.append((image_id, files[0]))
    starts = range(0, len(single), _SCAN_CHUNK)
    tasks = (ScanTask(tuple(single[k : k + _SCAN_CHUNK]), options.classes) for k in starts)
    for results in run(scan_chunk, tasks):
        yield from results


def _is_writable_id(image_id: str) -> bool:
    """Returns whether an id can stand in a record and in the id list: file names may hold any bytes."""
    return not re.search("[\n\r\ud800-\udfff]", image_id)


def _assign(items: Mapping[str, Item], wanted: Mapping[str, tuple[str, ...]], options: Options) -> dict[str, list[str]]:
    """Returns the ids of each split, in the order of their records."""
    if options.lists:
        lists = {name: [i for i in ids if i in items] for name, ids in wanted.items()}
    else:
        ids = sorted(items)
        present = [items[i].positives | items[i].ignores for i in ids]
        labels = [[bits >> k & 1 for k in range(len(options.classes))] for bits in present]
        sizes = splits.split_sizes(len(ids), options.ratios)
        matrix = np.array(labels, dtype=bool).reshape(len(ids), len(options.classes))
        rows = splits.stratify(matrix, sizes, seed=options.seed)
        lists = {name: [ids[row] for row in part] for name, part in rows.items()}
    return {name: sorted(ids, key=lambda i: _shuffle_key(options.seed, i)) for name, ids in lists.items()}


def _shuffle_key(seed: int, image_id: str) -> bytes:
    """A shuffle that depends on the seed and the id only: adding images does not reorder the others."""
    return hashlib.sha256(f"{seed}:{image_id}".encode()).digest()
