"""A whole conversion: what gets into the records, what is refused by name, what is left of an old data set."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from tests.convert.converting import GOOD, TEN, convert
from tests.devkit_fixture import (
    draw_noise,
    encode,
    files_in,
    plain_jpeg,
    sample,
    write_devkit,
)
from voc_tfdata.convert.build import build_records
from voc_tfdata.convert.shards import BadFilesError
from voc_tfdata.records.manifest import MANIFEST_NAME
from voc_tfdata.records.split_source import find_source, open_split


def test_a_tar_gives_the_records_of_its_folder(tmp_path: Path) -> None:
    root = write_devkit(
        tmp_path / "VOCdevkit/VOC2012", TEN | {"bad": sample("dog", picture=b"x")}, {"trainval": [*TEN, "bad"]}
    )
    tar = shutil.make_archive(str(tmp_path / "voc"), "tar", tmp_path, "VOCdevkit")
    convert(root, tmp_path / "from_folder", on_error="skip")
    convert(Path(tar), tmp_path / "from_tar", on_error="skip")
    assert files_in(tmp_path / "from_tar") == files_in(tmp_path / "from_folder")


# The same input and options give the same bytes.


def test_neither_place_nor_directory_order_nor_links_change_a_byte(tmp_path: Path) -> None:
    first = write_devkit(tmp_path / "a/VOC", TEN)
    convert(first, tmp_path / "out1", split_ratios=None)
    second = tmp_path / "b/elsewhere"
    names = [str(path.relative_to(first)) for path in first.rglob("*.*")]
    random.Random(1).shuffle(names)
    for name in names:
        (second / name).parent.mkdir(parents=True, exist_ok=True)
        (second / name).symlink_to(first / name)
    convert(second, tmp_path / "out2", split_ratios=None)
    assert files_in(tmp_path / "out1") == files_in(tmp_path / "out2")


# Never half done


def test_another_data_set_is_refused_before_the_pictures_are_read(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN)
    convert(root, tmp_path / "out")
    before = files_in(tmp_path / "out")
    (root / "JPEGImages/im0.jpg").write_bytes(b"would be found bad")
    for options in (
        {"seed": 1},
        {"num_shards": 2},
        {"split_ratios": None},
        {"store": "resized"},
        {"classes": ["dog", "cat"]},
    ):
        with pytest.raises(ValueError, match="out holds another data set .*; add --overwrite"):
            convert(root, tmp_path / "out", **options)
    write_devkit(root, {"im1": sample("cow")})
    with pytest.raises(ValueError, match="holds another data set"):
        convert(root, tmp_path / "out")
    assert files_in(tmp_path / "out") == before


def test_other_pictures_under_the_same_names_are_another_data_set(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN)
    convert(root, tmp_path / "out")
    before = files_in(tmp_path / "out")
    (root / "JPEGImages/im0.jpg").write_bytes(plain_jpeg((9, 9, 9)))
    with pytest.raises(ValueError, match="holds another data set"):
        convert(root, tmp_path / "out")
    assert files_in(tmp_path / "out") == before
    convert(root, tmp_path / "out", overwrite=True)
    assert files_in(tmp_path / "out") != before


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_file_that_became_bad_is_named_whatever_out_dir_holds(tmp_path: Path, dry_run: bool) -> None:
    root = write_devkit(tmp_path / "VOC", {"a": sample("dog"), "b": sample("cat")})
    convert(root, tmp_path / "out")
    (root / "Annotations/b.xml").write_text("<annotation>")
    with pytest.raises(BadFilesError, match=r"1 bad file, nothing was written:\n.*b\.xml"):
        convert(root, tmp_path / "out", dry_run=dry_run)


def test_the_same_data_set_is_accepted_and_mended(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN | {"bad": sample("dog", picture=b"x")})
    convert(root, tmp_path / "out", on_error="skip")
    before = files_in(tmp_path / "out")
    shard = tmp_path / "out/voc-all-00000-of-00001.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-1])
    convert(root, tmp_path / "out", on_error="skip")
    assert files_in(tmp_path / "out") == before


def test_overwriting_with_bad_files_leaves_the_old_set_usable(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN)
    convert(root, tmp_path / "out")
    before = files_in(tmp_path / "out")
    write_devkit(root, {"bad": sample("dog", picture=b"x")})
    with pytest.raises(BadFilesError):
        convert(root, tmp_path / "out", overwrite=True)
    assert files_in(tmp_path / "out") == before
    assert open_split(find_source(tmp_path / "out", "all")).num_examples == 10


def test_fewer_shards_leave_none_of_the_old_ones(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN)
    convert(root, tmp_path / "out", num_shards=5)
    convert(root, tmp_path / "out", num_shards=2, overwrite=True)
    convert(root, tmp_path / "fresh", num_shards=2)
    assert files_in(tmp_path / "out") == files_in(tmp_path / "fresh")


def test_a_foreign_manifest_is_refused(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / MANIFEST_NAME).write_text('{"name": "web app"}')
    with pytest.raises(ValueError, match="holds a manifest.json that is not of these records .*--overwrite"):
        convert(root, tmp_path / "out")


def test_a_dry_run_without_out_dir_does_not_look_at_the_current_folder(tmp_path: Path, monkeypatch) -> None:
    convert(write_devkit(tmp_path / "VOC", GOOD), tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")  # of another data set
    assert convert(write_devkit(tmp_path / "VOC2", TEN), "", dry_run=True).num_examples == 10


def test_a_dry_run_reports_the_same_and_writes_nothing(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN | {"bad": sample("dog", picture=b"x"), "lone": sample(xml=None)})
    with pytest.raises(BadFilesError) as dry:
        convert(root, "", dry_run=True)
    with pytest.raises(BadFilesError) as real:
        convert(root, tmp_path / "out")
    assert str(dry.value) == str(real.value)
    dry_report = convert(root, tmp_path / "out", dry_run=True, on_error="skip", num_shards=2)
    assert sorted(os.listdir(tmp_path)) == ["VOC"]
    report = convert(root, tmp_path / "out", on_error="skip", num_shards=2)
    assert not dry_report.written and report.written
    assert (list(dry_report.warnings), list(map(str, dry_report.skipped))) == (
        list(report.warnings),
        list(map(str, report.skipped)),
    )
    for name, split in report.manifest.splits.items():
        dry_split = dry_report.manifest.splits[name]
        assert [s.num_bytes for s in dry_split.shards] == [s.num_bytes for s in split.shards]
        assert (dry_split.num_examples, dry_split.positives) == (split.num_examples, split.positives)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_shards": 0}, "--num_shards=0: it must be at least 1"),
        ({"num_workers": -1}, "--num_workers=-1"),
        ({"store_size": 0, "store": "resized"}, "--store_size=0"),
        ({"max_pixels": 0}, "--max_pixels=0"),
        ({"on_error": "ignore"}, "--on_error=ignore: it is one of fail, skip"),
        ({"store": "small"}, "--store=small: it is one of original, resized"),
        ({"classes": []}, "class list is empty"),
        ({"classes": ["dog", "Dog"]}, "names a class twice"),
        ({"splits": ["train"], "split_ratios": "train=1"}, "exclude each other"),
        ({"split_ratios": "train=0.5"}, "add up to 0.5"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_read(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_records(tmp_path / "nowhere", tmp_path / "out", **options)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", GOOD)
    with pytest.raises(ValueError, match="--out_dir is empty"):
        convert(root, "")


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space|File too large"):
        _convert_with_a_file_size_limit(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["VOC"]


def _convert_with_a_file_size_limit(tmp_path: Path) -> None:
    """The kernel's limit on file sizes stands in for a full disk: write() fails in the middle of a part."""
    import resource
    import signal

    root = write_devkit(
        tmp_path / "VOC", {f"im{k}": sample("dog", picture=encode(draw_noise(), "JPEG")) for k in range(40)}
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
    try:
        convert(root, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
