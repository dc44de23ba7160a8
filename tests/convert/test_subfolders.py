"""--subfolders: annotations and images in sub-folders, with ids such as sub/name."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from tests.convert.converting import convert, ids_of, kinds_of
from tests.devkit_fixture import COLOURS, annotation_xml, plain_jpeg, read_examples
from voc_tfdata.records.verify import verify_records


def write(root: Path, files: dict[str, str], *, annotations: str = "Annotations", images: str = "JPEGImages") -> Path:
    """Writes one image and its annotation a name; the value is its class."""
    for number, (name, label) in enumerate(files.items()):
        for folder, suffix, data in (
            (annotations, ".xml", annotation_xml(label, filename=f"{Path(name).name}.jpg").encode()),
            (images, ".jpg", plain_jpeg(COLOURS[number])),
        ):
            path = root / folder / f"{name}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return root


NESTED = {"x/a": "dog", "y/a": "cat", "y/deep/b": "person", "c": "bus"}


@pytest.mark.parametrize("folders", [("Annotations", "JPEGImages"), (".", ".")])
def test_the_same_name_in_two_sub_folders_is_two_images(tmp_path: Path, folders: tuple[str, str]) -> None:
    files = NESTED if folders[0] == "Annotations" else {name: label for name, label in NESTED.items() if "/" in name}
    root = write(tmp_path / "own", files, annotations=folders[0], images=folders[1])
    report = convert(root, tmp_path / "out", subfolders=True)
    assert sorted(ids_of(tmp_path / "out")["all"]) == sorted(files)
    examples = read_examples(tmp_path / "out")
    assert {i: fields["image/object/class/text"] for i, fields in examples.items()} == {
        name: [label.encode()] for name, label in files.items()
    }
    assert examples["y/deep/b"]["image/filename"] == [b"y/deep/b.jpg"]
    assert kinds_of(report) == {} and verify_records(tmp_path / "out") == []


def test_without_the_flag_sub_folders_are_refused_or_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--subfolders reads them with ids such as sub/name"):
        convert(write(tmp_path / "own", NESTED), tmp_path / "out")
    flat = write(tmp_path / "flat", {"a": "dog", "sub/b": "cat"}, annotations=".", images=".")
    report = convert(flat, tmp_path / "out")
    assert report.num_examples == 1
    assert [w.text for w in report.warnings] == [f"{flat}/./sub is no file (a folder?); nothing in it is read"]


def test_lists_name_the_images_by_their_sub_folder(tmp_path: Path) -> None:
    root = write(tmp_path / "own", NESTED)
    (root / "ImageSets/Main").mkdir(parents=True)
    (root / "ImageSets/Main/train.txt").write_text("x/a\ny/deep/b.jpg\n")
    convert(root, tmp_path / "out", subfolders=True, splits=["train"])
    assert sorted(ids_of(tmp_path / "out")["train"]) == ["x/a", "y/deep/b"]


def test_a_tar_is_read_alike(tmp_path: Path) -> None:
    root = write(tmp_path / "own", NESTED)
    with tarfile.open(tmp_path / "it.tar", "w") as archive:
        archive.add(root, "VOC")
    convert(tmp_path / "it.tar", tmp_path / "out", subfolders=True)
    assert sorted(ids_of(tmp_path / "out")["all"]) == sorted(NESTED)


def test_a_link_back_to_the_folder_is_no_loop(tmp_path: Path) -> None:
    root = write(tmp_path / "own", NESTED)
    os.symlink(root / "Annotations", root / "Annotations/x/loop")
    os.symlink(root / "JPEGImages", root / "JPEGImages/x/loop")
    convert(root, tmp_path / "out", subfolders=True)
    assert sorted(ids_of(tmp_path / "out")["all"]) == sorted(NESTED)


def test_an_image_is_looked_for_in_the_sub_folder_of_its_annotation(tmp_path: Path) -> None:
    root = write(tmp_path / "own", {"x/a": "dog", "y/b": "cat"})
    (root / "JPEGImages/y/b.jpg").rename(root / "JPEGImages/x/b.jpg")
    with pytest.raises(ValueError, match="no image y/b.jpg"):
        convert(root, tmp_path / "out", subfolders=True)
    (root / "JPEGImages/x/b.jpg").rename(root / "JPEGImages/y/other.jpg")
    (root / "Annotations/y/b.xml").write_text(annotation_xml("cat", filename="other.jpg"))
    report = convert(root, tmp_path / "out", subfolders=True)
    assert kinds_of(report) == {"picture found by <filename>": 1}
