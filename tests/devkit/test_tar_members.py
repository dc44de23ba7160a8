"""Where the bytes of each file of a .tar are."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from voc_tfdata.devkit.source_files import UNREADABLE
from voc_tfdata.devkit.tar_members import TarMembers


def test_files_are_found_at_their_bytes_and_the_root_by_its_annotations(tmp_path: Path) -> None:
    files = {"VOCdevkit/V/Annotations/a.xml": b"<x/>", "VOCdevkit/V/JPEGImages/a.jpg": b"picture", "README": b"r"}
    path = tmp_path / "it.tar"
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("VOCdevkit/V/JPEGImages/broken.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "nowhere.jpg"
        archive.addfile(link)
    data = path.read_bytes()
    with tarfile.open(path, "r:") as archive:
        members = TarMembers(archive)
        found = {name: (offset, size) for name, offset, size in members.list_files()}
    assert members.roots == {"VOCdevkit/V/"}
    for name in list(files)[:2]:
        offset, size = found[name]
        assert data[offset : offset + size] == files[name]
    assert found["VOCdevkit/V/JPEGImages/broken.jpg"][0] == UNREADABLE
