"""TFRecord files with a sidecar index: naming, reading, indexing and checking them.

    faults = find_faults(records_dir, split, check="checksums")
    index = index_of(records_dir, split)               # index.offsets[i], index.sizes[i] of record i

The .idx file has one line `offset size` a record, both of the whole frame,
as NVIDIA DALI's tfrecord2idx writes it.
"""

from __future__ import annotations

import io
import mmap
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import numpy as np
import numpy.typing as npt

from voc_tfdata.records.manifest import Shard, Split
from voc_tfdata.remote.frames import FOOTER_BYTES, HEADER_BYTES, read_frames

_CHECKSUM_CHUNK = 4 << 20  # 4 MiB


@dataclass(frozen=True)
class SplitIndex:
    """Where every record of a split (or a union of splits) lies, in record order."""

    paths: tuple[str, ...]  # of the shards
    shard: npt.NDArray[np.int64]  # [N] index into paths
    offsets: npt.NDArray[np.int64]  # [N] of the payload in its shard, bytes
    sizes: npt.NDArray[np.int64]  # [N] of the payload, bytes

    @property
    def num_examples(self) -> int:
        return len(self.offsets)


def frame_bytes(payload_bytes: int) -> int:
    """Returns the size on disk of a record with a payload of this size."""
    return HEADER_BYTES + payload_bytes + FOOTER_BYTES


def shard_name(split: str, number: int, num_shards: int) -> str:
    """Returns e.g. voc-train-00000-of-00008.tfrecord."""
    return f"voc-{split}-{number:05d}-of-{num_shards:05d}.tfrecord"


def index_name(shard_file: str) -> str:
    """Returns the name of the .idx file beside a shard."""
    return shard_file.removesuffix(".tfrecord") + ".idx"


def ids_name(split: str) -> str:
    """Returns the name of the file with a split's image ids, one per line, in record order."""
    return f"voc-{split}-ids.txt"


def format_index(frame_sizes: Iterable[int]) -> str:
    """Returns the text of the .idx file of a shard whose frames have these sizes, in bytes."""
    text, offset = io.StringIO(), 0
    for size in frame_sizes:
        text.write(f"{offset} {size}\n")
        offset += size
    return text.getvalue()


def crc32c_of_file(path: str | Path) -> str:
    """Returns the crc32c of a file's bytes, 8 hex digits."""
    checksum = google_crc32c.Checksum()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(_CHECKSUM_CHUNK), b""):
            checksum.update(chunk)
    return checksum.hexdigest().decode()


def find_faults(records_dir: Path, split: Split, *, check: str) -> list[str]:
    """Returns a line for each file of a split that is not what the manifest says."""
    faults = []
    for shard in split.shards:
        path = records_dir / shard.file
        try:
            size = os.stat(path).st_size
        except FileNotFoundError:
            faults.append(f"{path} is missing")
            continue
        if size != shard.num_bytes:
            faults.append(f"{path} has {size:,} bytes, the manifest says {shard.num_bytes:,}")
        elif check == "checksums" and (found := crc32c_of_file(path)) != shard.crc32c:
            faults.append(f"{path} is damaged or of another data set (crc32c {found}, manifest {shard.crc32c})")
        reads_frames = check == "checksums" and size == shard.num_bytes
        faults.extend(_index_faults(records_dir / index_name(shard.file), shard, path if reads_frames else None))
    ids_path = records_dir / split.ids_file
    if not ids_path.exists():
        faults.append(f"{ids_path} is missing")
    elif check == "checksums" and (found := crc32c_of_file(ids_path)) != split.ids_crc32c:
        faults.append(f"{ids_path} is damaged (crc32c {found}, manifest {split.ids_crc32c})")
    return faults


def iterate_ids(records_dir: str | Path, split: Split) -> Iterator[str]:
    """Yields the image ids of a split in record order."""
    with open(Path(records_dir) / split.ids_file, encoding="utf-8", errors="replace", newline="\n") as lines:
        for line in lines:
            yield line.removesuffix("\n")


def iterate_records(path: str | Path) -> Iterator[bytes]:
    """Yields the payloads of a TFRecord file in order, without TensorFlow.

    Raises:
      ValueError: a frame is cut off or fails its checksum; the message names file and record number.
    """
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield from read_frames(data.read, len(data), str(path))


def _index_faults(path: Path, shard: Shard, shard_path: Path | None) -> list[str]:
    """Returns what is wrong with the index of a shard; with shard_path also whether the frames begin where it says."""
    try:
        frames = _read_index(path)
    except FileNotFoundError:
        return [f"{path} is missing"]
    except ValueError:
        return [f"{path} is damaged (not two numbers a line)"]
    ends = frames.sum(axis=1)
    contiguous = len(frames) and frames[0, 0] == 0 and (frames[1:, 0] == ends[:-1]).all()
    if len(frames) != shard.num_examples or not contiguous or ends[-1] != shard.num_bytes:
        return [f"{path} does not fit {shard.file} ({len(frames)} lines, {shard.num_examples} records)"]
    if shard_path is not None and len(frames):
        data = np.memmap(shard_path, np.uint8, "r")
        lengths = data[frames[:, :1] + np.arange(8)].copy().view("<u8")[:, 0]  # the first bytes of each frame
        wrong = np.flatnonzero(lengths != frames[:, 1] - HEADER_BYTES - FOOTER_BYTES)
        if len(wrong):
            return [f"{path} does not fit {shard.file}: record {wrong[0]} is not where line {wrong[0] + 1} says"]
    return []


def _read_index(path: Path) -> npt.NDArray[np.int64]:
    data = path.read_bytes()
    if data.translate(None, b"0123456789 \t\r\n"):
        raise ValueError(f"{path} holds something else than digits")
    try:
        numbers = np.array(data.decode().split(), dtype=np.int64)
    except OverflowError as err:
        raise ValueError(f"{path} holds a number beyond 64 bits") from err
    return numbers.reshape(-1, 2)


def index_of(records_dir: Path, split: Split) -> SplitIndex:
    """Returns the index of one split from the .idx files beside its shards, which find_faults has checked."""
    frames = [_read_index(records_dir / index_name(shard.file)) for shard in split.shards]
    table = np.concatenate(frames)
    return SplitIndex(
        paths=tuple(str((records_dir / shard.file).absolute()) for shard in split.shards),
        shard=np.repeat(np.arange(len(frames)), [len(f) for f in frames]),
        offsets=table[:, 0] + HEADER_BYTES,
        sizes=table[:, 1] - HEADER_BYTES - FOOTER_BYTES,
    )


def join_indices(parts: list[SplitIndex]) -> SplitIndex:
    """Returns the index of several splits, one after the other."""
    starts = np.cumsum([0] + [len(part.paths) for part in parts])
    return SplitIndex(
        paths=sum((part.paths for part in parts), ()),
        shard=np.concatenate([part.shard + start for part, start in zip(parts, starts, strict=False)]),
        offsets=np.concatenate([part.offsets for part in parts]),
        sizes=np.concatenate([part.sizes for part in parts]),
    )
