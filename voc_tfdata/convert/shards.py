"""Reading, checking and writing the images of a plan: parts from the workers become shards, in record order."""

from __future__ import annotations

import itertools
import os
import sys
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import google_crc32c
from absl import logging
from tqdm import tqdm

from voc_tfdata.convert.duplicates import Digest, IdenticalImages, tell_identical
from voc_tfdata.convert.options import ConvertOptions
from voc_tfdata.convert.plan import ConversionPlan, CountedRow, SplitCounts, counted_row, shard_sizes
from voc_tfdata.convert.scan import Image, Problems
from voc_tfdata.convert.tasks import Encoded, EncodeTask, encode_chunk
from voc_tfdata.convert.worker_pool import Run
from voc_tfdata.devkit.annotations import UnknownClassError
from voc_tfdata.devkit.source_files import BadFileError
from voc_tfdata.devkit.spill import Sorter
from voc_tfdata.records.describe import count_of
from voc_tfdata.records.facts import SplitFacts
from voc_tfdata.records.manifest import Shard, Split
from voc_tfdata.records.tfrecord import format_index, ids_name, index_name, shard_name

_ENCODE_CHUNK = 64  # images a task: about 6 MB
_COPY_BYTES = 1 << 20  # 1 MiB
_SPARE_PARTS = 16  # part files kept to be written over
_LOG_INTERVAL_S = 10.0
_SHOWN_CLASSES = 50
_SHOWN_FILES = 20  # of those with unknown classes: a class that the list lacks is in every other file


class BadFilesError(ValueError):
    """All the files that kept a conversion from being made."""

    def __init__(self, errors: Sequence[BadFileError], what: str, advice: str) -> None:
        super().__init__(errors, what, advice)
        self.errors = tuple(sorted(errors, key=lambda err: (err.path, err.reason)))
        self.what = what
        self.advice = advice

    def __str__(self) -> str:
        files = count_of(len(self.errors), "bad file")
        return f"{files}, {self.what}:\n{self._list_files()}{self._list_unknown_classes()}{self.advice}"

    def _list_files(self) -> str:
        lines, unknown = [], 0
        for err in self.errors:
            unknown += isinstance(err, UnknownClassError)
            if not isinstance(err, UnknownClassError) or unknown <= _SHOWN_FILES:
                lines.append(f"  {err}\n")
        if unknown > _SHOWN_FILES:
            lines.append(f"  and {count_of(unknown - _SHOWN_FILES, 'file')} more with unknown classes\n")
        return "".join(lines)

    def _list_unknown_classes(self) -> str:
        names = Counter(n for err in self.errors if isinstance(err, UnknownClassError) for n in err.class_names)
        if not names:
            return ""
        shown = [f"{name[:100]!r} ({count})" for name, count in names.most_common(_SHOWN_CLASSES)]
        more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
        return (
            f"unknown classes, with their objects: {', '.join(shown)}{more}\n"
            "--classes=auto takes the names that occur, --classes=FILE those of your own list; --other_classes=ignore "
            "leaves out objects of other classes\n"
        )


class _Chunk(NamedTuple):
    """Images whose records follow one another in a shard."""

    split: str
    shard: int  # number in its split
    rows: list[CountedRow]  # of each image


class _OpenShard:
    """A shard while its records come."""

    def __init__(self, path: Path | None) -> None:
        self._path = path  # None: nothing is written
        self._frame_sizes = array("q")
        self._checksum = google_crc32c.Checksum()

    def add(self, encoded: Encoded) -> None:
        """Adds the records of a part file."""
        if self._path and encoded.part_path:  # no part: a file was bad, the rest is only checked
            _append(encoded, self._path, self._checksum)
        self._frame_sizes.extend(encoded.frame_sizes)

    def finish(self, file: str) -> Shard:
        """Writes the index and returns the manifest's entry of a shard of this name."""
        crc32c = ""
        if self._path:
            index = format_index(self._frame_sizes)
            self._path.with_name(index_name(self._path.name)).write_text(index, encoding="ascii")
            crc32c = self._checksum.hexdigest().decode()
        return Shard(file, len(self._frame_sizes), sum(self._frame_sizes), crc32c)


@dataclass(frozen=True)
class WrittenShards:
    """What was written, by split, and what the data set's card tells of it."""

    splits: dict[str, Split]
    facts: dict[str, SplitFacts]
    duplicates: int  # images that are identical to another one


def write_shards(
    plan: ConversionPlan,
    options: ConvertOptions,
    run: Run,
    found: Problems,
    staging: Path | None,
    sync: Callable[[Path], None],
) -> WrittenShards:
    """Writes shards, indices and id lists into staging; returns what they hold.

    Without staging everything is read, decoded and counted alike, and nothing is written: no shard has a checksum.
    Each shard that is complete is given to `sync`, of files.syncing.

    Raises:
      BadFilesError: some files are bad, and bad files are not to be skipped.
      OSError: staging cannot be written, or its disk is full.
    """
    counts = {split: SplitCounts(split, options.classes) for split in plan.splits}
    facts = {split: SplitFacts() for split in plan.splits}
    shards: dict[str, list[Shard]] = {split: [] for split in plan.splits}
    if staging:
        for split in plan.splits:
            (staging / ids_name(split)).touch()  # of a split without images it stays empty
    digests: Sorter[Digest] = Sorter()
    spare_parts: list[str] = []
    pieces = _encode(plan, options, run, found, staging, spare_parts)
    for (split, number), group in itertools.groupby(pieces, key=lambda encoded: encoded.tag[:2]):
        name = _unfinished_name(split, number)
        shard = _OpenShard(staging / name if staging else None)
        num_before = counts[split].num_examples
        for encoded in group:
            shard.add(encoded)
            rows = [encoded.tag.rows[k] for k in encoded.kept]
            ids = counts[split].add(rows)
            facts[split].merge(encoded.facts)
            for digest, (image_id, labels, _) in zip(encoded.digests, rows, strict=True):
                digests.add((digest, split, image_id, labels))
            if staging:
                with open(staging / ids_name(split), "ab") as file:
                    file.write(ids)
            if encoded.part_path:
                spare_parts.append(encoded.part_path)
                if len(spare_parts) > _SPARE_PARTS:
                    os.unlink(spare_parts.pop(0))
        if counts[split].num_examples > num_before:  # a shard of nothing but bad files is none
            shards[split].append(shard.finish(name))
            if staging:
                sync(staging / name)
    for part in spare_parts:
        os.unlink(part)
    duplicates = _tell_identical(digests, options, found)
    for split, unfinished in shards.items():
        shards[split] = [
            _rename(shard, shard_name(split, number, len(unfinished)), staging)
            for number, shard in enumerate(unfinished)
        ]
    splits = {split: counts[split].describe(shards[split]) for split in plan.splits}
    return WrittenShards(splits, facts, duplicates)


def _tell_identical(digests: Iterable[Digest], options: ConvertOptions, found: Problems) -> int:
    try:
        return tell_identical(digests, strict=options.strict_duplicates, found=found)
    except IdenticalImages as err:
        advice = "remove all but one of each, or leave out --strict_duplicates"
        raise BadFilesError(err.groups, "nothing was written", advice) from None


def _unfinished_name(split: str, number: int) -> str:
    return f"{split}-{number}.tfrecord"


def _rename(shard: Shard, file: str, staging: Path | None) -> Shard:
    if staging:
        os.rename(staging / shard.file, staging / file)
        os.rename(staging / index_name(shard.file), staging / index_name(file))
    return replace(shard, file=file)


def _encode(
    plan: ConversionPlan,
    options: ConvertOptions,
    run: Run,
    found: Problems,
    staging: Path | None,
    spare_parts: list[str],
) -> Iterator[Encoded]:
    """Yields the outcome of each chunk of images, tagged with it, in record order."""
    total = sum(size.num_images for size in plan.splits.values())
    verb = "checking" if staging is None else "converting"
    logging.info("%s %d images", verb, total)
    progress = _Progress(total)
    with progress.bar:
        for encoded in run(encode_chunk, _make_tasks(plan, options, found, staging, spare_parts)):
            found.errors.extend(encoded.errors)
            found.warnings.extend(encoded.warnings)
            progress.add(len(encoded.tag.rows))
            yield encoded
    if found.errors and not options.skip_bad:
        advice = "fix or remove them, or leave them out by name with --on_error=skip"
        raise BadFilesError(found.errors, "nothing was written", advice)


def _cut(plan: ConversionPlan, options: ConvertOptions) -> Iterator[tuple[str, int, list[Image]]]:
    """Yields the images in chunks, in record order, each in one shard: (split, number of the shard, images)."""
    records = plan.records()
    for split in plan.splits:
        for number, size in enumerate(shard_sizes(plan, split, options.num_shards)):
            for start in range(0, size, _ENCODE_CHUNK):
                images = itertools.islice(records, min(_ENCODE_CHUNK, size - start))
                yield split, number, [image for _, image in images]


def _make_tasks(
    plan: ConversionPlan, options: ConvertOptions, found: Problems, staging: Path | None, spare_parts: list[str]
) -> Iterator[EncodeTask]:
    """Yields the tasks one by one as workers become free: after a bad file, those that only check."""
    for part, (split, shard, images) in enumerate(_cut(plan, options)):
        part_path = None
        if staging is not None and (options.skip_bad or not found.errors):
            part_path = spare_parts.pop() if spare_parts else f"{staging}/part-{part}"
        yield EncodeTask(
            items=tuple(image.item for image in images),
            classes=options.classes,
            max_pixels=options.max_pixels,
            shorter_side=options.shorter_side,
            max_bytes=options.max_bytes,
            part_path=part_path,
            tag=_Chunk(split, shard, [counted_row(image) for image in images]),
        )


def _append(encoded: Encoded, shard: Path, checksum: google_crc32c.Checksum) -> None:
    """Copies the records of a part file to the end of a shard."""
    left = sum(encoded.frame_sizes)
    try:
        with open(str(encoded.part_path), "rb") as source, open(shard, "ab") as target:
            while block := source.read(min(left, _COPY_BYTES)):
                checksum.update(block)
                target.write(block)
                left -= len(block)
    except OSError as err:
        raise OSError(err.errno, err.strerror, str(shard)) from err
    if left:
        raise RuntimeError(f"{encoded.part_path} lacks {left:,} bytes that a worker wrote; nothing was written")


class _Progress:
    """A bar on a terminal, a line now and then elsewhere."""

    def __init__(self, total: int) -> None:
        self.bar = tqdm(total=total, unit=" images", disable=not sys.stderr.isatty(), dynamic_ncols=True)
        self._total = total
        self._done = 0
        self._start = self._logged = time.monotonic()

    def add(self, count: int) -> None:
        self._done += count
        self.bar.update(count)
        now = time.monotonic()
        if self.bar.disable and now - self._logged >= _LOG_INTERVAL_S:
            self._logged = now
            rate = self._done / (now - self._start)
            logging.info("%d of %d images, %.0f images/s", self._done, self._total, rate)
