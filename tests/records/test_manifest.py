"""manifest.json says what a folder of records holds; a folder without a readable one is no data set."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from voc_tfdata.records.manifest import (
    MANIFEST_NAME,
    SCHEMA_VERSION,
    Manifest,
    Shard,
    Split,
    find_split,
    format_manifest,
    read_manifest,
)


def make_split(num_examples: int = 3) -> Split:
    return Split(
        num_examples=num_examples,
        shards=(Shard("voc-train-00000-of-00001.tfrecord", num_examples, 100, "0a1b2c3d"),),
        ids_file="voc-train-ids.txt",
        ids_crc32c="00000000",
        positives={"dog": 2, "日本": 1},
        ignores={"dog": 0, "日本": 1},
        num_objects=4,
        num_unlabelled=1,
    )


def make_manifest() -> Manifest:
    return Manifest(
        classes=("dog", "日本"),
        seed=7,
        options={"split_ratios": {"train": 0.7, "val": 0.3}, "splits": None, "num_shards": None},
        splits={"train": make_split(), "val": make_split(0)},
        skipped=({"path": "JPEGImages/a.jpg", "reason": "is empty"},),
        warnings={"class name spelt differently": 2},
        package_version="1.2.3",
    )


def write(folder: Path, text: str | bytes) -> Path:
    (folder / MANIFEST_NAME).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def test_a_manifest_reads_back_equal(tmp_path: Path) -> None:
    manifest = make_manifest()
    assert read_manifest(write(tmp_path, format_manifest(manifest))) == manifest
    assert read_manifest(str(tmp_path)) == manifest


def test_the_text_is_json_with_the_documented_keys_and_no_time_in_it() -> None:
    text = format_manifest(make_manifest())
    fields = json.loads(text)
    assert fields["schema_version"] == SCHEMA_VERSION and fields["seed"] == 7
    assert fields["splits"]["train"]["shards"][0]["crc32c"] == "0a1b2c3d"
    assert fields["skipped"] == [{"path": "JPEGImages/a.jpg", "reason": "is empty"}]
    assert not any(word in text.lower() for word in ("time", "date", "/tmp", "worker"))


def test_the_checksum_changes_with_any_content() -> None:
    manifest = make_manifest()
    assert manifest.checksum == make_manifest().checksum
    others = [
        replace(manifest, seed=8),
        replace(manifest, classes=("日本", "dog")),
        replace(manifest, warnings={}),
        replace(manifest, splits={"train": replace(make_split(), ids_crc32c="00000001"), "val": make_split(0)}),
    ]
    assert len({m.checksum for m in [manifest, *others]}) == 5


def test_a_folder_without_a_manifest_is_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(
            FileNotFoundError, match="no .*manifest.json: not a .complete. data set; run: build_tfrecords"
        ):
            read_manifest(folder)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"text"',
        "{}",
        '{"schema_version": 1}',
        '{"name": "a web app"}',
        b"\xff\xfe\x00",
        format_manifest(make_manifest())[:300],
        format_manifest(make_manifest()).replace('"seed"', '"sead"'),
        format_manifest(make_manifest()).replace('"crc32c"', '"crc"'),
        '{"schema_version": 1, "splits": 3, "classes": [], "skipped": []}',
    ],
)
def test_a_damaged_or_foreign_manifest_is_refused_with_its_path(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(ValueError, match="manifest.json is damaged.*build the records again"):
        read_manifest(write(tmp_path, text))


def test_a_manifest_of_another_schema_is_refused_with_the_remedy(tmp_path: Path) -> None:
    text = format_manifest(replace(make_manifest(), schema_version=99))
    with pytest.raises(ValueError, match="has schema version 99, this voc_tfdata reads 1; install"):
        read_manifest(write(tmp_path, text))


def test_a_split_or_a_union_is_found_by_name() -> None:
    manifest = replace(make_manifest(), splits={"train": make_split(), "val": make_split(), "test": make_split(0)})
    assert find_split(manifest, "val", "dir") == ("val",)
    assert find_split(manifest, "train + val", "dir") == ("train", "val")
    with pytest.raises(ValueError, match="no split 'tset' in dir; it has: train, val, test"):
        find_split(manifest, "train+tset", "dir")
    with pytest.raises(ValueError, match="split 'test' in dir holds no example"):
        find_split(manifest, "test", "dir")
    with pytest.raises(ValueError, match="names a split twice"):
        find_split(manifest, "train+train", "dir")
