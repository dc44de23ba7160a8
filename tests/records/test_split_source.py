"""The door to records: one split or a union, of one data set or of several as one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.devkit_fixture import sample, write_devkit
from voc_tfdata.convert.build import build_records
from voc_tfdata.records.split_source import count_labels, find_source, iterate_source_ids, list_records, open_split


def build(folder: Path, prefix: str, names: dict[str, str], *, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    """Writes a data set with one image of a class for each entry {split: class}."""
    lists = {split: [f"{prefix}_{split}"] for split in names}
    root = write_devkit(folder / prefix, {f"{prefix}_{split}": sample(name) for split, name in names.items()}, lists)
    build_records(root, folder / f"records_{prefix}", splits=tuple(names), classes=classes, num_workers=1)
    return folder / f"records_{prefix}"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("two")
    return (
        build(folder, "a", {"train": "dog", "val": "cat"}),
        build(folder, "b", {"train": "cat", "test": "dog"}),
    )


def test_several_data_sets_are_one_with_the_same_split_of_each(two: tuple[Path, Path]) -> None:
    for records in (f"{two[0]},{two[1]}", f"{two[0]}, {two[1]}", list(two)):
        source = find_source(records, "train")
        assert source.classes == ("cat", "dog") and source.num_examples == 2 and source.name == "train"
        assert list(iterate_source_ids(source)) == ["a_train", "b_train"]
        positives, ignores, total = count_labels(source)
        assert (positives.tolist(), ignores.tolist(), total) == ([1, 1], [0, 0], 2)
        assert open_split(source).num_examples == 2


def test_each_data_set_may_have_its_own_splits_or_none(two: tuple[Path, Path]) -> None:
    records = f"{two[0]},{two[1]}"
    source = find_source(records, "train + val, test")
    assert source.name == "train+val,test"
    assert list(iterate_source_ids(source)) == ["a_train", "a_val", "b_test"]
    assert list(iterate_source_ids(find_source(records, ",test"))) == ["b_test"]
    assert find_source(two[0], " train").name == "train"


def test_the_checksum_is_of_all_data_sets_and_of_their_order(two: tuple[Path, Path]) -> None:
    both, turned = find_source(list(two), "train"), find_source([two[1], two[0]], "train")
    alone = find_source(two[0], "train")
    assert len({both.checksum, turned.checksum, alone.checksum}) == 3
    assert alone.checksum == alone.manifests[0].checksum


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("train,train,train", "names 3 splits for 2 data sets"),
        ("val", "no split 'val' in .*records_b; it has: train, test"),
        (",", "names no split"),
        ("train+train", "names a split twice"),
        (7, "split=7; it is a name"),
    ],
)
def test_a_wrong_split_is_one_sentence(two: tuple[Path, Path], split: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_source(list(two), split)


def test_other_classes_are_an_error_that_names_the_difference(two: tuple[Path, Path], tmp_path: Path) -> None:
    other = build(tmp_path, "c", {"train": "cow"}, classes=("cow", "dog"))
    with pytest.raises(ValueError, match="different classes: the second lacks cat and has cow besides"):
        find_source([two[0], other], "train")
    turned = build(tmp_path, "d", {"train": "dog"}, classes=("dog", "cat"))
    with pytest.raises(ValueError, match=r"has them in another order \(dog, cat\); build both with the same --classes"):
        find_source([two[0], turned], "train")


def test_a_folder_whose_name_has_a_comma_is_one_data_set(tmp_path: Path) -> None:
    (tmp_path / "a,b").mkdir()
    assert list_records(str(tmp_path / "a,b")) == [str(tmp_path / "a,b")]
    assert list_records("a,b") == ["a", "b"]
    for wrong in ("a,,b", "a,a", []):
        with pytest.raises(ValueError, match="name no data set, an empty one, or one twice"):
            list_records(wrong)


def test_check_sizes_reads_no_file_to_its_end(two: tuple[Path, Path], tmp_path: Path) -> None:
    records = build(tmp_path, "e", {"train": "dog"})
    manifest = json.loads((records / "manifest.json").read_text())
    ids = records / manifest["splits"]["train"]["ids_file"]
    ids.write_text("x_train\n")  # other ids, of the same length
    assert open_split(find_source(records, "train"), check="sizes").num_examples == 1
    with pytest.raises(ValueError, match="voc-train-ids.txt is damaged"):
        open_split(find_source(records, "train"))
