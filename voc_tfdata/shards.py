"""Reading, checking and writing the pictures of a plan: parts from the workers become shards, in record order."""

from __future__ import annotations

import os
import sys
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import google_crc32c
import numpy as np
import numpy.typing as npt
from absl import logging
from tqdm import tqdm

from voc_tfdata.manifest import Shard, Split
from voc_tfdata.plan import Findings, Options, Plan, count_split, ids_text, shard_rows
from voc_tfdata.records import format_index, ids_name, index_name, shard_name
from voc_tfdata.source_files import BadFileError
from voc_tfdata.workers import Encoded, EncodeTask, Run, encode_chunk

_ENCODE_CHUNK = 64  # pictures a task: about 6 MB
_COPY_BYTES = 4 << 20  # 4 MiB
_SPARE_PARTS = 16  # part files kept to be written over
_LOG_INTERVAL_S = 10.0


class BadFilesError(ValueError):
    """All the files that kept a conversion from being made."""

    def __init__(self, errors: Sequence[BadFileError], what: str) -> None:
        super().__init__(errors, what)
        self.errors = tuple(sorted(errors, key=lambda err: (err.path, err.reason)))
        self.what = what

    def __str__(self) -> str:
        lines = "\n".join(f"  {err}" for err in self.errors)
        return (
            f"{len(self.errors)} bad files, {self.what}:\n{lines}\n"
            "mend or remove them, or leave them out by name with --on_error=skip"
        )


def write_shards(plan: Plan, options: Options, run: Run, found: Findings, staging: Path | None) -> dict[str, Split]:
    """Writes shards, indices and id lists into staging; returns the manifest's entry of each split.

    Without staging everything is read, decoded and counted alike, and nothing is written: no shard has a checksum.

    Raises:
      BadFilesError: some files are bad, and bad files are not to be skipped.
      OSError: staging cannot be written, or its disk is full.
    """
    rows = {split: array("q") for split in plan.splits}  # of the records
    frame_sizes: dict[tuple[str, int], array[int]] = {}
    checksums: dict[tuple[str, int], google_crc32c.Checksum] = {}
    spare_parts: list[str] = []
    for split, number, chunk, encoded in _encode(plan, options, run, found, staging, spare_parts):
        if encoded.part_path is not None:  # None: a file was bad, the rest is only checked
            checksum = checksums.setdefault((split, number), google_crc32c.Checksum())
            _append(encoded, Path(f"{staging}/{split}-{number}"), checksum)
            spare_parts.append(encoded.part_path)
            if len(spare_parts) > _SPARE_PARTS:
                os.unlink(spare_parts.pop(0))
        frame_sizes.setdefault((split, number), array("q")).extend(encoded.frame_sizes)
        rows[split].extend(chunk[encoded.kept].tolist())
    for part in spare_parts:
        os.unlink(part)
    entries = {}
    for split in plan.splits:
        filled = [number for name, number in frame_sizes if name == split and frame_sizes[name, number]]
        shards = []
        for new_number, number in enumerate(filled):  # a shard of nothing but bad files is none
            file, sizes = shard_name(split, new_number, len(filled)), frame_sizes[split, number]
            crc32c = checksums[split, number].hexdigest().decode() if staging else ""
            shards.append(Shard(file, len(sizes), sum(sizes), crc32c))
            if staging:
                os.rename(staging / f"{split}-{number}", staging / file)
                (staging / index_name(file)).write_text(format_index(sizes), encoding="ascii")
        kept = np.array(rows[split], dtype=np.int64)
        if staging:
            (staging / ids_name(split)).write_bytes(ids_text(plan, kept).encode())
        entries[split] = replace(count_split(split, kept, plan, options.classes), shards=tuple(shards))
    return entries


def _encode(
    plan: Plan, options: Options, run: Run, found: Findings, staging: Path | None, spare_parts: list[str]
) -> Iterator[tuple[str, int, npt.NDArray[np.int64], Encoded]]:
    """Yields (split, shard number, rows, outcome) of each chunk of pictures, in record order."""
    chunks = [
        (split, number, rows[k : k + _ENCODE_CHUNK])
        for split in plan.splits
        for number, rows in enumerate(shard_rows(plan, split, options))
        for k in range(0, len(rows), _ENCODE_CHUNK)
    ]
    total = sum(len(rows) for _, _, rows in chunks)
    verb = "checking" if staging is None else "converting"
    logging.info("%s %d pictures", verb, total)
    progress = _Progress(total)
    with progress.bar:
        tasks = _tasks(plan, [rows for _, _, rows in chunks], options, found, staging, spare_parts)
        for (split, number, rows), encoded in zip(chunks, run(encode_chunk, tasks), strict=True):
            found.errors.extend(encoded.errors)
            found.warnings.extend(encoded.warnings)
            progress.add(len(rows))
            yield split, number, rows, encoded
    if found.errors and not options.skip_bad:
        raise BadFilesError(found.errors, "nothing was written")


def _tasks(
    plan: Plan,
    chunks: Sequence[npt.NDArray[np.int64]],
    options: Options,
    found: Findings,
    staging: Path | None,
    spare_parts: list[str],
) -> Iterator[EncodeTask]:
    """Yields the tasks one by one as workers become free: after a bad file, those that only check."""
    for number, rows in enumerate(chunks):
        part_path = None
        if staging is not None and (options.skip_bad or not found.errors):
            part_path = spare_parts.pop() if spare_parts else f"{staging}/part-{number}"
        yield EncodeTask(
            items=tuple(plan.items[row] for row in rows),
            classes=options.classes,
            max_pixels=options.max_pixels,
            shorter_side=options.shorter_side,
            part_path=part_path,
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
        self.bar = tqdm(total=total, unit=" pictures", disable=not sys.stderr.isatty(), dynamic_ncols=True)
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
            logging.info("%d of %d pictures, %.0f images/s", self._done, self._total, rate)
