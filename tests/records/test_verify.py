"""verify_records and open_split find every kind of damage and name it."""

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.devkit_fixture import difficult, sample, write_devkit
from voc_tfdata.convert.build import build_records
from voc_tfdata.records.examples import ExampleObject, encode_example
from voc_tfdata.records.manifest import MANIFEST_NAME, format_manifest, read_manifest
from voc_tfdata.records.split_source import find_source, open_split
from voc_tfdata.records.tfrecord import crc32c_of_file, format_index
from voc_tfdata.records.verify import verify_records
from voc_tfdata.remote.frames import frame_record

SHARD = "voc-train-00000-of-00002.tfrecord"


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Ten images in one split of two shards."""
    samples = {f"im{k}": sample("dog", difficult("cat")) for k in range(10)}
    root = write_devkit(tmp_path / "VOC", samples)
    build_records(root, tmp_path / "records", split_ratios="train=1", num_shards=2, num_workers=1)
    return tmp_path / "records"


def test_an_undamaged_set_has_no_fault(records: Path) -> None:
    assert verify_records(records) == []
    assert open_split(find_source(records, "train")).num_examples == 10


def test_a_flipped_byte_in_a_picture_names_shard_record_and_image(records: Path) -> None:
    data = bytearray((records / SHARD).read_bytes())
    first, second = (int(line.split()[0]) for line in (records / SHARD).with_suffix(".idx").read_text().split("\n")[:2])
    data[second + 200] ^= 1
    (records / SHARD).write_bytes(data)
    image_id = (records / "voc-train-ids.txt").read_text().split()[1]
    faults = verify_records(records)
    assert any(f"{SHARD}, record 1: damaged" in fault and fault.endswith(f"image {image_id}") for fault in faults)
    with pytest.raises(ValueError, match=f"{SHARD} is damaged or of another data set.*[Bb]uild the records again"):
        open_split(find_source(records, "train"))
    # The size is right; only a checksum can tell.
    assert open_split(find_source(records, "train"), check="sizes").num_examples == 10


def test_a_cut_shard_is_named_with_both_sizes(records: Path) -> None:
    size = os.path.getsize(records / SHARD)
    os.truncate(records / SHARD, size - 5)
    with pytest.raises(ValueError, match=rf"{SHARD} has {size - 5:,} bytes, the manifest says {size:,}"):
        open_split(find_source(records, "train"), check="sizes")
    assert any(f"{SHARD}, record 4: damaged or cut off" in fault for fault in verify_records(records))


def test_an_empty_shard_is_found(records: Path) -> None:
    (records / SHARD).write_bytes(b"")
    assert any(f"{SHARD} has 0 bytes" in fault for fault in verify_records(records))
    assert any("holds 0 records, the manifest says 5" in fault for fault in verify_records(records))
    with pytest.raises(ValueError, match=f"{SHARD} has 0 bytes"):
        open_split(find_source(records, "train"), check="sizes")


@pytest.mark.parametrize("name", [SHARD, SHARD.replace(".tfrecord", ".idx"), "voc-train-ids.txt"])
def test_a_missing_file_is_named(records: Path, name: str) -> None:
    (records / name).unlink()
    assert f"{records / name} is missing" in verify_records(records)
    with pytest.raises(ValueError, match=f"{name} is missing"):
        open_split(find_source(records, "train"))


def test_a_shard_of_another_data_set_is_found(records: Path, tmp_path: Path) -> None:
    samples = {f"ix{k}": sample("dog", difficult("cat")) for k in range(10)}
    other_root = write_devkit(tmp_path / "other", samples)
    build_records(other_root, tmp_path / "other_records", split_ratios="train=1", num_shards=2, num_workers=1)
    shutil.copy(tmp_path / "other_records" / SHARD, records / SHARD)
    with pytest.raises(ValueError, match=f"{SHARD} (is damaged or of another data set|has)"):
        open_split(find_source(records, "train"))
    assert any("holds image 'ix" in fault for fault in verify_records(records))


@pytest.mark.parametrize("text", ["", "0 5\n", "no numbers\n", "0 1 2\n"])
def test_an_index_that_does_not_fit_is_found(records: Path, text: str) -> None:
    (records / SHARD).with_suffix(".idx").write_text(text)
    with pytest.raises(ValueError, match=r"\.idx (does not fit|is damaged)"):
        open_split(find_source(records, "train"), check="sizes")


def test_a_picture_that_is_no_jpeg_is_found_though_all_checksums_are_right(records: Path) -> None:
    manifest = read_manifest(records)
    _replace_shard(records, [b"\xff\xd8 no image"] * 5)
    faults = verify_records(records)
    assert (
        len(faults) == 5
        and "record 0, image " in faults[0]
        and "damaged header" in faults[0]
        or "no image" in faults[0]
    )
    assert read_manifest(records).splits["train"].num_examples == manifest.splits["train"].num_examples


def test_an_index_whose_lines_are_shifted_is_found(records: Path) -> None:
    path = records / SHARD.replace(".tfrecord", ".idx")
    lines = [[int(n) for n in line.split()] for line in path.read_text().splitlines()]
    lines[0][1] += 1  # the first record one byte longer, the second begins and ends a byte later or shorter
    lines[1] = [lines[1][0] + 1, lines[1][1] - 1]
    path.write_text("".join(f"{offset} {size}\n" for offset, size in lines))
    with pytest.raises(ValueError, match=f"{path.name} does not fit {SHARD}: record 0 is not where line 1 says"):
        open_split(find_source(records, "train"))
    assert f"{path} does not fit {SHARD}: record 0 is not where line 1 says" in verify_records(records)


def test_swapped_class_names_are_found(records: Path) -> None:
    manifest = read_manifest(records)
    swapped = list(manifest.classes)
    first, second = swapped.index("dog"), swapped.index("cat")
    swapped[first], swapped[second] = swapped[second], swapped[first]
    (records / MANIFEST_NAME).write_text(format_manifest(replace(manifest, classes=tuple(swapped))))
    faults = verify_records(records)
    assert any("an object is 'dog', label 12 of the manifest is 'cat'" in fault for fault in faults), faults


def test_ids_beyond_the_records_are_found(records: Path) -> None:
    ids = records / "voc-train-ids.txt"
    ids.write_text(ids.read_text() + "more\n")
    assert f"{ids}: names 1 images more than the records hold" in verify_records(records)


def test_records_of_other_classes_than_the_manifests_are_found(records: Path) -> None:
    path = records / "manifest.json"
    fields = json.loads(path.read_text())
    gone = fields["classes"].pop()
    for split in fields["splits"].values():
        del split["positives"][gone], split["ignores"][gone]
    del fields["checksum"]  # as whoever edits it would
    path.write_text(json.dumps(fields))
    faults = verify_records(records)
    assert f"{records / SHARD}, record 0, image" in faults[0]
    assert "has labels of 20 classes, the manifest names 19" in faults[0]


def _replace_shard(records: Path, jpegs: list[bytes]) -> None:
    """Puts a consistent shard (frames, index, checksum, manifest) with these images in the place of the first."""
    ids = (records / "voc-train-ids.txt").read_text().split()
    objects = [
        ExampleObject("dog", 11, (0, 0, 1, 1), False, False, ""),
        ExampleObject("cat", 7, (0, 0, 1, 1), True, False, ""),
    ]
    frames = [
        frame_record(
            encode_example(
                image_id=image_id,
                filename=f"{image_id}.jpg",
                jpeg=jpeg,
                sha256=hashlib.sha256(jpeg).hexdigest(),
                height=1,
                width=1,
                objects=objects,
                num_classes=20,
            )
        )
        for image_id, jpeg in zip(ids, jpegs, strict=False)
    ]
    (records / SHARD).write_bytes(b"".join(frames))
    (records / SHARD).with_suffix(".idx").write_text(format_index([len(frame) for frame in frames]))
    manifest = read_manifest(records)
    split = manifest.splits["train"]
    first = replace(split.shards[0], num_bytes=sum(map(len, frames)), crc32c=crc32c_of_file(records / SHARD))
    split = replace(split, shards=(first, *split.shards[1:]))
    (records / MANIFEST_NAME).write_text(format_manifest(replace(manifest, splits={"train": split})))


def test_labels_that_do_not_add_up_to_the_manifest_are_found(records: Path) -> None:
    manifest = read_manifest(records)
    split = manifest.splits["train"]
    wrong = replace(split, positives={**split.positives, "dog": 9})  # ten images show a dog
    (records / MANIFEST_NAME).write_text(format_manifest(replace(manifest, splits={"train": wrong})))
    assert verify_records(records) == [
        "split train: the labels of the records do not add up to the counts of the manifest"
    ]


def test_no_manifest_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"manifest\.json: not a \(complete\) data set; run: build_tfrecords"):
        verify_records(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"schema_version": 1}', "null", '{"schema_version": 1, "splits": {"a": {}}}', "\udcff"]
)
def test_a_damaged_manifest_is_named(records: Path, text: str) -> None:
    (records / MANIFEST_NAME).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"manifest\.json is damaged.*build the records again"):
        verify_records(records)


def test_a_newer_schema_is_refused_with_both_versions(records: Path) -> None:
    (records / MANIFEST_NAME).write_text('{"schema_version": 7}')
    with pytest.raises(ValueError, match="schema version 7, this voc_tfdata reads 1"):
        verify_records(records)
