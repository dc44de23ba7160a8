"""Which image goes into which split: lists, folders, ratios."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.convert.converting import TEN, convert, flat, ids_of, kinds_of
from tests.devkit_fixture import draw_noise, encode, sample, write_devkit
from voc_tfdata.convert.build import build_records


def test_official_lists_decide_who_is_where(tmp_path: Path) -> None:
    lists = {"train": ["im0", "im1  1"], "val": ["im2.jpg"], "trainval": ["im0", "im1", "im2"], "test": ["im3"]}
    root = write_devkit(tmp_path / "VOC", TEN, lists)
    convert(root, tmp_path / "out", splits=("train", "val", "trainval", "test"))
    found = {name: sorted(ids) for name, ids in ids_of(tmp_path / "out").items()}
    assert found == {"train": ["im0", "im1"], "val": ["im2"], "trainval": ["im0", "im1", "im2"], "test": ["im3"]}
    assert list(found) == ["train", "val", "trainval", "test"]


def test_an_id_in_two_lists_an_unknown_one_and_an_empty_list_are_refused(tmp_path: Path) -> None:
    lists = {"train": ["im0", "im1"], "val": ["im1", "im2"], "bad": ["im9", "nobody"], "empty": [], "lone": ["pic"]}
    root = write_devkit(tmp_path / "VOC", TEN | {"pic": sample(xml=None)}, lists)
    for splits, message in (
        (("train", "val"), "1 image is in split 'train' and in 'val' .im1"),
        (("bad",), "bad.txt: names 1 ids .*: nobody"),
        (("train", "empty"), "empty.txt holds no id"),
        (("lone",), "none of the images in .*lone.txt has a file in .*Annotations"),
        (("train", "train"), "names a list twice"),
        (("train/x",), "split name 'train/x'"),
    ):
        with pytest.raises(ValueError, match=message):
            convert(root, tmp_path / "out", splits=splits)
    with pytest.raises(FileNotFoundError, match="no .*Main/test.txt; lists there: .*train, val"):
        convert(root, tmp_path / "out", splits=("test",))
    assert not (tmp_path / "out").exists()


def test_a_listed_picture_without_annotation_is_left_out_and_counted(tmp_path: Path) -> None:
    root = write_devkit(
        tmp_path / "VOC", TEN | {"pic": sample(xml=None), "far": sample(xml=None)}, {"train": ["im0", "pic"]}
    )
    report = convert(root, tmp_path / "out", splits=("train",))
    assert ids_of(tmp_path / "out") == {"train": ("im0",)}
    assert kinds_of(report) == {"picture without annotation": 2, "annotation in no list": 9}
    texts = [notice.text for notice in report.warnings]
    assert any(
        "im1.xml is in no list that is used (train); left out: --splits=none takes all" in text for text in texts
    )


def test_splits_none_takes_all_annotations_whatever_the_lists(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN, {"trainval": ["im0", "im1"]})
    report = convert(root, tmp_path / "some")
    assert report.num_examples == 2 and kinds_of(report) == {"annotation in no list": 8}
    report = convert(root, tmp_path / "all", splits=("none",))
    assert report.num_examples == 10 and kinds_of(report) == {}
    assert report.manifest.options["splits"] == ["none"]


def test_a_list_of_a_whole_release_is_an_error_or_goes_on_with_what_is_there(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN, {"train": [*TEN, *(f"x{k}" for k in range(30))]})
    with pytest.raises(ValueError, match="names 30 ids with neither .*x0, x1, .*and 20 more.*skip.*splits=none"):
        convert(root, tmp_path / "out", splits=("train",))
    report = convert(root, tmp_path / "out", splits=("train",), on_error="skip")
    assert report.num_examples == 10 and "names 30 ids" in report.manifest.skipped[0]["reason"]


def test_lists_that_are_not_used_are_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ids = list(TEN)
    root = write_devkit(tmp_path / "VOC", TEN, {"train": ids[:7], "val": ids[7:]})
    assert convert(root, tmp_path / "out").num_examples == 10
    assert "lists that are not used: train, val; --splits=train,val takes them, --splits=none says so" in caplog.text
    caplog.clear()
    convert(root, tmp_path / "none", splits=("none",))
    assert "not used" not in caplog.text


def test_folders_of_splits_may_hold_vocs_layout(tmp_path: Path) -> None:
    for split in ("Training", "validation"):
        write_devkit(tmp_path / "own" / split, {f"{split}{k}": sample("dog") for k in range(3)})
    build_records(tmp_path / "own", tmp_path / "out", num_workers=1)
    ids = {split: set(names) for split, names in ids_of(tmp_path / "out").items()}
    assert ids == {"train": {f"Training{k}" for k in range(3)}, "val": {f"validation{k}" for k in range(3)}}


def test_roboflows_folders_are_the_splits(tmp_path: Path) -> None:
    for split, names in (("train", {"a": "dog", "b": "cat"}), ("valid", {"c": "cow"}), ("test", {"d": "bus"})):
        flat(tmp_path / "own" / split, names)
    report = build_records(tmp_path / "own", tmp_path / "out", num_workers=1)
    assert {split: set(ids) for split, ids in ids_of(tmp_path / "out").items()} == {
        "train": {"a", "b"},
        "val": {"c"},
        "test": {"d"},
    }
    assert kinds_of(report) == {}
    mixed = convert(tmp_path / "own", tmp_path / "mixed", split_ratios="train=0.5,val=0.5")
    assert {name: split.num_examples for name, split in mixed.manifest.splits.items()} == {"train": 2, "val": 2}
    flat(tmp_path / "twice" / "train", {"a": "dog"})
    flat(tmp_path / "twice" / "test", {"a": "dog"})
    with pytest.raises(ValueError, match="several annotations of one stem: a.xml, a.xml"):
        convert(tmp_path / "twice", tmp_path / "none")


def test_files_outside_the_lists_are_not_looked_at(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN | {"broken": sample(xml=b"<")}, {"train": ["im0"]})
    convert(root, tmp_path / "out", splits=("train",))


def test_ratios_deal_out_trainval_where_there_is_one_and_else_all(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN)
    convert(root, tmp_path / "all", split_ratios=None)
    assert {name: len(ids) for name, ids in ids_of(tmp_path / "all").items()} == {"train": 7, "val": 2, "test": 1}
    write_devkit(root, {}, {"trainval": [f"im{k}" for k in range(5)]})
    convert(root, tmp_path / "some", split_ratios="train=0.6,val=0.4")
    found = ids_of(tmp_path / "some")
    assert {name: len(ids) for name, ids in found.items()} == {"train": 3, "val": 2}
    assert sorted(sum(found.values(), ())) == [f"im{k}" for k in range(5)]
    write_devkit(root, {"pic": sample(xml=None)}, {"trainval": ["pic"]})
    with pytest.raises(ValueError, match="none of the images in .*trainval.txt has a file"):
        convert(root, tmp_path / "none")


def test_the_seed_decides_split_and_order_and_more_images_do_not_reorder_the_others(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN)
    orders = []
    for seed in (0, 0, 1):
        convert(root, tmp_path / "out", seed=seed, overwrite=True)
        orders.append(ids_of(tmp_path / "out")["all"])
    assert orders[0] == orders[1] != orders[2] and sorted(orders[0]) == sorted(orders[2])
    write_devkit(root, {"more": sample("dog")})
    convert(root, tmp_path / "out", overwrite=True)
    assert tuple(i for i in ids_of(tmp_path / "out")["all"] if i != "more") == orders[0]


def test_identical_images_in_several_splits_or_with_other_labels_are_told_or_refused(tmp_path: Path) -> None:
    same = encode(draw_noise(20, 20, seed=3), "JPEG")
    samples = {
        "a": sample("dog", picture=same),
        "b": sample("dog", picture=same),
        "c": sample("cat", picture=same),
        "d": sample("cow"),
    }
    root = write_devkit(
        tmp_path / "VOC", samples, {"train": ["a", "d"], "test": ["b"], "both": ["a", "b"], "cat": ["c"]}
    )
    report = convert(root, tmp_path / "leak", splits=("train", "test"))
    told = [notice.text for notice in report.warnings if notice.kind.startswith("identical")]
    assert told == ["identical images in several splits: b (test), a (train)"]
    assert kinds_of(convert(root, tmp_path / "one", splits=("both",))) == {"annotation in no list": 2}
    report = convert(root, tmp_path / "labels", splits=("train", "cat"))
    told = sorted(notice.text for notice in report.warnings if notice.kind.startswith("identical"))
    assert told[1] == "identical images with other labels: c (cat), a (train)" and len(told) == 2
    with pytest.raises(ValueError, match=r"1 bad file, nothing was written:\n  b .test., a .train.: identical"):
        convert(root, tmp_path / "strict", splits=("train", "test"), strict_duplicates=True)
    assert not (tmp_path / "strict").exists()
