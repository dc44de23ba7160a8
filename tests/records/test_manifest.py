"""manifest.json says what a folder of records holds; a folder without a readable one is no data set."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
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


def make_split(name: str = "train", num_examples: int = 3) -> Split:
    some = num_examples > 0
    return Split(
        num_examples=num_examples,
        shards=(Shard(f"voc-{name}-00000-of-00001.tfrecord", num_examples, 100, "0a1b2c3d"),) if some else (),
        ids_file=f"voc-{name}-ids.txt",
        ids_crc32c="00000000",
        positives={"dog": 2 * some, "日本": 1 * some},
        ignores={"dog": 0, "日本": 1 * some},
        num_objects=4 * some,
        num_unlabelled=1 * some,
    )


def make_manifest() -> Manifest:
    return Manifest(
        classes=("dog", "日本"),
        seed=7,
        options={"split_ratios": {"train": 0.7, "val": 0.3}, "splits": None, "num_shards": None},
        splits={"train": make_split(), "val": make_split("val", 0)},
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
        replace(manifest, splits={"train": replace(make_split(), ids_crc32c="00000001"), "val": make_split("val", 0)}),
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


WRONG: list[tuple[str, Any, str]] = [  # place in the JSON, value, what the error says of it
    (
        "splits.train.ids_file",
        "../../.bashrc",
        "splits.train.ids_file is '../../.bashrc'; it must be the name",
    ),
    ("splits.train.ids_file", "/etc/passwd", "must be the name of a file in this folder"),
    ("splits.train.ids_file", "a\\b", "must be the name of a file in this folder"),
    ("splits.train.ids_file", ".ssh", "must be the name of a file in this folder"),
    ("splits.train.ids_file", "a\x00b", "printable"),
    ("splits.train.ids_file", "", "printable"),
    ("splits.train.ids_file", "a" * 300, "printable"),
    ("splits.train.ids_file", "manifest.json", "listed twice or reserved"),
    ("splits.train.ids_file", ["a"], "splits.train.ids_file is a list, not a text"),
    ("splits.train.shards.0.file", "..", "splits.train.shards[0].file is '..'"),
    ("splits.train.shards.0.file", "sub/a.tfrecord", "must be the name of a file in this folder"),
    ("splits.train.shards.0.file", "voc-train-ids.txt", "listed twice or reserved"),
    ("splits.train.shards.0.crc32c", "xyz", "must be 8 hexadecimal digits"),
    ("splits.train.shards.0.num_bytes", 47, "it must be 48 to"),  # 3 frames of 16 bytes and more
    ("splits.train.shards.0.num_bytes", 1e300, "a number, not a whole number"),
    ("splits.train.shards.0.num_bytes", 2**80, "it must be 48 to"),
    ("splits.train.shards.0.num_examples", 2, "splits.train.num_examples is 3, its shards hold 2"),
    ("splits.train.shards.0", None, "splits.train.shards[0] is null, not an object"),
    ("splits.train.shards", {}, "splits.train.shards is an object, not a list"),
    ("splits.train.num_examples", 5, "splits.train.num_examples is 5, its shards hold 3"),
    ("splits.train.num_examples", True, "is true or false, not a whole number"),
    ("splits.train.num_unlabelled", 4, "it must be 0 to 3"),
    ("splits.train.positives", {"dog": 1}, "splits.train.positives.日本 is missing"),
    ("splits.train.positives.dog", 9, "splits.train.positives.dog is 9; it must be 0 to 3"),
    ("splits.train.ignores.dog", -1, "splits.train.ignores.dog is -1"),
    ("splits.train.more", 1, "splits.train.'more' is not known"),
    ("splits.a/b", {}, "splits has the name 'a/b'"),
    ("splits.val", 3, "splits.val is a number, not an object"),
    ("splits", [], "splits is a list, not an object"),
    ("classes", ["dog", "dog"], "classes is empty or names one twice"),
    ("classes", [], "classes is empty or names one twice"),
    ("classes", "dog", "classes is a text, not a list"),
    ("classes.1", 3, "classes[1] is a number, not a text"),
    ("classes.1", "a\x1b[31m", "classes[1] is 'a\\x1b[31m'; it must be 1 to 200 printable characters"),
    ("seed", "7", "seed is a text, not a whole number"),
    ("options", [], "options is a list, not an object"),
    ("skipped.0", 3, "skipped[0] is a number, not an object"),
    ("skipped.0.path", 3, "skipped[0].path is a number, not a text"),
    ("warnings.x", "y", "warnings.x is a text, not a whole number"),
    ("package_version", None, "package_version is null, not a text"),
    ("schema_version", 0, "schema_version is 0; it must be 1"),
    ("schema_version", "1", "schema_version is a text, not a whole number"),
]


@pytest.mark.parametrize(("place", "value", "message"), WRONG)
def test_a_field_of_a_wrong_kind_or_range_is_named(tmp_path: Path, place: str, value: Any, message: str) -> None:
    fields = json.loads(format_manifest(make_manifest()))
    del fields["checksum"]  # whoever writes such a file writes its checksum, too
    *way, last = [int(key) if key.isdigit() else key for key in place.split(".")]
    target: Any = fields
    for key in way:
        target = target[key]
    target[last] = value
    with pytest.raises(ValueError) as caught:
        read_manifest(write(tmp_path, json.dumps(fields)))
    assert "manifest.json is damaged: " in str(caught.value) and message in str(caught.value)
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


def test_what_was_edited_is_not_believed(tmp_path: Path) -> None:
    text = format_manifest(make_manifest())
    swapped = text.replace('"dog",\n  "日本"', '"日本",\n  "dog"')
    assert swapped != text
    with pytest.raises(ValueError, match="manifest.json is damaged: it was edited after it was written"):
        read_manifest(write(tmp_path, swapped))


def test_a_manifest_from_before_the_checksum_is_read(tmp_path: Path) -> None:
    fields = json.loads(format_manifest(make_manifest()))
    del fields["checksum"]
    assert read_manifest(write(tmp_path, json.dumps(fields))) == make_manifest()


def test_no_flipped_byte_is_believed_and_none_is_worse_than_an_error(tmp_path: Path) -> None:
    data, random = format_manifest(make_manifest()).encode(), np.random.default_rng(0)
    for place, bit in zip(random.integers(0, len(data), 900), random.integers(0, 8, 900), strict=True):
        flipped = bytearray(data)
        flipped[place] ^= 1 << bit
        with pytest.raises(ValueError, match="manifest.json (is damaged|has schema version)"):
            read_manifest(write(tmp_path, bytes(flipped)))


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 50_000, "9" * 5000, '{"schema_version": ' + "9" * 5000 + "}"]
)
def test_json_that_breaks_parsers_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="manifest.json is damaged"):
        read_manifest(write(tmp_path, text))


def test_a_split_or_a_union_is_found_by_name() -> None:
    manifest = replace(
        make_manifest(), splits={"train": make_split(), "val": make_split("val"), "test": make_split("test", 0)}
    )
    assert find_split(manifest, "val", "dir") == ("val",)
    assert find_split(manifest, "train + val", "dir") == ("train", "val")
    with pytest.raises(ValueError, match="no split 'tset' in dir; it has: train, val, test"):
        find_split(manifest, "train+tset", "dir")
    with pytest.raises(ValueError, match="split 'test' in dir holds no example"):
        find_split(manifest, "test", "dir")
    with pytest.raises(ValueError, match="names a split twice"):
        find_split(manifest, "train+train", "dir")
