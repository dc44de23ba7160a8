"""Files by stem, and their bytes, read ahead."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from voc_tfdata.devkit.source_files import BadFileError, FilesByStem, SourceFile, read_ahead, stem_of


@pytest.mark.parametrize(
    "name, stem",
    [
        ("a.jpg", "a"),
        ("cam.v2.001.jpg", "cam.v2.001"),
        ("end..jpg", "end."),
        ("2021-01-26_18.14.00.mp4_760.jpg", "2021-01-26_18.14.00.mp4_760"),
        ("photo 5.JPEG", "photo 5"),
        ("pjpg.jpg", "pjpg"),  # str.strip(".jpg") would leave ""
        ("gap.jpg.xml", "gap.jpg"),
        ("none", "none"),
        (".jpg", ".jpg"),
    ],
)
def test_the_stem_is_the_name_less_its_last_suffix(name: str, stem: str) -> None:
    assert stem_of(name) == stem


def test_files_are_found_by_stem_and_by_name() -> None:
    rows = [(".jpg", "", 0, 6, 0), ("a", "", 0, 4, 0), ("a", ".jpg", 0, 3, 0), ("a", ".png", 7, 2, 0)]
    rows.append(("a.b", ".jpg", 0, 5, 0))
    rows.append(("b", ".jpg", 0, 1, 0))
    files = FilesByStem(["VOC/JPEGImages/"], rows)
    assert list(files) == [".jpg", "a", "a.b", "b"] and len(files) == 4
    assert [(f.name, f.offset, f.size) for f in files["a"]] == [("a", 0, 4), ("a.jpg", 0, 3), ("a.png", 7, 2)]
    assert files["b"] == (SourceFile("VOC/JPEGImages/b.jpg", "VOC/JPEGImages/b.jpg", 0, 1, 15),)
    assert "a.b.jpg" not in files and files.get("c") is None and files.get("") is None
    assert files.named("a.png") == files["a"][2] and files.named("a.jpeg") is None and files.named("c") is None
    assert FilesByStem(["it.tar/VOC/"], rows, "it.tar")["b"][0].container == "it.tar"


def test_there_may_be_more_files_than_are_looked_into_at_once() -> None:
    rows = [(f"{k:05}", suffix, 0, k, 0) for k in range(2000) for suffix in (".jpg", ".png")[: 1 + (k % 3 == 0)]]
    files = FilesByStem([""], rows)
    assert list(files) == [f"{k:05}" for k in range(2000)] and len(files) == 2000
    for k in (*range(2000), *range(1999, 0, -7)):
        assert [f.size for f in files[f"{k:05}"]] == [k] * (1 + (k % 3 == 0))
    assert all(name not in files for name in ("", "0000", "00000a", "019990", "z"))


def test_files_are_read_ahead_in_order_and_bad_ones_say_so_in_their_place(tmp_path: Path) -> None:
    for k in range(12):
        (tmp_path / f"{k}.jpg").write_bytes(bytes([k]) * 1000 * k)
    os.unlink(tmp_path / "7.jpg")
    opened = len(os.listdir("/proc/self/fd"))
    files = [SourceFile(f"{k}.jpg", f"{tmp_path}/{k}.jpg", 0, 1000 * k) for k in range(12)]
    contents = list(read_ahead(files))
    assert "7.jpg: cannot be read (No such file" in str(contents.pop(7))
    assert contents == [bytes([k]) * 1000 * k for k in range(12) if k != 7]
    assert len(os.listdir("/proc/self/fd")) == opened


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (found,) = read_ahead([SourceFile("gone.jpg", str(tmp_path / "gone.jpg"), 0, 0)])
    assert isinstance(found, BadFileError) and "gone.jpg: cannot be read (No such file" in str(found)
