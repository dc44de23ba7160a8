"""manifest.json: what a folder of records holds. Written last; a folder without one is no data set.

manifest = read_manifest("records/voc2012")
manifest.splits["train"].num_examples, manifest.classes, manifest.splits["train"].positives["dog"]
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from voc_tfdata.records.manifest_schema import check_fields
from voc_tfdata.remote import addresses

SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.json"
_RECORD_NAME = re.compile(r"[^.].*\.(tf_?)?records?([-_.](?!idx$).*)?", re.IGNORECASE)
LABELS_OF_OBJECTS = "objects"  # options["labels"] of records without label vectors: see voc_tfdata index


@dataclass(frozen=True)
class Shard:
    """One .tfrecord file; its .idx lies beside it under the same name."""

    file: str  # voc-train-00000-of-00008.tfrecord
    num_examples: int
    num_bytes: int
    crc32c: str  # of the whole file, 8 hex digits


@dataclass(frozen=True)
class Split:
    """One split: its shards in reading order and its label counts.

    positives counts the images with an object of the class that is not 'difficult' (1 in VOC's image lists),
    ignores those with difficult ones only (0 there).
    """

    num_examples: int
    shards: tuple[Shard, ...]
    ids_file: str  # image ids, one per line, in record order
    ids_crc32c: str
    positives: Mapping[str, int]
    ignores: Mapping[str, int]
    num_objects: int
    num_unlabelled: int  # images whose annotation holds no object


@dataclass(frozen=True)
class Manifest:
    """The content of manifest.json. Nothing in it depends on time, place or the number of workers."""

    classes: tuple[str, ...]
    seed: int
    options: Mapping[str, Any]
    splits: Mapping[str, Split]
    skipped: tuple[Mapping[str, str], ...] = ()  # {"path": ..., "reason": ...} of each file left out
    warnings: Mapping[str, int] = field(default_factory=dict)  # kind -> how often
    package_version: str = ""
    schema_version: int = SCHEMA_VERSION

    @property
    def has_label_vectors(self) -> bool:
        """Whether the records hold label vectors; else labels are made of their objects."""
        return self.options.get("labels") != LABELS_OF_OBJECTS

    @property
    def checksum(self) -> str:
        """SHA-256 of the manifest's content: changes whenever a record, label, class or option does."""
        return hashlib.sha256(f"{json.dumps(asdict(self), indent=1, ensure_ascii=False)}\n".encode()).hexdigest()


def format_manifest(manifest: Manifest) -> str:
    """Returns the JSON text of a manifest, its own checksum at the end: the same for equal manifests."""
    return json.dumps({**asdict(manifest), "checksum": manifest.checksum}, indent=1, ensure_ascii=False) + "\n"


def read_manifest(records_dir: str | Path) -> Manifest:
    """Returns the manifest of a folder written by build_records.

    Args:
      records_dir: the folder, or its URI.

    Raises:
      FileNotFoundError: records_dir has no manifest.json.
      ValueError: it is not ours, damaged, edited, or of a newer schema; the message names the field.
      ImportError, PermissionError, ConnectionError: it is remote and cannot be read.
    """
    is_remote = addresses.is_uri(records_dir)
    path = addresses.join(str(records_dir), MANIFEST_NAME) if is_remote else str(Path(records_dir) / MANIFEST_NAME)
    try:
        if is_remote:
            from voc_tfdata.remote import files as remote_files
        text = (remote_files.read_file(path) if is_remote else Path(path).read_bytes()).decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"no {path}: {_how_to_make_it(records_dir, is_remote)}") from None
    except UnicodeDecodeError as err:
        raise ValueError(f"{path} is damaged (not UTF-8); build the records again") from err
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise ValueError(f"{path} is damaged: it is not JSON ({err}); build the records again") from err
    version = fields.get("schema_version") if isinstance(fields, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise ValueError(
            f"{path} has schema version {version}, this voc_tfdata reads {SCHEMA_VERSION}; "
            "install the voc_tfdata that wrote it, or build the records again"
        )
    try:
        check_fields(fields)
    except ValueError as err:
        raise ValueError(f"{path} is damaged: {err}; build the records again") from err
    checksum = fields.pop("checksum", None)  # older data sets have none
    manifest = _from_json(fields)
    if checksum is not None and checksum != manifest.checksum:
        raise ValueError(
            f"{path} is damaged: it was edited after it was written (its checksum is not that of its content); "
            "build the records again"
        )
    return manifest


def is_record_file(name: str) -> bool:
    """Returns whether a file's name is one that TFRecords have: a.tfrecord, a.record-00000-of-00010 ..."""
    return _RECORD_NAME.fullmatch(name) is not None


def _how_to_make_it(records_dir: str | Path, is_remote: bool) -> str:
    folder = Path(records_dir)
    if not is_remote and folder.is_dir() and any(is_record_file(name) for name in os.listdir(folder)):
        return (
            "not a (complete) data set; TFRecords of another program are indexed by: "
            f"voc_tfdata index {records_dir} --split=train --out_dir=records/indexed"
        )
    return f"not a (complete) data set; run: build_tfrecords --voc_root=... --out_dir={records_dir}"


def find_split(manifest: Manifest, split: str, records_dir: str | Path) -> tuple[str, ...]:
    """Returns the names of the splits that `split` ("train" or a union, "train+val") asks for.

    Raises:
      ValueError: a name is unknown, empty or given twice, or its split holds no example.
    """
    names = tuple(name.strip() for name in split.split("+"))
    for name in names:
        if name not in manifest.splits:
            known = ", ".join(manifest.splits)
            raise ValueError(
                f"no split {name!r} in {records_dir}; it has: {known}. Name one of these, or a union such as train+val "
                "(of a command by --split, --train_split, --val_split, --test_split)"
            )
        if not manifest.splits[name].num_examples:
            raise ValueError(f"split {name!r} in {records_dir} holds no example; build it with other --split_ratios")
    if len(set(names)) < len(names):
        raise ValueError(f"split {split!r} names a split twice")
    return names


def _from_json(fields: dict[str, Any]) -> Manifest:
    splits = {
        name: Split(**{**split, "shards": tuple(Shard(**shard) for shard in split["shards"])})
        for name, split in fields["splits"].items()
    }
    return Manifest(
        **{
            **fields,
            "splits": splits,
            "classes": tuple(fields["classes"]),
            "skipped": tuple(fields["skipped"]),
        }
    )
