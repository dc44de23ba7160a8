"""Where annotations and images lie, in folders as several programs write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from voc_tfdata.devkit.layout import Place, find_layout


def make(root: Path, *files: str) -> Path:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    return root


@pytest.mark.parametrize(
    ("files", "places"),
    [
        (["Annotations/a.xml", "JPEGImages/a.jpg"], [Place("Annotations", "JPEGImages")]),
        (["annotations/a.xml", "images/a.png"], [Place("annotations", "images")]),
        (["a.xml", "a.JPG"], [Place(".", ".")]),
        (
            ["train/a.xml", "train/a.jpg", "valid/b.xml", "valid/b.jpg", "Test/c.xml", "Test/c.jpg"],
            [Place("train", "train", "train"), Place("valid", "valid", "val"), Place("Test", "Test", "test")],
        ),
        (["train/a.xml", "train/a.jpg", "valid/notes.txt"], [Place("train", "train", "train")]),
        (
            ["Training/Annotations/a.xml", "Training/images/a.jpg", "Validation/b.xml", "Validation/b.jpg"],
            [Place("Training/Annotations", "Training/images", "train"), Place("Validation", "Validation", "val")],
        ),
    ],
)
def test_known_layouts_are_found_here_and_below(tmp_path: Path, files: list[str], places: list[Place]) -> None:
    root = make(tmp_path / "export" / "VOC", *files)
    for given in (root, root.parent, tmp_path):
        layout = find_layout(given)
        assert layout.root == root and sorted(layout.places, key=str) == sorted(places, key=str)


def test_several_below_are_named(tmp_path: Path) -> None:
    make(tmp_path, "a/x.xml", "a/x.jpg", "b/y.xml", "b/y.jpg")
    with pytest.raises(FileNotFoundError, match="found: .*/a, .*/b .give one of these"):
        find_layout(tmp_path)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            ["train/a.xml", "train/a.jpg", "holdout/b.xml", "holdout/b.jpg"],
            "holdout would be left out: .*; rename what",
        ),
        (["train/a.xml", "train/a.jpg", "x/Annotations/b.xml", "x/images/b.jpg"], "x would be left out"),
        (["val/a.xml", "val/a.jpg", "Valid/b.xml", "Valid/b.jpg"], "val, Valid two stand for one split"),
    ],
)
@pytest.mark.parametrize("below", ["", "export"])
def test_no_annotations_are_left_out_beside_folders_of_splits(
    tmp_path: Path, files: list[str], words: str, below: str
) -> None:
    make(tmp_path / below, *files)
    with pytest.raises(ValueError, match=words):
        find_layout(tmp_path)


def test_named_folders_win(tmp_path: Path) -> None:
    make(tmp_path, "Annotations/a.xml", "JPEGImages/a.jpg", "other/a.jpg")
    assert find_layout(tmp_path, images_dir="other").places == (Place("Annotations", "other"),)
    (tmp_path / "mine" / "aNNotations").mkdir(parents=True)
    (tmp_path / "mine" / "Bilder").mkdir()
    assert find_layout(tmp_path / "mine", images_dir="Bilder").places == (Place("aNNotations", "Bilder"),)
    (tmp_path / "flat" / "photos").mkdir(parents=True)
    (tmp_path / "flat" / "a.XML").touch()
    assert find_layout(tmp_path / "flat", images_dir="photos").places == (Place(".", "photos"),)
    with pytest.raises(FileNotFoundError, match="no folder .*/nowhere; --voc_root wants"):
        find_layout(tmp_path, annotations_dir="nowhere")


@pytest.mark.parametrize("files", [[], ["a.xml"], ["a.jpg"], ["deep/er/still/a.xml", "deep/er/still/a.jpg"]])
def test_what_is_no_devkit_is_refused_with_the_flags_that_help(tmp_path: Path, files: list[str]) -> None:
    with pytest.raises(FileNotFoundError, match="--annotations_dir and --images_dir"):
        find_layout(make(tmp_path, *files))
