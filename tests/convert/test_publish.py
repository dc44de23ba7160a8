"""A folder is a complete data set or none, whatever happens while it is made."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import threading
from pathlib import Path

import pytest

from tests.devkit_fixture import files_in
from voc_tfdata.convert.publish import publish, stage
from voc_tfdata.devkit.spill import TemporaryFolderError
from voc_tfdata.records.manifest import MANIFEST_NAME

OLD = {MANIFEST_NAME: b"old", "voc-train-00000-of-00002.tfrecord": b"1", "voc-train-00001-of-00002.tfrecord": b"2"}
NEW = {MANIFEST_NAME: b"new", "voc-train-00000-of-00001.tfrecord": b"3", "voc-val-ids.txt": b"4"}


def fill(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def names_of(files: dict[str, bytes]) -> list[str]:
    return [name for name in files if name != MANIFEST_NAME]


def test_staged_files_take_the_place_of_the_old_set_and_other_files_stay(tmp_path: Path) -> None:
    fill(tmp_path, OLD | {"notes.txt": b"mine", "voc2012.txt": b"mine"})
    with stage(tmp_path) as staging:
        fill(staging, NEW)
        assert files_in(tmp_path).items() >= OLD.items()  # usable to the last moment
        publish(staging, tmp_path, names_of(NEW))
    assert files_in(tmp_path) == NEW | {"notes.txt": b"mine", "voc2012.txt": b"mine"}


def test_new_folders_are_made_and_go_again_when_nothing_is_published(tmp_path: Path) -> None:
    out = tmp_path / "a/b/c"
    with pytest.raises(ZeroDivisionError), stage(out) as staging:
        fill(staging, NEW)
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []
    with stage(out) as staging:
        fill(staging, NEW)
        publish(staging, out, names_of(NEW))
    assert files_in(out) == NEW


def test_a_failed_run_leaves_the_old_set_as_it_was(tmp_path: Path) -> None:
    fill(tmp_path, OLD)
    with pytest.raises(OSError, match="No space left on device; no data set was written; make it writable"):
        with stage(tmp_path) as staging:
            fill(staging, NEW)
            raise OSError(errno.ENOSPC, "No space left on device", str(staging / "part-0"))
    assert files_in(tmp_path) == OLD


def test_leftovers_of_a_killed_run_never_get_into_a_new_one(tmp_path: Path) -> None:
    fill(tmp_path, {"voc-train-00007-of-00009.tfrecord": b"stale", "voc-test-00000-of-00001.idx": b"stale"})
    with stage(tmp_path) as staging:
        fill(staging, {"part-3": b"stale"})
        os.mkdir(staging / "deep")
        leftovers = staging
        kept = files_in(staging)
    fill(leftovers, kept)  # as if killed: what was staged is still there
    with stage(tmp_path) as staging:
        assert os.listdir(staging) == []
        fill(staging, NEW)
        publish(staging, tmp_path, names_of(NEW))
    assert files_in(tmp_path) == NEW


def test_a_manifest_comes_last_and_goes_first(tmp_path: Path) -> None:
    fill(tmp_path, OLD)
    with pytest.raises(OSError, match="No such file"), stage(tmp_path) as staging:
        fill(staging, NEW)
        publish(staging, tmp_path, [*names_of(NEW), "voc-zzz.idx"])  # fails half-way: this file is not there
    assert MANIFEST_NAME not in os.listdir(tmp_path)  # neither the old set nor a mixture
    assert not list(tmp_path.glob(".building*"))


def test_a_second_builder_is_refused_while_the_first_is_at_work(tmp_path: Path) -> None:
    with stage(tmp_path) as staging:
        fill(staging, {"part-0": b"1"})
        with pytest.raises(RuntimeError, match="another process is building records in .*; wait for it, or end it"):
            with stage(tmp_path):
                pass
        assert files_in(staging) == {"part-0": b"1"}
    with stage(tmp_path):
        pass  # free again


def test_the_lock_is_on_the_folder_and_leaves_no_file(tmp_path: Path) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(RuntimeError, match="another process"), stage(tmp_path):
        pass
    os.close(handle)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file/below", tmp_path / "file/far/below"):
        with pytest.raises(OSError) as caught, stage(out):
            pass
        assert str(tmp_path / "file") in str(caught.value.filename)
    assert files_in(tmp_path) == {"file": b"x"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_wait_until_all_is_renamed(tmp_path: Path, number: int) -> None:
    new = {MANIFEST_NAME: b"new"} | {f"voc-train-{k:05d}-of-00500.idx": b"" for k in range(500)}
    fill(tmp_path, OLD)
    seen: list[bytes | None] = []

    def look(*_: object) -> None:
        path = tmp_path / MANIFEST_NAME
        seen.append(path.read_bytes() if path.exists() else None)

    def send_when_the_old_set_is_gone() -> None:
        while (tmp_path / "voc-train-00000-of-00500.idx").exists() is False:
            pass
        os.kill(os.getpid(), number)

    before = signal.signal(number, look)
    try:
        with stage(tmp_path) as staging:
            fill(staging, new)
            sender = threading.Thread(target=send_when_the_old_set_is_gone)
            sender.start()
            publish(staging, tmp_path, names_of(new))
            sender.join()
        assert signal.getsignal(number) is look
    finally:
        signal.signal(number, before)
    assert seen == [b"new"]


def test_a_full_temporary_folder_is_not_taken_for_a_full_out_dir(tmp_path: Path) -> None:
    with pytest.raises(TemporaryFolderError) as caught, stage(tmp_path / "out"):
        raise TemporaryFolderError(errno.ENOSPC, "No space left on device; set TMPDIR to another folder", "/tmp")
    assert caught.value.filename == "/tmp" and "out_dir" not in str(caught.value)
    assert not (tmp_path / "out").exists()
