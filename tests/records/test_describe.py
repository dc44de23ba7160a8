"""A manifest and warnings as text."""

from __future__ import annotations

from voc_tfdata.devkit.source_files import Notice
from voc_tfdata.records.describe import describe_manifest, describe_notices, format_table
from voc_tfdata.records.manifest import Manifest, Shard, Split


def test_the_tables_count_images_objects_and_classes() -> None:
    shards = (Shard("a.tfrecord", 1000, 2_000_000, "00000000"), Shard("b.tfrecord", 234, 5, "00000000"))
    split = Split(1234, shards, "ids.txt", "00000000", {"dog": 1000, "cat": 2}, {"dog": 0, "cat": 30}, 1500, 7)
    lines = describe_manifest(Manifest(("dog", "cat"), 0, {}, {"train": split})).splitlines()
    assert lines[1].split() == ["train", "1,234", "7", "1,500", "1,002", "30", "2", "2,000,005"]
    assert lines[3].split() == ["class", "train"]
    assert lines[4].split() == ["dog", "1,000"] and lines[5].split() == ["cat", "2", "(30)"]


def test_classes_that_no_image_shows_are_named_in_a_line() -> None:
    counts, difficult = {"dog": 3, "cat": 0, "cow": 0, "sofa": 0}, {"dog": 0, "cat": 0, "cow": 0, "sofa": 2}
    split = Split(3, (Shard("a.tfrecord", 3, 5, "00000000"),), "ids.txt", "00000000", counts, difficult, 3, 0)
    manifest = Manifest(tuple(counts), 0, {}, {"train": split})
    assert describe_manifest(manifest).splitlines()[-1] == "no image shows cat, cow: nothing can be learnt about them"
    counts["cat"] = counts["cow"] = 1
    assert "no image shows" not in describe_manifest(manifest)


def test_the_first_five_of_a_kind_are_shown_and_the_others_counted() -> None:
    notices = [Notice("odd", f"file {k}") for k in range(8)] + [Notice("rare", "x\x1b[31m\u2028y")]
    assert describe_notices(notices).splitlines() == [
        "odd: 8",
        *(f"  file {k}" for k in range(5)),
        "  and 3 more",
        "rare: 1",
        "  x\\x1b[31m\\u2028y",  # nothing that a terminal would act on
    ]


def test_the_first_column_is_left_justified_and_the_others_right() -> None:
    assert format_table(["a", "number"], [["long name", "1"]]).splitlines() == [
        "a          number",
        "long name       1",
    ]
