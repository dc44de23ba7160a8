import io
import os
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from voc_tfdata.devkit.unpacking import find_missing, unpack

NAME = "VOCtrainval_06-Nov-2007.tar"
TRAINVAL_FILES = {
    "VOCdevkit/VOC2007/Annotations/000005.xml": b"<annotation/>",
    "VOCdevkit/VOC2007/ImageSets/Main/trainval.txt": b"000005\n",
    "VOCdevkit/VOC2007/JPEGImages/000005.jpg": bytes(range(256)) * 20,  # 5,120 bytes: a half-way cut falls in it
}
FILE_LIST = b"Annotations/000005.xml\nImageSets/Main/trainval.txt\nJPEGImages/000005.jpg\n"
UNPACKED = {**TRAINVAL_FILES, f"VOCdevkit/VOC2007/.{NAME}.files": FILE_LIST}


def make_tar(files: Mapping[str, bytes], others: Sequence[tarfile.TarInfo] = ()) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in sorted({os.path.dirname(name) for name in files}):
            tar.addfile(make_member(folder, tarfile.DIRTYPE))
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in others:
            tar.addfile(member)
    return buffer.getvalue()


def make_member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


TRAINVAL = make_tar(TRAINVAL_FILES)


def read_tree(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def unpack_tar(tar: bytes, out_dir: Path, *, year: int = 2007) -> Path:
    folder = out_dir / "VOCdevkit" / f"VOC{year}"
    unpack(io.BytesIO(tar), folder, archive_name=NAME, year=year)
    return folder


def test_files_are_unpacked_with_a_list_of_them(tmp_path: Path) -> None:
    unpack_tar(TRAINVAL, tmp_path)
    assert read_tree(tmp_path) == UNPACKED


def test_nothing_is_missing_of_what_was_unpacked(tmp_path: Path) -> None:
    folder = unpack_tar(TRAINVAL, tmp_path)
    assert find_missing(folder, NAME) == []


def test_lost_files_are_named_as_missing(tmp_path: Path) -> None:
    folder = unpack_tar(TRAINVAL, tmp_path)
    (folder / "JPEGImages/000005.jpg").unlink()
    (folder / "JPEGImages").rmdir()
    (folder / "Annotations/000005.xml").unlink()
    assert find_missing(folder, NAME) == ["Annotations/000005.xml", "JPEGImages/000005.jpg"]


def test_folder_without_the_list_of_an_archive_lacks_the_list(tmp_path: Path) -> None:
    folder = unpack_tar(TRAINVAL, tmp_path)
    assert find_missing(folder, "VOCtest_06-Nov-2007.tar") == [".VOCtest_06-Nov-2007.tar.files"]


def test_missing_file_is_added_to_a_folder_that_is_there(tmp_path: Path) -> None:
    folder = unpack_tar(TRAINVAL, tmp_path)
    (folder / "JPEGImages/000005.jpg").unlink()
    (folder / "own notes.txt").write_bytes(b"mine")
    unpack_tar(TRAINVAL, tmp_path)
    assert read_tree(tmp_path) == {**UNPACKED, "VOCdevkit/VOC2007/own notes.txt": b"mine"}


def test_file_with_other_content_is_never_overwritten(tmp_path: Path) -> None:
    corrected = tmp_path / "VOCdevkit/VOC2007/Annotations/000005.xml"
    corrected.parent.mkdir(parents=True)
    corrected.write_bytes(b"<annotation>corrected by hand</annotation>")
    before = read_tree(tmp_path)
    with pytest.raises(FileExistsError, match=r"VOC2007: 1 files differ .*\(Annotations/000005\.xml\).*run again"):
        unpack_tar(TRAINVAL, tmp_path)
    assert read_tree(tmp_path) == before


def test_devkit_of_2011_is_found_below_its_extra_folder(tmp_path: Path) -> None:
    others = {"TrainVal/VOCdevkit/readme": b"", "TrainVal/oldVOCdevkit/VOC2011/ImageSets/Main/val.txt": b"b\n"}
    tar = make_tar({"TrainVal/VOCdevkit/VOC2011/ImageSets/Main/train.txt": b"a\n", **others})
    unpack_tar(tar, tmp_path, year=2011)
    files = {"ImageSets/Main/train.txt": b"a\n", f".{NAME}.files": b"ImageSets/Main/train.txt\n"}
    assert read_tree(tmp_path) == {f"VOCdevkit/VOC2011/{name}": content for name, content in files.items()}


def test_archive_of_another_year_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{NAME} holds no VOCdevkit/VOC2008"):
        unpack_tar(TRAINVAL, tmp_path, year=2008)
    assert read_tree(tmp_path) == {}


def test_file_that_is_no_tar_is_refused_by_its_path(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"no tar" * 1000)
    with open(tmp_path / NAME, "rb") as file:
        with pytest.raises(ValueError, match=f"(?s){tmp_path / NAME} is no readable tar: .*; remove it and run again"):
            unpack(file, tmp_path / "VOCdevkit" / "VOC2007", archive_name=NAME, year=2007)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize(
    "member",
    [
        make_member("{outside}/evil", tarfile.REGTYPE),
        make_member("../evil", tarfile.REGTYPE),
        make_member("VOCdevkit/VOC2007/../../../evil", tarfile.REGTYPE),
        make_member("..\\evil", tarfile.REGTYPE),
        make_member("VOCdevkit/VOC2007/JPEGImages/evil", tarfile.SYMTYPE, "{outside}/secret"),
        make_member("VOCdevkit/VOC2007/evil", tarfile.SYMTYPE, "../../../outside/secret"),
        make_member("VOCdevkit/VOC2007/evil", tarfile.SYMTYPE, "JPEGImages"),
        make_member("VOCdevkit/VOC2007/evil", tarfile.LNKTYPE, "{outside}/secret"),
        make_member("VOCdevkit/VOC2007/evil", tarfile.LNKTYPE, "../outside/secret"),
        make_member("VOCdevkit/VOC2007/evil", tarfile.FIFOTYPE),
        make_member("VOCdevkit/VOC2007/evil", tarfile.CHRTYPE),
        make_member("VOCdevkit/VOC2007/evil", tarfile.BLKTYPE),
    ],
    ids=lambda member: f"{member.name} {member.type.decode()} {member.linkname}",
)
def test_member_that_leaves_the_folder_is_refused_with_the_whole_archive(
    tmp_path: Path, member: tarfile.TarInfo
) -> None:
    outside, out_dir = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    name, target = member.name.format(outside=outside), member.linkname.format(outside=outside)
    tar = make_tar(TRAINVAL_FILES, [make_member(name, member.type, target)])
    with pytest.raises(ValueError, match=f"{NAME} is refused: .*evil"):
        unpack_tar(tar, out_dir)
    assert read_tree(tmp_path) == {"outside/secret": b"secret"}


def test_link_to_a_file_of_the_archive_comes_as_that_file(tmp_path: Path) -> None:
    links = [
        make_member("VOCdevkit/VOC2007/Annotations/soft.xml", tarfile.SYMTYPE, "000005.xml"),
        make_member("VOCdevkit/VOC2007/hard.xml", tarfile.LNKTYPE, "VOCdevkit/VOC2007/Annotations/000005.xml"),
    ]
    folder = unpack_tar(make_tar(TRAINVAL_FILES, links), tmp_path)
    for path in (folder / "Annotations/soft.xml", folder / "hard.xml"):
        assert path.read_bytes() == b"<annotation/>"
        assert not path.is_symlink() and path.stat().st_nlink == 1


def test_leftovers_of_a_killed_run_are_not_unpacked(tmp_path: Path) -> None:
    leftover = tmp_path / "VOCdevkit" / f".{NAME}.unpacking" / "Annotations" / "000009.xml"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"<annot")
    unpack_tar(TRAINVAL, tmp_path)
    assert read_tree(tmp_path) == UNPACKED
