"""Re-reading a data set to its last byte, without TensorFlow.

for fault in verify_records("records/voc2012"):
    print(fault)
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path

from voc_tfdata.devkit.images import load_upright_jpeg
from voc_tfdata.devkit.source_files import BadFileError
from voc_tfdata.records.examples import complete_labels, decode_example
from voc_tfdata.records.manifest import Manifest, Shard, Split, read_manifest
from voc_tfdata.records.mirror import localize
from voc_tfdata.records.tfrecord import find_faults, iterate_ids, iterate_records


def verify_records(records_dir: str | Path, *, cache_dir: str | Path | None = None) -> list[str]:
    """Returns a line for every fault: it names shard, record and image. An empty list: all is as it was written.

    Checks names, sizes and checksums of all files, the framing of every record, that its image decodes and has the
    recorded size and SHA-256, that ids stand in the recorded order, and that the labels add up to the manifest's.

    Args:
      records_dir: folder written by build_records, or its URI with a cache_dir.
      cache_dir: local folder to mirror a URI into.

    Raises:
      FileNotFoundError, ValueError: there is no readable manifest, or a URI without cache_dir. Of a URI also what
        mirror.localize raises.
    """
    records_dir = localize(records_dir, cache_dir)
    manifest = read_manifest(records_dir)
    faults: list[str] = []
    for name, split in manifest.splits.items():
        faults.extend(find_faults(records_dir, split, check="checksums"))
        faults.extend(_record_faults(records_dir, name, split, manifest))
    return faults


def _record_faults(records_dir: Path, name: str, split: Split, manifest: Manifest) -> Iterator[str]:
    ids = iterate_ids(records_dir, split) if (records_dir / split.ids_file).exists() else iter(())
    positives, ignores = [0] * len(manifest.classes), [0] * len(manifest.classes)
    complete = True
    for shard in split.shards:
        expected = tuple(itertools.islice(ids, shard.num_examples))
        labels: list[tuple[list[int], list[int]]] = []
        faults = list(_shard_faults(records_dir, shard, expected, labels, manifest))
        complete &= not faults
        yield from faults
        for multi_hot, ignore in labels:
            positives = [n + (m and not g) for n, m, g in zip(positives, multi_hot, ignore, strict=True)]
            ignores = [n + g for n, g in zip(ignores, ignore, strict=True)]
    if left := sum(1 for _ in ids):
        yield f"{records_dir / split.ids_file}: names {left} images more than the records hold"
    recorded = list(split.positives.values()), list(split.ignores.values())
    if complete and recorded != (positives, ignores):
        yield f"split {name}: the labels of the records do not add up to the counts of the manifest"


def _shard_faults(
    records_dir: Path,
    shard: Shard,
    ids: tuple[str, ...],
    labels: list[tuple[list[int], list[int]]],
    manifest: Manifest,
) -> Iterator[str]:
    """Yields what is wrong with a shard; adds the (multi_hot, ignore) of each sound record to labels."""
    path = records_dir / shard.file
    number, classes, num_classes = -1, manifest.classes, len(manifest.classes)
    try:
        for number, payload in enumerate(iterate_records(path)):
            where = f"{path}, record {number}"
            if number < len(ids):
                where += f", image {ids[number]}"
            try:
                fields = complete_labels(decode_example(payload), classes, has_vectors=manifest.has_label_vectors)
                multi_hot, ignore = fields["image/class/multi_hot"], fields["image/class/ignore"]
                if not len(multi_hot) == len(ignore) == num_classes:
                    raise ValueError(f"has labels of {len(multi_hot)} classes, the manifest names {num_classes}")
                labels.append((multi_hot, ignore))
                if manifest.has_label_vectors:  # other programs number classes in their own way, and need no ids
                    yield from _name_faults(fields, classes, where)
                    if number < len(ids) and fields["image/source_id"] != [ids[number].encode()]:
                        yield f"{where}: holds image {fields['image/source_id'][0].decode()!r}"
                yield from _picture_faults(fields["image/encoded"][0], fields, where)
            except (ValueError, KeyError, IndexError) as err:
                yield f"{where}: {err}"
    except FileNotFoundError:
        return  # find_faults has said so
    except ValueError as err:
        yield f"{err}{f', image {ids[number + 1]}' if number + 1 < len(ids) else ''}"
        return
    if number + 1 != shard.num_examples:
        yield f"{path}: holds {number + 1} records, the manifest says {shard.num_examples}"


def _name_faults(fields: dict[str, list], classes: tuple[str, ...], where: str) -> Iterator[str]:
    """Yields what does not agree between the names, numbers and labels of a record and the manifest's classes."""
    texts, numbers = fields["image/object/class/text"], fields["image/object/class/label"]
    for text, number in zip(texts, numbers, strict=True):
        if not 1 <= number <= len(classes) or classes[number - 1].encode() != text:
            name = classes[number - 1] if 1 <= number <= len(classes) else "none"
            yield f"{where}: an object is {text.decode(errors='replace')!r}, label {number} of the manifest is {name!r}"
            return
    present = {number - 1 for number in numbers}
    if {c for c, value in enumerate(fields["image/class/multi_hot"]) if value} != present:
        yield f"{where}: multi_hot is not what its objects say"


def _picture_faults(jpeg: bytes, fields: dict[str, list], where: str) -> Iterator[str]:
    recorded = fields.get("image/key/sha256")  # other programs may leave it out
    if recorded and hashlib.sha256(jpeg).hexdigest().encode() != recorded[0]:
        yield f"{where}: the image is not the one that was written (sha256)"
    try:
        picture = load_upright_jpeg(jpeg, path=where, max_pixels=1 << 62)
    except BadFileError as err:
        yield str(err)
        return
    if [picture.original_width, picture.original_height] != [fields["image/width"][0], fields["image/height"][0]]:
        yield f"{where}: the image is {picture.original_width} x {picture.original_height}, the record says otherwise"
