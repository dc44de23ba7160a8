"""What belongs together in a devkit: stems and pictures, split lists, litter, links, sub-folders, .tar files."""

from __future__ import annotations

import os
import socket
import tarfile
import unicodedata
from pathlib import Path

import pytest

from tests.devkit_fixture import plain_jpeg, sample, write_devkit, write_list
from voc_tfdata.devkit import BadFileError, Devkit, SourceFile, open_devkit, read_file, stem_of
from voc_tfdata.pairing import find_picture, read_split_list

NFC, NFD = unicodedata.normalize("NFC", "caf\u00e9"), unicodedata.normalize("NFD", "caf\u00e9")


def picture_of(devkit: Devkit, image_id: str, hint: str = "") -> str:
    return find_picture(devkit, image_id, hint).file.name


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
    with pytest.raises(BadFileError, match=r"a \(1\).xml: no picture a \(1\).jpg .* 'a.jpg' .* is that of a.xml"):
        find_picture(devkit, "a (1)", "a.jpg")


def test_a_missing_picture_is_named_with_what_was_looked_for(tmp_path: Path) -> None:
    devkit = open_devkit(write_devkit(tmp_path, {"a": sample("dog", picture=None)}))
    with pytest.raises(BadFileError, match="Annotations/a.xml: no picture a.jpg .* in .*/JPEGImages, nor the 'b.jpg'"):
        find_picture(devkit, "a", "b.jpg")


def test_filename_chooses_between_pictures_of_one_stem(tmp_path: Path) -> None:
    root = write_devkit(tmp_path, {"a": sample("dog", suffix=".png")})
    (root / "JPEGImages/a.jpg").write_bytes(plain_jpeg())
    found = find_picture(open_devkit(root), "a", "a.png")
    assert found.file.name == "a.png" and "a.jpg, a.png" in found.warnings[0].text
    for hint in ("a", "", "b.jpg"):
        with pytest.raises(BadFileError, match="a.xml: several pictures have its stem: a.jpg, a.png; remove all but"):
            find_picture(open_devkit(root), "a", hint)


def test_a_picture_without_a_known_suffix_is_found(tmp_path: Path) -> None:
    root = write_devkit(tmp_path, {"a": sample("dog", suffix=".heic"), "b": sample("dog", suffix="")})
    devkit = open_devkit(root)
    assert (picture_of(devkit, "a"), picture_of(devkit, "b")) == ("a.heic", "b")


def test_litter_of_operating_systems_is_passed_over_in_silence(tmp_path: Path) -> None:
    root = write_devkit(tmp_path, {"a": sample("dog")})
    for folder in ("Annotations", "JPEGImages"):
        for name in (".DS_Store", "._a.xml", "._a.jpg", "Thumbs.db", "desktop.ini", ".a.xml.swp"):
            (root / folder / name).write_bytes(b"x")
        for name in ("@eaDir", "__MACOSX", ".ipynb_checkpoints"):
            (root / folder / name).mkdir()
            (root / folder / name / "b.xml").write_bytes(b"x")
    devkit = open_devkit(root)
    assert (list(devkit.annotations), list(devkit.pictures), devkit.warnings) == (["a"], ["a"], ())


def test_other_files_and_folders_are_named(tmp_path: Path) -> None:
    root = write_devkit(tmp_path, {"a": sample("dog")})
    (root / "Annotations/readme.txt").write_text("x")
    (root / "Annotations/a.xml.bak").write_text("x")
    (root / "Annotations/dir.xml").mkdir()
    (root / "JPEGImages/small").mkdir()
    devkit = open_devkit(root)
    assert list(devkit.annotations) == ["a"]
    texts = "\n".join(w.text for w in devkit.warnings)
    assert len(devkit.warnings) == 4
    assert all(name in texts for name in ("readme.txt", "a.xml.bak", "Annotations/dir.xml", "JPEGImages/small"))


def test_annotations_in_sub_folders_are_refused_by_name(tmp_path: Path) -> None:
    root = write_devkit(tmp_path, {"a": sample("dog")})
    (root / "Annotations/2012/deep").mkdir(parents=True)
    (root / "Annotations/2012/deep/b.XML").write_text("x")
    with pytest.raises(ValueError, match="sub-folders of .*/Annotations: Annotations/2012; move the files up"):
        open_devkit(root)


def test_links_to_files_and_folders_are_followed(tmp_path: Path) -> None:
    real = write_devkit(tmp_path / "real", {"a": sample("dog")})
    linked = tmp_path / "linked"
    for folder in ("Annotations", "JPEGImages"):
        (linked / folder).mkdir(parents=True)
    (linked / "Annotations/x.xml").symlink_to(real / "Annotations/a.xml")
    (linked / "JPEGImages/x.jpg").symlink_to("../../real/JPEGImages/a.jpg")
    picture = find_picture(open_devkit(linked), "x", "a.jpg").file
    assert (picture.size, read_file(picture)) == (len(plain_jpeg()), plain_jpeg())
    (tmp_path / "VOC").symlink_to(real)
    assert list(open_devkit(tmp_path / "VOC").annotations) == ["a"]


@pytest.mark.parametrize("target", ["nowhere.jpg", "a.jpg"])  # broken, and a link to itself
def test_a_link_that_leads_nowhere_is_a_bad_file(tmp_path: Path, target: str) -> None:
    root = write_devkit(tmp_path, {"a": sample("dog", picture=None), "b": sample("cat")})
    (root / "JPEGImages/a.jpg").symlink_to(target)
    devkit = open_devkit(root)
    with pytest.raises(BadFileError, match="JPEGImages/a.jpg: cannot be read"):
        read_file(find_picture(devkit, "a", "").file)
    assert picture_of(devkit, "b") == "b.jpg"


def test_pipes_and_sockets_are_not_waited_for(tmp_path: Path) -> None:
    root = write_devkit(tmp_path, {"a": sample("dog", picture=None), "b": sample("cat")})
    os.mkfifo(root / "JPEGImages/a.jpg")
    os.mkfifo(root / "Annotations/c.xml")
    here = os.getcwd()
    os.chdir(root / "JPEGImages")  # the path of a socket may be no longer than 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("s.jpg")
    finally:
        os.chdir(here)
    devkit = open_devkit(root)
    assert (list(devkit.annotations), list(devkit.pictures)) == (["a", "b"], ["b"])
    assert [w.kind for w in devkit.warnings] == ["not a file"] * 3


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match="gone.jpg: cannot be read .No such file"):
        read_file(SourceFile("gone.jpg", str(tmp_path / "gone.jpg"), 0, 0))


@pytest.mark.parametrize(
    "folders, message",
    [
        ([], "no folders Annotations/ and JPEGImages/ in .*VOC"),
        (["Annotations"], "no folder .*JPEGImages; --voc_root wants"),
        (["JPEGImages"], "no folder .*Annotations; --voc_root wants"),
        (
            ["VOC2007/Annotations", "VOC2007/JPEGImages", "VOC2012/Annotations", "VOC2012/JPEGImages"],
            "VOC2012 .give one",
        ),
        (["a/b/VOC2012/Annotations"], "no folders Annotations/ and JPEGImages/"),
        (["a/VOC2012/Annotations", "a/VOC2012/JPEGImages"], "found: .*a/VOC2012 .give one of these"),
    ],
)
def test_a_folder_that_is_no_devkit_is_refused_with_what_was_found(tmp_path: Path, folders, message) -> None:
    root = tmp_path / "VOC"
    root.mkdir()
    for folder in folders:
        (root / folder).mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=message):
        open_devkit(root)


def test_a_missing_root_and_empty_annotations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no .*nowhere; --voc_root wants a folder"):
        open_devkit(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no .xml file in .*Annotations; --voc_root wants"):
        open_devkit(write_devkit(tmp_path, {"a": sample(xml=None)}))


def test_one_year_inside_a_vocdevkit_is_found(tmp_path: Path) -> None:
    write_devkit(tmp_path / "VOC2012", {"a": sample("dog")})
    (tmp_path / "results").mkdir()
    assert open_devkit(tmp_path).root == str(tmp_path / "VOC2012")


# What the lines of a list select; there are annotations of 1, 2, 3, "photo 5", "photo 5 1", "a.b" and "x.jpg".
LISTS = {
    "plain": (b"1\n2\n3\n", ["1", "2", "3"]),
    "order": (b"3\n1\n2\n", ["3", "1", "2"]),
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
def test_a_list_selects_ids_in_its_order(listed: Devkit, name: str) -> None:
    assert list(read_split_list(listed, name).ids) == LISTS[name][1]


def read_list_of(devkit: Devkit, data: bytes) -> tuple[str, ...]:
    write_list(Path(devkit.root), "it", data)
    return read_split_list(open_devkit(devkit.root), "it").ids


def test_an_id_listed_twice_is_taken_once_with_a_warning(listed: Devkit) -> None:
    write_list(Path(listed.root), "twice", b"1\n2\n1\n1.jpg\n")
    split_list = read_split_list(open_devkit(listed.root), "twice")
    assert split_list.ids == ("1", "2")
    assert [w.kind for w in split_list.warnings] == ["id listed twice"]
    assert "'1' stands there 3 times" in split_list.warnings[0].text


def test_an_id_is_found_in_either_unicode_form_and_with_a_picture_only(listed: Devkit) -> None:
    assert read_list_of(listed, f"{NFD}\n".encode()) == (NFC,)
    assert read_list_of(listed, b"no_xml\n") == ("no_xml",)


@pytest.mark.parametrize("data", [b"", b"\n \r\n", b"\xef\xbb\xbf"])
def test_an_empty_list_is_an_error(listed: Devkit, data: bytes) -> None:
    with pytest.raises(ValueError, match="Main/it.txt holds no id"):
        read_list_of(listed, data)


def test_unknown_ids_are_an_error_that_names_them(listed: Devkit) -> None:
    with pytest.raises(ValueError, match="it.txt names 3 ids with neither .*: 7, 8 2, photo; correct the list"):
        read_list_of(listed, b"1\n7\n8 2\nphoto\n")


def test_a_list_in_an_unknown_encoding_is_an_error(listed: Devkit) -> None:
    with pytest.raises(ValueError, match="it.txt is not UTF-8 .byte 3.; save it as UTF-8"):
        read_list_of(listed, "caf\u00e9\n".encode("latin-1"))


def test_a_missing_list_is_an_error_that_names_those_there_are(listed: Devkit) -> None:
    with pytest.raises(FileNotFoundError, match="no .*/ImageSets/Main/train.txt; lists there: .*plain.* name one of"):
        read_split_list(listed, "train")


def pack(root: Path, tar: Path, prefix: str) -> Path:
    with tarfile.open(tar, "w") as archive:
        archive.add(root, prefix)
    return tar


@pytest.mark.parametrize(
    "prefix", ["VOCdevkit/VOC2012", "TrainVal/VOCdevkit/VOC2011", "./VOC2007", "", "VOC", "/abs/VOC"]
)
def test_a_tar_is_read_in_place(tmp_path: Path, prefix: str) -> None:
    root = write_devkit(tmp_path / "x", {"a": sample("dog"), "b.c": sample("cat")}, {"train": ["a"]})
    (root / "JPEGImages/._a.jpg").write_bytes(b"litter")
    devkit = open_devkit(pack(root, tmp_path / "it.tar", prefix))
    assert (list(devkit.annotations), list(devkit.lists), devkit.warnings) == (["a", "b.c"], ["train"], ())
    assert read_split_list(devkit, "train").ids == ("a",)
    picture = find_picture(devkit, "b.c", "").file
    assert read_file(picture) == (root / "JPEGImages/b.c.jpg").read_bytes()
    assert picture.path == f"{tmp_path}/it.tar/" + f"{prefix}/JPEGImages/b.c.jpg".lstrip("./")


def test_in_a_tar_the_last_of_one_name_counts_and_links_are_followed(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "x", {"a": sample("dog"), "b": sample("cat", picture=None)})
    os.link(root / "JPEGImages/a.jpg", root / "JPEGImages/hard.jpg")
    (root / "JPEGImages/b.jpg").symlink_to("../JPEGImages/a.jpg")
    tar = pack(root, tmp_path / "it.tar", "VOC")
    (root / "JPEGImages/a.jpg").write_bytes(plain_jpeg((1, 2, 3), (40, 40)))
    with tarfile.open(tar, "a") as archive:
        archive.add(root / "JPEGImages/a.jpg", "VOC/JPEGImages/a.jpg")
    devkit = open_devkit(tar)
    assert list(devkit.pictures) == ["a", "b", "hard"]
    for image_id in devkit.annotations:
        assert read_file(find_picture(devkit, image_id, "").file) == plain_jpeg((1, 2, 3), (40, 40))


def test_litter_in_a_tar_is_no_second_devkit(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "x", {"a": sample("dog")})
    with tarfile.open(tmp_path / "it.tar", "w") as archive:
        archive.add(root, "VOC")
        archive.add(root / "Annotations/a.xml", "__MACOSX/VOC/Annotations/._a.xml")
    assert list(open_devkit(tmp_path / "it.tar").annotations) == ["a"]


def test_a_tar_that_is_no_devkit_is_refused(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "x", {"a": sample("dog")})
    data = pack(root, tmp_path / "it.tar", "VOC").read_bytes()
    (tmp_path / "text.tar").write_bytes(b"no tar at all")
    with pytest.raises(ValueError, match="text.tar is no readable uncompressed .tar"):
        open_devkit(tmp_path / "text.tar")
    with tarfile.open(tmp_path / "it.tar.gz", "w:gz") as archive:
        archive.add(root, "VOC")
    with pytest.raises(ValueError, match="it.tar.gz is no readable uncompressed .tar.*; unpack it"):
        open_devkit(tmp_path / "it.tar.gz")
    with tarfile.open(tmp_path / "two.tar", "w") as archive:
        archive.add(root, "VOC2007")
        archive.add(root, "VOC2012")
    with pytest.raises(ValueError, match="two.tar should hold one devkit .*: VOC2007/Annotations, VOC2012/Annotations"):
        open_devkit(tmp_path / "two.tar")
    with tarfile.open(tmp_path / "half.tar", "w") as archive:
        archive.add(root / "Annotations", "VOC/Annotations")
    with pytest.raises(FileNotFoundError, match="no folder VOC/JPEGImages in .*half.tar"):
        open_devkit(tmp_path / "half.tar")
    (tmp_path / "cut.tar").write_bytes(data[: data.index(b"\xff\xd8") + 100])
    with pytest.raises(ValueError, match="cut.tar is no readable uncompressed .tar"):
        open_devkit(tmp_path / "cut.tar")


def test_a_tar_cut_off_after_it_was_listed_is_a_bad_file(tmp_path: Path) -> None:
    tar = pack(write_devkit(tmp_path / "x", {"a": sample("dog")}), tmp_path / "it.tar", "VOC")
    picture = find_picture(open_devkit(tar), "a", "").file
    os.truncate(tar, picture.offset + 10)
    with pytest.raises(BadFileError, match=r"a.jpg: ends after 10 of \d+ bytes"):
        read_file(picture)


def test_annotations_in_sub_folders_of_a_tar_are_refused(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "x", {"a": sample("dog")})
    (root / "Annotations/2012").mkdir()
    (root / "Annotations/2012/b.xml").write_text("x")
    with pytest.raises(ValueError, match="sub-folders of .*it.tar/VOC/Annotations: Annotations/2012"):
        open_devkit(pack(root, tmp_path / "it.tar", "VOC"))
