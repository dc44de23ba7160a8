"""Other programs' TFRecords, indexed where they lie: no byte of them is copied or changed.

    manifest = index_records(["data/pascal_train.record-*"], "records/theirs", split="train")

Read are Examples in the fields of the TensorFlow object-detection API: image/encoded, image/height, image/width,
image/object/class/text or /label, and image/object/difficult where there is one. Their labels are made of their objects
whenever they are read; see records.examples. Every image is decoded once, here.
"""

from __future__ import annotations

import glob
import itertools
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from absl import logging

from voc_tfdata.convert.foreign_files import FileContent, read_file
from voc_tfdata.convert.plan import SplitCounts
from voc_tfdata.convert.shards import BadFilesError
from voc_tfdata.convert.splits import check_split_name
from voc_tfdata.convert.worker_pool import start_workers
from voc_tfdata.devkit.source_files import BadFileError
from voc_tfdata.devkit.spill import Spill
from voc_tfdata.files import locked, write_whole
from voc_tfdata.machine import count_cores
from voc_tfdata.records.examples import label_vectors
from voc_tfdata.records.manifest import (
    LABELS_OF_OBJECTS,
    MANIFEST_NAME,
    Manifest,
    Shard,
    format_manifest,
    is_record_file,
    read_manifest,
)
from voc_tfdata.records.tfrecord import (
    format_index,
    ids_name,
    index_name,
)
from voc_tfdata.version import __version__

_SHOWN = 20  # names in a message


def index_records(
    places: Sequence[str | Path],
    out_dir: str | Path,
    *,
    split: str,
    classes: Sequence[str] | None = None,
    num_workers: int | None = None,
    overwrite: bool = False,
) -> Manifest:
    """Writes index, ids and manifest for TFRecords of other programs, and returns the manifest.

    A folder that this wrote takes further splits by further calls. Files outside out_dir are reached by links in it.

    Args:
      places: files, patterns (*, ?), or folders, of which all record files are taken.
      out_dir: local folder; that of the files themselves will do.
      split: name of the split that they become.
      classes: names in label order, of the label map; None takes the names that occur in image/object/class/text,
        or those of the splits that out_dir has.
      num_workers: processes; by default one per core.
      overwrite: replace a split of this name that out_dir has.

    Raises:
      BadFilesError: a ValueError with every bad record and its reason; nothing was written.
      FileNotFoundError: nothing there.
      ValueError: a file is compressed, classes are unknown, or out_dir holds another data set.
      OSError: out_dir cannot be written.
    """
    check_split_name(split)
    paths = _find_files(places)
    out_dir = Path(out_dir)
    old = _read_old(out_dir, split, overwrite=overwrite)
    if classes is None and old is not None:
        classes = old.classes
    found: Spill[FileContent] = Spill()
    names: Counter[str] = Counter()
    errors: list[BadFileError] = []
    num_turned = 0
    with start_workers(min(num_workers or count_cores(), len(paths))) as run:
        for number, file in enumerate(run(read_file, paths), start=1):
            logging.info("%s: %d records (%d of %d files)", file.path, len(file.rows), number, len(paths))
            errors += file.errors
            num_turned += file.num_turned
            names.update(text for row in file.rows for text, _, _ in row.objects)
            found.append(file)
    if errors:
        raise BadFilesError(errors, "nothing was written", "these images or records cannot be read as they are")
    classes = _find_classes(names, classes)
    files = _name_files(paths, out_dir)
    entry, ids, indices = _describe(found, files, classes, split)
    base = old or Manifest(classes, 0, {"labels": LABELS_OF_OBJECTS}, {}, package_version=__version__)
    if base.classes != classes:
        raise ValueError(f"{out_dir} has the classes {', '.join(base.classes)}; take another --out_dir for others")
    for name, other in base.splits.items():
        if name != split and (both := files.keys() & {shard.file for shard in other.shards}):
            raise ValueError(f"{min(both)} is in split {name!r}, too; index other files, or take another --out_dir")
    warnings = dict(base.warnings)
    if num_turned:
        warnings["EXIF orientation not applied"] = warnings.get("EXIF orientation not applied", 0) + num_turned
    manifest = replace(base, splits={**base.splits, split: entry}, warnings=warnings)
    out_dir.mkdir(parents=True, exist_ok=True)
    with locked(out_dir, refuse=f"another process writes to {out_dir}; wait for it"):
        for file, path in files.items():
            _link(out_dir / file, path)
            write_whole(out_dir / index_name(file), indices[file])
        write_whole(out_dir / ids_name(split), ids)
        write_whole(out_dir / MANIFEST_NAME, format_manifest(manifest))
    return manifest


def _find_files(places: Sequence[str | Path]) -> list[str]:
    """Returns the absolute paths of the record files, each once, in the order given; those of a folder by name."""
    paths: dict[str, None] = {}
    for place in map(str, places):
        if os.path.isdir(place):
            found = [os.path.join(place, name) for name in sorted(os.listdir(place)) if is_record_file(name)]
        else:
            found = [place] if os.path.isfile(place) else sorted(filter(os.path.isfile, glob.glob(place)))
        if not found:
            raise FileNotFoundError(f"no TFRecords in {place}; give files, a pattern ('dir/*.record'), or a folder")
        paths.update((os.path.abspath(path), None) for path in found)
    if not paths:
        raise FileNotFoundError("no TFRecords given; for example: voc_tfdata index data/train.record --split=train")
    return list(paths)


def _read_old(out_dir: Path, split: str, *, overwrite: bool) -> Manifest | None:
    """Returns the manifest that is to be extended.

    Raises:
      ValueError: it is of another kind, or has the split.
    """
    if not (out_dir / MANIFEST_NAME).exists():
        return None
    old = read_manifest(out_dir)
    if old.options.get("labels") != LABELS_OF_OBJECTS:
        raise ValueError(f"{out_dir} holds a data set of voc_tfdata convert; take another --out_dir")
    if split in old.splits and not overwrite:
        raise ValueError(f"{out_dir} has a split {split!r}; add --overwrite to replace it, or take another --split")
    return old


def _find_classes(names: Counter[str], classes: Sequence[str] | None) -> tuple[str, ...]:
    """Returns the class names in label order.

    Raises:
      ValueError: names occur that are not among them, or there are only numbers and no names.
    """
    texts = names.keys() - {""}
    if classes is None:
        if names[""]:
            raise ValueError(
                f"{names['']:,} objects have a number and no image/object/class/text; name the classes by "
                "--classes=label_map.pbtxt"
            )
        if not texts:
            raise ValueError("no record holds an object; name the classes by --classes=FILE")
        return tuple(sorted(texts))
    if unknown := sorted(texts - set(classes), key=lambda name: -names[name]):
        shown = ", ".join(f"{name[:100]!r} ({names[name]:,})" for name in unknown[:_SHOWN])
        raise ValueError(f"objects of classes that are not in the list: {shown}; add them to the --classes file")
    return tuple(classes)


def _name_files(paths: Sequence[str], out_dir: Path) -> dict[str, str]:
    """Returns {name in out_dir: path}.

    Raises:
      ValueError: two files have the same name.
    """
    files: dict[str, str] = {}
    for path in paths:
        name = os.path.basename(path)
        if name in files:
            raise ValueError(f"{files[name]} and {path} have the same name; index them as two splits or rename one")
        files[name] = path
    return files


def _link(link: Path, path: str) -> None:
    """Makes a link in out_dir to a file, unless the file lies there itself."""
    if os.path.abspath(link) == path:
        return
    if link.is_symlink() or not link.exists():
        temporary = link.with_name(f".{link.name}.link")
        temporary.unlink(missing_ok=True)
        os.symlink(path, temporary)
        os.replace(temporary, link)
    elif not link.samefile(path):
        raise ValueError(f"{link} is another file than {path}; take another --out_dir")


def _describe(
    found: Spill[FileContent], files: dict[str, str], classes: tuple[str, ...], split: str
) -> tuple[Any, bytes, dict[str, str]]:
    """Returns the manifest's entry of the split, the content of its ids file, and that of each index."""
    counts, name_row = SplitCounts(split, classes), _id_rule(found)
    number_of = {name: number for number, name in enumerate(classes)}
    by_path = {path: name for name, path in files.items()}
    shards, ids, indices, total = [], bytearray(), {}, itertools.count()
    for _, file in found.items():
        rows = []
        for row in file.rows:
            labels = [_number_of(obj, number_of, file.path) for obj in row.objects]
            vectors = label_vectors(zip(labels, (hard for _, _, hard in row.objects), strict=True), len(classes))
            rows.append((name_row(row, next(total)), bytes(map(sum, zip(*vectors, strict=True))), len(labels)))
        ids += counts.add(rows)
        name = by_path[file.path]
        shards.append(Shard(name, len(rows), file.num_bytes, file.crc32c))
        indices[name] = format_index(row.frame_size for row in file.rows)
    return counts.describe(shards), bytes(ids), indices


def _number_of(obj: tuple[str, int, bool], number_of: dict[str, int], path: str) -> int:
    text, label, _ = obj
    number = number_of[text] if text else label - 1  # the object-detection API counts from 1
    if not 0 <= number < len(number_of):
        raise ValueError(f"{path}: an object has label {label}, there are {len(number_of)} classes; see --classes")
    return number


def _id_rule(found: Spill[FileContent]) -> Any:
    """Returns what names a record: image/source_id if each has one of its own, else image/filename, else its number."""
    for read in (lambda row: row.source_id, lambda row: os.path.splitext(row.filename)[0]):
        seen: set[int] = set()
        rows = itertools.chain.from_iterable(file.rows for _, file in found.items())
        if all(_is_new(read(row), seen) for row in rows):
            return lambda row, number, read=read: read(row)
    return lambda row, number: f"{number:08d}"


def _is_new(name: str, seen: set[int]) -> bool:
    """Returns whether a name can stand in the list of ids and is new; adds its hash: there may be millions."""
    if not name or not name.isprintable() or hash(name) in seen:
        return False
    seen.add(hash(name))
    return True
