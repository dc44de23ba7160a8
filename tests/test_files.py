"""The chores of files: whole or not at all, flushed in order, locked, with room."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.paths import ROOT
from voc_tfdata import files


def test_a_file_is_written_whole_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    files.write_whole(path, "dog 图\n")
    files.write_whole(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert [p.name for p in path.parent.iterdir()] == ["b.json"]


def test_what_fails_in_the_middle_leaves_the_file_before_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "best.keras"
    files.write_whole(path, "old")
    with pytest.raises(KeyboardInterrupt), files.writing_whole(path) as temporary:
        assert temporary.suffix == ".keras" and temporary.parent == tmp_path
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["best.keras"]


def test_bytes_reach_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(handle: int) -> None:
        seen.append(("fsync", os.readlink(f"/proc/self/fd/{handle}")))
        fsync(handle)

    def note_replace(source: Path, target: Path) -> None:
        seen.append(("replace", str(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    files.write_whole(tmp_path / "m.json", "x")
    temporary = f"{tmp_path}/.m.{os.getpid()}.tmp.json"
    assert seen == [("fsync", temporary), ("replace", f"{tmp_path}/m.json"), ("fsync", str(tmp_path))]


def test_syncing_flushes_each_file_while_it_is_renamed_and_tells_what_the_disk_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, go_on, flushed = os.fsync, threading.Event(), []

    def slow_fsync(handle: int) -> None:
        assert go_on.wait(60)
        flushed.append(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", slow_fsync)
    for name in "ab":
        (tmp_path / name).write_text(name)
    with files.syncing() as sync:
        sync(tmp_path / "a")
        sync(tmp_path / "b")
        os.rename(tmp_path / "a", tmp_path / "c")
        assert not flushed
        go_on.set()
    assert flushed == [f"{tmp_path}/c", f"{tmp_path}/b"]

    def failing_fsync(handle: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing_fsync)
    with pytest.raises(OSError, match="Input/output error"), files.syncing() as sync:
        sync(tmp_path / "b")


@pytest.mark.parametrize("place", ["folder", "file"])
def test_a_lock_keeps_others_out_and_ends_with_its_process(tmp_path: Path, place: str) -> None:
    path = tmp_path if place == "folder" else tmp_path / "lock"
    (tmp_path / "lock").touch()
    code = f"""
from voc_tfdata.files import locked
with locked({str(path)!r}) as held:
    print(held, flush=True)
    input()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdout.readline() == "True\n"
    with pytest.raises(RuntimeError, match="somebody builds in"), files.locked(path, refuse="somebody builds in it"):
        pytest.fail("not locked out")
    process.kill()
    process.wait()
    with files.locked(path, refuse="somebody builds in it") as held:
        assert held


def test_a_disk_without_room_is_one_sentence_with_the_remedy(tmp_path: Path) -> None:
    assert files.check_free_disk(tmp_path, 1, what="nothing", remedy="") > 0
    with pytest.raises(OSError, match=r"the store takes 1,000,000,000.00 GB, [\d,.]+ .B are free; take another disk"):
        files.check_free_disk(tmp_path, 10**18, what="the store", remedy="take another disk")


@pytest.mark.parametrize(("size", "text"), [(20_000, "0.02 MB"), (1_999_600_000, "1,999.6 MB"), (10**10, "10.00 GB")])
def test_sizes_have_a_unit(size: int, text: str) -> None:
    assert files.format_bytes(size) == text
