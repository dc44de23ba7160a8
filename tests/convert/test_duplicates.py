"""Identical images: ratios never part them, whatever the seed; lists that part them are told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.convert.converting import convert, ids_of, kinds_of
from tests.devkit_fixture import draw_noise, encode, sample, with_comment, write_devkit
from voc_tfdata.convert import duplicates
from voc_tfdata.convert.shards import BadFilesError
from voc_tfdata.devkit.source_files import SourceFile

TWINS = encode(draw_noise(32, 24, seed=9), "JPEG")


def write_twins(root: Path, num_pairs: int = 6, singles: int = 18) -> Path:
    """Pairs p{k}a, p{k}b of identical images, with other labels each, and images of their own."""
    samples = {}
    for k in range(num_pairs):
        picture = with_comment(TWINS, k)
        samples |= {f"p{k}a": sample("dog", picture=picture), f"p{k}b": sample("cat", picture=picture)}
    for k in range(singles):
        samples[f"s{k}"] = sample("dog" if k % 2 else "cat", picture=with_comment(TWINS, 100 + k))
    return write_devkit(root, samples)


@pytest.mark.parametrize("seed", range(5))
def test_ratios_keep_identical_images_in_one_split(tmp_path: Path, seed: int) -> None:
    root = write_twins(tmp_path / "VOC")
    report = convert(root, tmp_path / "out", split_ratios="train=0.5,val=0.3,test=0.2", seed=seed)
    split_of = {image_id: name for name, ids in ids_of(tmp_path / "out").items() for image_id in ids}
    assert len(split_of) == 30
    for k in range(6):
        assert split_of[f"p{k}a"] == split_of[f"p{k}b"]
    assert kinds_of(report) == {"identical images with other labels": 6}
    # 24 different images, dealt out by the shares; the other of each pair comes on top.
    firsts = [[i for i in ids if not i.endswith("b")] for ids in ids_of(tmp_path / "out").values()]
    assert [len(ids) for ids in firsts] == [12, 7, 5]


def test_workers_find_the_same_copies(tmp_path: Path) -> None:
    root = write_twins(tmp_path / "VOC")
    for number in (1, 2):
        convert(root, tmp_path / f"out{number}", split_ratios="train=0.5,val=0.5", num_workers=number)
    assert ids_of(tmp_path / "out1") == ids_of(tmp_path / "out2")


def test_strict_duplicates_refuses_what_the_labels_contradict(tmp_path: Path) -> None:
    with pytest.raises(BadFilesError, match=r"p0a .*, p0b .*identical images with other labels"):
        convert(write_twins(tmp_path / "VOC"), tmp_path / "out", strict_duplicates=True)


def test_images_of_one_size_that_differ_are_no_copies_and_the_middle_decides_first(tmp_path: Path) -> None:
    contents = [b"a" * 9000, b"a" * 4500 + b"b" * 4500, b"b" + b"a" * 8999]  # the third differs from the first in front
    files = []
    for number, data in enumerate(contents):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(data)
        files.append((number, SourceFile(str(path), str(path), 0, len(data))))
    middles = dict(
        (place, digest) for digest, place in duplicates.digest_chunk(duplicates.DigestTask(tuple(files), False))
    )
    assert middles[0] == middles[2] != middles[1]
    wholes = {digest for digest, _ in duplicates.digest_chunk(duplicates.DigestTask(tuple(files), whole=True))}
    assert len(wholes) == 3


def test_an_image_that_is_gone_is_no_copy(tmp_path: Path) -> None:
    path = tmp_path / "gone.jpg"
    gone = SourceFile(str(path), str(path), 0, 9)
    for whole in (False, True):
        assert duplicates.digest_chunk(duplicates.DigestTask(((0, gone),), whole)) == []
    os.mkdir(path)
    assert duplicates.digest_chunk(duplicates.DigestTask(((0, gone),), False)) == []


def test_an_image_that_two_lists_name_is_no_copy_of_itself(tmp_path: Path) -> None:
    picture = with_comment(TWINS, 1)
    samples = {"a": sample("dog", picture=picture), "b": sample("dog", picture=picture), "c": sample("cat")}
    lists = {"train": ["a", "b"], "val": ["c"], "trainval": ["a", "b", "c"]}
    root = write_devkit(tmp_path / "VOC", samples, lists)
    assert kinds_of(convert(root, tmp_path / "union", splits=["train", "val", "trainval"])) == {}
    lists = {"train": ["a"], "val": ["b", "c"], "trainval": ["a", "b", "c"]}
    root = write_devkit(tmp_path / "parted", samples, lists)
    report = convert(root, tmp_path / "out", splits=["train", "val", "trainval"])
    assert kinds_of(report) == {"identical images in several splits": 1}
