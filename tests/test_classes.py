"""Class lists, as a user has them from wherever the data come."""

from __future__ import annotations

from pathlib import Path

import pytest

from voc_tfdata.classes import VOC_CLASSES, check_class_names, read_classes


def read(folder: Path, text: str, name: str = "classes.txt") -> tuple[str, ...]:
    (folder / name).write_text(text, encoding="utf-8")
    return read_classes(folder / name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("dog\ntraffic light\n", "classes.txt"),
        ("\ufeff# my classes\n\n dog \n# more\ntraffic light", "classes.txt"),
        ("0 dog\n1 traffic light\n", "obj.names"),
        ("2: traffic light\n1: dog\n", "classes.txt"),
        ("item {\n  id: 1\n  name: 'dog'\n}\nitem { name: \"traffic light\" id: 2 }\n", "label_map.pbtxt"),
        ("# label:color_rgb:parts:actions\nbackground:0,0,0::\ndog:255,0,0::\ntraffic light:0,9,0::\n", "labelmap.txt"),
        ("train: ../train/images\nnc: 2\nnames: ['dog', traffic light]\n", "data.yaml"),
        ("names:\n- dog\n- 'traffic light'\nnc: 2\n", "data.yaml"),
        ("nc: 2\nnames:\n  0: dog  # the first\n  1: traffic light\n", "data.yaml"),
    ],
)
def test_lists_of_every_form_are_read(tmp_path: Path, text: str, name: str) -> None:
    assert read(tmp_path, text, name) == ("dog", "traffic light")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no class"),
        ("# nothing\n", "names no class"),
        ("dog\nDog\n", "names 'dog' and 'Dog': remove one"),
        ("0 dog\n2 cat\n", r"numbers its classes \[0, 2\]; number them 0, 1, 2"),
        ("item { id: 1 }\n", "an item has no id or no name"),
        ("names: 7\n", "has no names: that can be read"),
        ("dog\x1b[31m\n", "printable"),
        ("a" * 300, "1 to 200 printable"),
    ],
)
def test_what_is_wrong_with_a_list_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"classes.txt.*{message}"):
        read(tmp_path, text)


def test_a_missing_list_and_other_encodings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no class file .*nope.txt"):
        read_classes(tmp_path / "nope.txt")
    (tmp_path / "a.txt").write_bytes("café".encode("latin-1"))
    with pytest.raises(ValueError, match="a.txt is not UTF-8 .*byte 3.; save it as UTF-8"):
        read_classes(tmp_path / "a.txt")


def test_names_must_fit_the_columns() -> None:
    assert check_class_names(list(VOC_CLASSES), 20) == VOC_CLASSES
    with pytest.raises(ValueError, match="2 class names for 3 columns"):
        check_class_names(["a", "b"], 3)
    with pytest.raises(ValueError, match="class_names has 'a' twice"):
        check_class_names(["a", "a"], 2)
