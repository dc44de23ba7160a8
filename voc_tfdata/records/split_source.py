"""The door to records: one split, or a union, of one data set or of several as one; each manifest is read once.

source = find_source("records/voc2007,records/voc2012", "train+val")
source.classes, source.num_examples
index = open_split(source)                          # files checked; index.offsets[i], index.sizes[i] of record i
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from voc_tfdata.records.manifest import Manifest, Split, find_split, read_manifest
from voc_tfdata.records.mirror import localize
from voc_tfdata.records.tfrecord import SplitIndex, find_faults, index_of, iterate_ids, join_indices

Records = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class SplitSource:
    """Where the examples of a split come from, in reading order."""

    name: str  # as asked for, without blanks: "train+val"; of several data sets with a split each "train+val,train"
    parts: tuple[tuple[str, Split], ...]  # (folder or URI, split of it)
    manifests: tuple[Manifest, ...]  # of the data sets, in the order given

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in label order."""
        return self.manifests[0].classes

    @property
    def label_names(self) -> tuple[str, ...]:
        """The class names if labels are to be made of objects (records of other programs are among them), else ()."""
        return () if all(manifest.has_label_vectors for manifest in self.manifests) else self.classes

    @property
    def num_examples(self) -> int:
        """Of all parts."""
        return sum(split.num_examples for _, split in self.parts)

    @property
    def checksum(self) -> str:
        """Changes whenever a record, label, class or option of a data set does."""
        sums = [manifest.checksum for manifest in self.manifests]
        return sums[0] if len(sums) == 1 else hashlib.sha256(" ".join(sums).encode()).hexdigest()


def list_records(records_dir: Records) -> list[str | Path]:
    """Returns the data sets that an argument names: one path, several in a sequence, or "a,b" (if no such path is)."""
    if not isinstance(records_dir, (str, Path)):
        found = [str(path) for path in records_dir]
    elif isinstance(records_dir, str) and "," in records_dir and not Path(records_dir).exists():
        found = [path.strip() for path in records_dir.split(",")]
    else:
        found = [str(records_dir)]
    if not found or not all(found) or len(set(found)) < len(found):
        raise ValueError(f"records {records_dir!r} name no data set, an empty one, or one twice")
    return list(found)


def find_source(
    records_dir: Records, split: str, *, cache_dir: str | Path | None = None, stream: bool = False
) -> SplitSource:
    """Returns what `split` asks for of one or several data sets, from their manifests alone.

    Args:
      records_dir: folder written by build_records, or its URI, or several: a sequence, or "records/a,records/b".
      split: "train", or a union such as "train+val": of each data set. Of several, each may have its own at the same
        place between commas: "train+val,train"; a data set whose place is empty is left out.
      cache_dir: local folder for the mirror of a URI, see localize.
      stream: whether a URI is left where it is, instead of being mirrored.

    Raises:
      FileNotFoundError: a data set has no manifest.json.
      ValueError: unknown or empty split, or data sets with different classes; see list_records and localize.
      ImportError, PermissionError, ConnectionError, OSError: see localize.
    """
    if not isinstance(split, str):
        raise ValueError(f"split={split!r}; it is a name, or a union such as 'train+val'")
    folders = list_records(records_dir)
    wanted = [name.strip() for name in split.split(",")]
    if len(wanted) == 1:
        wanted *= len(folders)
    if len(wanted) != len(folders):
        raise ValueError(f"split {split!r} names {len(wanted)} splits for {len(folders)} data sets; give one for each")
    if not any(wanted):
        raise ValueError(f"split {split!r} names no split")
    parts: list[tuple[str, Split]] = []
    manifests: list[Manifest] = []
    for folder, names in zip(folders, wanted, strict=True):
        place = folder if stream else localize(folder, cache_dir)
        manifest = read_manifest(place)
        _check_same_classes(folders[0], manifests, folder, manifest)
        manifests.append(manifest)
        if names:
            parts += [(str(place), manifest.splits[name]) for name in find_split(manifest, names, folder)]
    name = ",".join("".join(names.split()) for names in (wanted if len(set(wanted)) > 1 else wanted[:1]))
    return SplitSource(name, tuple(parts), tuple(manifests))


def _check_same_classes(first: str | Path, manifests: Sequence[Manifest], folder: str | Path, new: Manifest) -> None:
    if not manifests or new.classes == manifests[0].classes:
        return
    old = manifests[0].classes
    lacks, more = [c for c in old if c not in new.classes], [c for c in new.classes if c not in old]
    what = f"lacks {', '.join(lacks) or 'nothing'} and has {', '.join(more) or 'nothing'} besides"
    if not lacks and not more:
        what = f"has them in another order ({', '.join(new.classes)})"
    raise ValueError(
        f"{first} and {folder} have different classes: the second {what}; build both with the same --classes file"
    )


def open_split(source: SplitSource, *, check: str = "checksums") -> SplitIndex:
    """Returns the index of a split, after checking its files against the manifests.

    Args:
      source: of find_source; local.
      check: "checksums" reads every file once and compares its crc32c; "sizes" compares names, sizes and counts only.

    Raises:
      ValueError: a file is missing or is not what the manifest says.
    """
    if check not in ("checksums", "sizes"):
        raise ValueError(f"check={check!r}; it is 'checksums' or 'sizes'")
    faults = [fault for folder, split in source.parts for fault in find_faults(Path(folder), split, check=check)]
    if faults:
        folders = " ".join(dict.fromkeys(folder for folder, _ in source.parts))
        raise ValueError(
            "; ".join(faults) + f". Build the records again, or copy the files anew; all faults of the set: "
            f"voc_tfdata inspect --verify {folders}"
        )
    return join_indices([index_of(Path(folder), split) for folder, split in source.parts])


def iterate_source_ids(source: SplitSource) -> Iterator[str]:
    """Yields the image ids of a local source in record order."""
    for folder, split in source.parts:
        yield from iterate_ids(folder, split)


def count_labels(source: SplitSource) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """Returns (positives [C], ignores [C], number of images), in class order."""
    positives = np.zeros(len(source.classes), np.int64)
    ignores = np.zeros(len(source.classes), np.int64)
    for _, split in source.parts:
        positives += [split.positives[name] for name in source.classes]
        ignores += [split.ignores[name] for name in source.classes]
    return positives, ignores, source.num_examples
