"""What belongs together in a devkit: annotations and images, lists and images."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from tests.devkit_fixture import plain_jpeg, sample, write_devkit, write_list
from voc_tfdata.devkit import source_files
from voc_tfdata.devkit.listing import Devkit, open_devkit
from voc_tfdata.devkit.pairing import find_picture, read_split_list
from voc_tfdata.devkit.source_files import BadFileError

NFC, NFD = unicodedata.normalize("NFC", "caf\u00e9"), unicodedata.normalize("NFD", "caf\u00e9")


def picture_of(devkit: Devkit, image_id: str, hint: str = "") -> str:
    return find_picture(devkit, image_id, hint).file.name


@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".Jpeg", ".jpeg", ".PNG", ".bmp", ".gif", ".webp", ".TIF", ".tiff"])
def test_a_picture_pairs_by_stem_whatever_its_suffix(tmp_path: Path, suffix: str) -> None:
    devkit = open_devkit(write_devkit(tmp_path, {"a.b": sample("dog", suffix=suffix)}))
    assert list(devkit.annotations) == ["a.b"]
    assert picture_of(devkit, "a.b") == f"a.b{suffix}"


def test_names_with_dots_spaces_and_unicode_pair(tmp_path: Path) -> None:
    ids = ["cam", "cam.v2", "cam.v2.1", "end.", "two  spaces", "ünï 日本", "a'b&c", "#1;", "-x", "jpg", "1.5e3"]
    devkit = open_devkit(write_devkit(tmp_path, {i: sample("dog") for i in ids}))
    assert {i: picture_of(devkit, i) for i in devkit.annotations} == {i: f"{i}.jpg" for i in ids}


@pytest.mark.parametrize("xml, picture", [(NFC, NFD), (NFD, NFC)])
def test_names_in_different_unicode_forms_pair(tmp_path: Path, xml: str, picture: str) -> None:
    root = write_devkit(tmp_path, {xml: sample("dog", picture=None), picture: sample(xml=None)})
    assert find_picture(open_devkit(root), xml, f"{xml}.jpg").file.name == f"{picture}.jpg"


def test_upper_case_xml_is_an_annotation(tmp_path: Path) -> None:
    root = write_devkit(tmp_path, {"a": sample("dog")})
    os.rename(root / "Annotations/a.xml", root / "Annotations/a.XML")
    assert picture_of(open_devkit(root), "a") == "a.jpg"


@pytest.mark.parametrize("hint", ["a", "a.jpg", "", "C:\\images\\a.jpg", "/home/x/a.jpg"])
def test_a_filename_that_agrees_or_is_missing_is_no_warning(tmp_path: Path, hint: str) -> None:
    devkit = open_devkit(write_devkit(tmp_path, {"a": sample("dog")}))
    assert find_picture(devkit, "a", hint).warnings == ()


def test_the_stem_wins_over_filename_and_the_disagreement_names_both(tmp_path: Path) -> None:
    devkit = open_devkit(write_devkit(tmp_path, {"left": sample("dog"), "right": sample("cat")}))
    found = find_picture(devkit, "left", "right.jpg")
    assert found.file.name == "left.jpg"
    assert "left.xml" in found.warnings[0].text and "right.jpg" in found.warnings[0].text


def test_a_picture_that_only_filename_names_is_used_with_a_warning(tmp_path: Path) -> None:
    root = write_devkit(tmp_path, {"a": sample("dog", picture=None), "IMG 1": sample(xml=None)})
    found = find_picture(open_devkit(root), "a", "IMG 1.jpg")
    assert found.file.name == "IMG 1.jpg"
    assert "a.xml" in found.warnings[0].text and "IMG 1.jpg" in found.warnings[0].text


def test_a_picture_of_another_annotation_is_not_taken_by_filename(tmp_path: Path) -> None:
    devkit = open_devkit(write_devkit(tmp_path, {"a": sample("dog"), "a (1)": sample("cat", picture=None)}))
    with pytest.raises(BadFileError, match=r"a \(1\).xml: no image a \(1\).jpg .* 'a.jpg' .* is that of a.xml"):
        find_picture(devkit, "a (1)", "a.jpg")


def test_a_missing_picture_is_named_with_what_was_looked_for(tmp_path: Path) -> None:
    devkit = open_devkit(write_devkit(tmp_path, {"a": sample("dog", picture=None)}))
    with pytest.raises(BadFileError, match="Annotations/a.xml: no image a.jpg .* in .*/JPEGImages, nor the 'b.jpg'"):
        find_picture(devkit, "a", "b.jpg")


def test_filename_chooses_between_pictures_of_one_stem(tmp_path: Path) -> None:
    root = write_devkit(tmp_path, {"a": sample("dog", suffix=".png")})
    (root / "JPEGImages/a.jpg").write_bytes(plain_jpeg())
    found = find_picture(open_devkit(root), "a", "a.png")
    assert found.file.name == "a.png" and "a.jpg, a.png" in found.warnings[0].text
    for hint in ("a", "", "b.jpg"):
        with pytest.raises(BadFileError, match="a.xml: several images have its stem: a.jpg, a.png; remove all but"):
            find_picture(open_devkit(root), "a", hint)


def test_a_picture_without_a_known_suffix_is_found(tmp_path: Path) -> None:
    root = write_devkit(tmp_path, {"a": sample("dog", suffix=".heic"), "b": sample("dog", suffix="")})
    devkit = open_devkit(root)
    assert (picture_of(devkit, "a"), picture_of(devkit, "b")) == ("a.heic", "b")


# What the lines of a list select; there are annotations of 1, 2, 3, "photo 5", "photo 5 1", "a.b" and "x.jpg".
LISTS = {
    "plain": (b"1\n2\n3\n", ["1", "2", "3"]),
    "order": (b"3\n1\n2\n", ["1", "2", "3"]),
    "crlf": (b"1\r\n2\r\n3\r\n", ["1", "2", "3"]),
    "cr": (b"1\r2\r3", ["1", "2", "3"]),
    "no_end": (b"1\n2\n3", ["1", "2", "3"]),
    "blank": (b"\n1\n\n  \n2\n\t\n3\n\n", ["1", "2", "3"]),
    "padded": (b"  1 \n2\t\n", ["1", "2"]),
    "bom": (b"\xef\xbb\xbf1\n2\n", ["1", "2"]),
    "utf16": ("1\n2\n".encode("utf-16"), ["1", "2"]),
    "flags": (b"1  1\n2 -1\n3  0\n", ["1", "2", "3"]),
    "tab_flags": (b"1\t1\n2 \t -1\n3\t 0\n", ["1", "2", "3"]),
    "suffixes": (b"1.jpg\n2.JPG\n3.png  1\n", ["1", "2", "3"]),
    "spaces": (b"photo 5\nphoto 5 1\nphoto 5 -1\nphoto 5.jpg\n", ["photo 5", "photo 5 1"]),
    "dots": (b"a.b\nx.jpg\n", ["a.b", "x.jpg"]),
}


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Devkit:
    root = tmp_path_factory.mktemp("listed")
    write_devkit(root, {i: sample("dog") for i in ("1", "2", "3", "photo 5", "photo 5 1", "a.b", "x.jpg", NFC)})
    write_devkit(root, {"no_xml": sample(xml=None)})
    for name, (data, _) in LISTS.items():
        write_list(root, name, data)
    return open_devkit(root)


@pytest.mark.parametrize("name", LISTS)
def test_a_list_selects_ids(listed: Devkit, name: str) -> None:
    assert list(read_split_list(listed, name)) == LISTS[name][1]


def read_list_of(devkit: Devkit, data: bytes) -> list[str]:
    write_list(Path(devkit.root), "it", data)
    return list(read_split_list(open_devkit(devkit.root), "it"))


def test_an_id_listed_twice_is_taken_once_with_a_warning(listed: Devkit) -> None:
    write_list(Path(listed.root), "twice", b"1\n2\n1\n1.jpg\n")
    split_list = read_split_list(open_devkit(listed.root), "twice")
    assert list(split_list) == ["1", "2"]
    (warning,) = split_list.list_warnings()
    assert warning.kind == "id listed twice" and "'1' is listed 3 times" in warning.text


def test_an_id_is_found_in_either_unicode_form_and_with_a_picture_only(listed: Devkit) -> None:
    assert read_list_of(listed, f"{NFD}\n".encode()) == [NFC]
    assert read_list_of(listed, b"no_xml\n") == ["no_xml"]


def test_an_id_is_that_of_its_annotation_where_the_picture_has_the_other_unicode_form(tmp_path: Path) -> None:
    root = write_devkit(tmp_path, {NFD: sample("dog", picture=None), NFC: sample(xml=None)})
    assert read_list_of(open_devkit(root), f"{NFC}\n".encode()) == [NFD]


@pytest.mark.parametrize("data", [b"", b"\n \r\n", b"\xef\xbb\xbf"])
def test_an_empty_list_is_an_error(listed: Devkit, data: bytes) -> None:
    with pytest.raises(ValueError, match="Main/it.txt holds no id"):
        read_list_of(listed, data)


def test_unknown_ids_are_named(listed: Devkit) -> None:
    write_list(Path(listed.root), "it", b"1\n7\n8 2\nphoto\n")
    split_list = read_split_list(open_devkit(listed.root), "it")
    assert split_list.unknown == ("7", "8 2", "photo") and list(split_list) == ["1"]


def test_a_list_in_an_unknown_encoding_is_an_error(listed: Devkit) -> None:
    with pytest.raises(ValueError, match="it.txt is not UTF-8 .byte 5.; save it as UTF-8"):
        read_list_of(listed, "1\ncaf\u00e9\n".encode("latin-1"))
    with pytest.raises(ValueError, match="it.txt is not UTF-8 .byte 5.; save it as UTF-8"):
        read_list_of(listed, "1\ncaf\u00e9".encode()[:-1])  # cut off in the middle of a character


def test_a_list_is_read_in_pieces(listed: Devkit, monkeypatch: pytest.MonkeyPatch) -> None:
    for size in range(1, 9):  # cut inside a line, a line's end and a character
        monkeypatch.setattr(source_files, "_PIECE_BYTES", size)
        assert read_list_of(listed, f"1\r\n{NFC}\r2\n3".encode()) == ["1", "2", "3", NFC]
        if size > 1:  # two bytes tell the encoding
            assert read_list_of(listed, f"1\r\n{NFC}\n".encode("utf-16")) == ["1", NFC]


def test_a_missing_list_is_an_error_that_names_those_there_are(listed: Devkit) -> None:
    with pytest.raises(FileNotFoundError, match="no .*/ImageSets/Main/train.txt; lists there: .*plain.* name one of"):
        read_split_list(listed, "train")
