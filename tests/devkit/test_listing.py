"""What lies in a devkit: litter, links, sub-folders, .tar files."""

from __future__ import annotations

import os
import socket
import tarfile
from pathlib import Path

import pytest

from tests.devkit_fixture import plain_jpeg, sample, write_devkit
from voc_tfdata.devkit.listing import Devkit, open_devkit
from voc_tfdata.devkit.pairing import find_picture, read_split_list
from voc_tfdata.devkit.source_files import BadFileError, SourceFile, read_ahead


def read_file(file: SourceFile) -> bytes:
    (data,) = read_ahead([file])
    if isinstance(data, BadFileError):
        raise data
    return data


def picture_of(devkit: Devkit, image_id: str, hint: str = "") -> str:
    return find_picture(devkit, image_id, hint).file.name


def test_litter_of_operating_systems_is_passed_over_in_silence(tmp_path: Path) -> None:
    root = write_devkit(tmp_path, {"a": sample("dog")})
    for folder in ("Annotations", "JPEGImages"):
        for name in (".DS_Store", "._a.xml", "._a.jpg", "Thumbs.db", "desktop.ini", ".a.xml.swp"):
            (root / folder / name).write_bytes(b"x")
        for name in ("@eaDir", "__MACOSX", ".ipynb_checkpoints"):
            (root / folder / name).mkdir()
            (root / folder / name / "b.xml").write_bytes(b"x")
    devkit = open_devkit(root)
    assert (list(devkit.annotations), list(devkit.pictures), list(devkit.list_warnings())) == (["a"], ["a"], [])


def test_other_files_and_folders_are_named(tmp_path: Path) -> None:
    root = write_devkit(tmp_path, {"a": sample("dog")})
    (root / "Annotations/readme.txt").write_text("x")
    (root / "Annotations/a.xml.bak").write_text("x")
    (root / "Annotations/dir.xml").mkdir()
    (root / "JPEGImages/small").mkdir()
    devkit = open_devkit(root)
    assert list(devkit.annotations) == ["a"]
    texts = "\n".join(w.text for w in devkit.list_warnings())
    assert texts.count("\n") == 3
    assert all(name in texts for name in ("readme.txt", "a.xml.bak", "Annotations/dir.xml", "JPEGImages/small"))


def test_annotations_in_sub_folders_are_refused_by_name(tmp_path: Path) -> None:
    root = write_devkit(tmp_path, {"a": sample("dog")})
    (root / "Annotations/2012/deep").mkdir(parents=True)
    (root / "Annotations/2012/deep/b.XML").write_text("x")
    with pytest.raises(ValueError, match="sub-folders of .*/Annotations: Annotations/2012; --subfolders reads them"):
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
    assert [w.kind for w in devkit.list_warnings()] == ["not a file"] * 3


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
        (
            ["a/VOC2007/Annotations", "a/VOC2007/JPEGImages", "a/VOC2012/Annotations", "a/VOC2012/JPEGImages"],
            "found: .*a/VOC2007, .*a/VOC2012 .give one of these",
        ),
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
    assert (list(devkit.annotations), list(devkit.lists)) == (["a", "b.c"], ["train"])
    assert list(devkit.list_warnings()) == [] and list(read_split_list(devkit, "train")) == ["a"]
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


def test_in_a_tar_links_to_links_are_followed_and_broken_ones_are_no_second_devkit(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "x", {"a": sample("dog"), "c": sample("cat", picture=None)})
    (root / "JPEGImages/b.jpg").symlink_to("a.jpg")
    (root / "JPEGImages/c.jpg").symlink_to("b.jpg")
    (root / "JPEGImages/d.jpg").symlink_to("e.jpg")
    (root / "JPEGImages/e.jpg").symlink_to("d.jpg")
    (root / "other/Annotations").mkdir(parents=True)
    (root / "other/Annotations/a.xml").symlink_to("/nowhere/a.xml")
    devkit = open_devkit(pack(root, tmp_path / "it.tar", "VOC"))
    assert list(devkit.pictures) == ["a", "b", "c", "d", "e"]
    assert read_file(find_picture(devkit, "c", "").file) == (root / "JPEGImages/a.jpg").read_bytes()


def test_in_a_tar_broken_links_sparse_files_and_pipes_are_bad_files(tmp_path: Path) -> None:
    names = "list", "broken", "sparse", "pipe"
    root = write_devkit(tmp_path / "x", {name: sample("dog", picture=None) for name in names}, {"train": ["list"]})
    (root / "ImageSets/Main/train.txt").unlink()
    (root / "ImageSets/Main/train.txt").symlink_to("/nowhere/train.txt")
    (root / "JPEGImages/broken.jpg").symlink_to("/nowhere/b.jpg")
    os.mkfifo(root / "JPEGImages/pipe.jpg")
    tar = pack(root, tmp_path / "it.tar", "VOC")
    with tarfile.open(tar, "a") as archive:
        member = tarfile.TarInfo("VOC/JPEGImages/sparse.jpg")
        member.type = tarfile.GNUTYPE_SPARSE
        archive.addfile(member)
    devkit = open_devkit(tar)
    for name in names[1:]:
        with pytest.raises(BadFileError, match=f"{name}.jpg: is no whole file in the .tar .*; unpack it"):
            read_file(find_picture(devkit, name, "").file)
    with pytest.raises(BadFileError, match="train.txt: is no whole file in the .tar"):
        read_split_list(devkit, "train")


@pytest.mark.parametrize("link_first", [True, False])
def test_in_a_tar_the_later_of_a_file_and_a_link_counts(tmp_path: Path, link_first: bool) -> None:
    root = write_devkit(tmp_path / "x", {"a": sample("dog"), "b": sample("cat")})
    tar = pack(root, tmp_path / "it.tar", "VOC")
    (root / "link").symlink_to("a.jpg")
    with tarfile.open(tar, "a") as archive:
        archive.add(root / "link", "VOC/JPEGImages/b.jpg")
        if link_first:
            archive.add(root / "JPEGImages/b.jpg", "VOC/JPEGImages/b.jpg")
    expected = root / f"JPEGImages/{'b' if link_first else 'a'}.jpg"
    assert (root / "JPEGImages/a.jpg").read_bytes() != (root / "JPEGImages/b.jpg").read_bytes()
    assert read_file(find_picture(open_devkit(tar), "b", "").file) == expected.read_bytes()


@pytest.mark.parametrize("fault", ["flipped", "cut"])
def test_a_tar_damaged_at_a_member_is_refused_whole(tmp_path: Path, fault: str) -> None:
    root = write_devkit(tmp_path / "x", {name: sample("dog") for name in "abc"})
    tar = pack(root, tmp_path / "it.tar", "VOC")
    with tarfile.open(tar) as archive:
        offset = archive.getmember("VOC/Annotations/b.xml").offset
    data = bytearray(tar.read_bytes())
    data[offset] ^= 1
    tar.write_bytes(data if fault == "flipped" else data[:offset])
    with pytest.raises(ValueError, match=f"no readable uncompressed .tar .damaged or cut off at byte {offset:,}."):
        open_devkit(tar)


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
    tar = tmp_path / "it.tar"
    root = write_devkit(tmp_path / "x", {"a": sample("dog")}, {"train": ["a"]})
    with tarfile.open(tar, "w") as archive:  # the list last
        for name in ("Annotations/a.xml", "JPEGImages/a.jpg", "ImageSets/Main/train.txt"):
            archive.add(root / name, f"VOC/{name}")
    devkit = open_devkit(tar)
    picture = find_picture(devkit, "a", "").file
    os.truncate(tar, devkit.lists["train"].offset + 1)
    with pytest.raises(BadFileError, match=r"train.txt: ends after 1 of 2 bytes; the .tar is cut off"):
        read_split_list(devkit, "train")
    os.truncate(tar, picture.offset + 10)
    with pytest.raises(BadFileError, match=r"a.jpg: ends after 10 of \d+ bytes"):
        read_file(picture)


def test_annotations_in_sub_folders_of_a_tar_are_refused(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "x", {"a": sample("dog")})
    (root / "Annotations/2012").mkdir()
    (root / "Annotations/2012/b.xml").write_text("x")
    with pytest.raises(ValueError, match="sub-folders of .*it.tar/VOC/Annotations: Annotations/2012"):
        open_devkit(pack(root, tmp_path / "it.tar", "VOC"))
