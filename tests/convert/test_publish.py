"""A folder is a complete data set or none, whatever happens while it is made."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.devkit_fixture import draw_noise, encode, files_in, sample, write_devkit
from tests.loopback import ANY_BACK_END, CLIENT_ENVIRONMENT, S3
from tests.paths import ROOT
from voc_tfdata.convert.build import BuildReport, build_records
from voc_tfdata.convert.publish import publish, stage
from voc_tfdata.devkit.spill import TemporaryFolderError
from voc_tfdata.records.manifest import MANIFEST_NAME, Manifest, Shard, Split, format_manifest


def data_set(seed: int, num_shards: int) -> dict[str, bytes]:
    """Returns the files of a data set: only its manifest is real."""
    shards = tuple(
        Shard(f"voc-train-{k:05d}-of-{num_shards:05d}.tfrecord", 1, 16, "00000000") for k in range(num_shards)
    )
    split = Split(num_shards, shards, "voc-train-ids.txt", "00000000", {"dog": 0}, {"dog": 0}, 0, num_shards)
    manifest = Manifest(("dog",), seed, {}, {"train": split})
    names = [name for shard in shards for name in (shard.file, shard.file.replace(".tfrecord", ".idx"))]
    files = {name: f"{seed} {name}".encode() for name in [*names, "voc-train-ids.txt"]}
    return files | {MANIFEST_NAME: format_manifest(manifest).encode()}


OLD, NEW = data_set(1, 2), data_set(2, 1)


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


def test_somebody_elses_file_is_neither_deleted_nor_written_over(tmp_path: Path) -> None:
    foreign = {"voc-train-mine.tfrecord": b"mine", "voc-test-00000-of-00001.idx": b"mine"}
    fill(tmp_path, foreign)
    with stage(tmp_path) as staging:
        fill(staging, NEW)
        publish(staging, tmp_path, names_of(NEW))
    assert files_in(tmp_path) == NEW | foreign
    (tmp_path / MANIFEST_NAME).unlink()  # now nothing says whose the other files are
    before = files_in(tmp_path)
    with pytest.raises(FileExistsError, match="is of no data set that a manifest here names; move it away") as caught:
        with stage(tmp_path) as staging:
            fill(staging, NEW)
            publish(staging, tmp_path, names_of(NEW))
    assert caught.value.filename == str(tmp_path / "voc-train-00000-of-00001.idx") and files_in(tmp_path) == before


@pytest.mark.parametrize("fails_at", range(9))
def test_a_rename_that_fails_leaves_the_old_set_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    fill(tmp_path, OLD | {"notes.txt": b"mine"})
    rename, calls = os.rename, iter(range(99))

    def fail_once(source: object, target: object) -> None:
        if next(calls) == fails_at:  # 6 files of the old set aside, 3 of the new one in
            raise OSError(errno.EIO, "Input/output error")
        rename(source, target)

    with pytest.raises(OSError, match="Input/output error"), stage(tmp_path) as staging:
        fill(staging, NEW)
        monkeypatch.setattr(os, "rename", fail_once)
        publish(staging, tmp_path, names_of(NEW))
    assert files_in(tmp_path) == OLD | {"notes.txt": b"mine"}


@pytest.mark.parametrize("killed_at", range(11))
def test_a_kill_in_the_middle_of_publishing_is_undone_by_the_next_run(tmp_path: Path, killed_at: int) -> None:
    fill(tmp_path, OLD)
    child = os.fork()
    if not child:  # ends without any of its clean-up, as by kill -9
        rename, calls = os.rename, iter(range(99))

        def die(source: object, target: object) -> None:
            if next(calls) == killed_at:
                os._exit(0)
            rename(source, target)

        with stage(tmp_path) as staging:
            fill(staging, NEW)
            os.rename = die  # type: ignore[assignment]
            publish(staging, tmp_path, names_of(NEW))
        os._exit(0)
    os.waitpid(child, 0)
    completed = files_in(tmp_path).get(MANIFEST_NAME) == NEW[MANIFEST_NAME]
    with stage(tmp_path):
        assert {k: v for k, v in files_in(tmp_path).items() if "/" not in k} == (NEW if completed else OLD)
    assert completed == (killed_at >= 10)  # 6 aside, 3 in, the manifest


def test_data_and_names_reach_the_disk_before_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut can leave is what had been synced: no manifest over data, or names, that were not."""
    synced: set[str] = set()  # by inode: files whose bytes are on the disk
    fsync, rename = os.fsync, os.rename
    folder_synced_after: list[str] = []
    log: list[tuple[str, str]] = []

    def note_fsync(handle: int) -> None:
        synced.add(str(os.fstat(handle).st_ino))
        log.append(("fsync", os.readlink(f"/proc/self/fd/{handle}")))
        fsync(handle)

    def note_rename(source: str | Path, target: str | Path) -> None:
        if Path(target).parent == tmp_path:
            assert str(os.stat(source).st_ino) in synced, f"{source} was not synced"
        if Path(target) == tmp_path / MANIFEST_NAME:
            folder_synced_after.append(log[-1][1])
        log.append(("rename", str(target)))
        rename(source, target)

    fill(tmp_path, OLD)
    with stage(tmp_path) as staging:
        fill(staging, NEW)
        monkeypatch.setattr(os, "fsync", note_fsync)
        monkeypatch.setattr(os, "rename", note_rename)
        publish(staging, tmp_path, names_of(NEW))
        monkeypatch.undo()
    assert folder_synced_after == [str(tmp_path)]  # the names of the data, just before the manifest
    assert log[-1] == ("fsync", str(tmp_path))


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
    new = data_set(3, 250)
    fill(tmp_path, OLD)
    seen: list[bytes | None] = []

    def look(*_: object) -> None:
        path = tmp_path / MANIFEST_NAME
        seen.append(path.read_bytes() if path.exists() else None)

    def send_when_the_old_set_is_gone() -> None:
        while (tmp_path / "voc-train-00000-of-00250.idx").exists() is False:
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
    assert seen == [new[MANIFEST_NAME]]


def test_a_full_temporary_folder_is_not_taken_for_a_full_out_dir(tmp_path: Path) -> None:
    with pytest.raises(TemporaryFolderError) as caught, stage(tmp_path / "out"):
        raise TemporaryFolderError(errno.ENOSPC, "No space left on device; set TMPDIR to another folder", "/tmp")
    assert caught.value.filename == "/tmp" and "out_dir" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    pictures = [encode(draw_noise(160, 120, seed=k), "JPEG", quality=95) for k in range(6)]  # 25 KB each
    samples = {f"{k}": sample("dog" if k % 2 else "cat", picture=jpeg) for k, jpeg in enumerate(pictures)}
    return write_devkit(tmp_path / "VOC", samples)


def build(devkit: Path, out_dir: str | Path, **options: object) -> BuildReport:
    arguments = {"split_ratios": "train=0.5,val=0.5", "num_workers": 1} | options
    return build_records(devkit, out_dir, **arguments)  # type: ignore[arg-type]


def test_a_bucket_gets_the_bytes_of_a_local_build_the_manifest_last(s3: S3, devkit: Path, tmp_path: Path) -> None:
    build(devkit, tmp_path / "local", num_shards=2)
    before = len(s3.requests())
    report = build(devkit, "s3://bucket/built/voc/", num_shards=2)
    assert report.written and report.out_dir == "s3://bucket/built/voc/"
    assert s3.files("bucket/built/voc") == files_in(tmp_path / "local")
    written = [line.split()[1] for line in s3.requests()[before:] if line.startswith("PUT")]
    assert written[-1] == "manifest.json" and written.count("manifest.json") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["VOC", "local"]


def test_another_data_set_there_is_kept_unless_it_may_be_overwritten(s3: S3, devkit: Path, tmp_path: Path) -> None:
    folder = f"bucket/kept-{s3.back_end}"
    uri = f"s3://{folder}"
    build(devkit, uri, num_shards=3)
    old = s3.files(folder)
    s3.ask("PUT", f"{folder}/notes.txt", b"of the user")
    with pytest.raises(ValueError, match=f"^{uri} holds another data set .*; add --overwrite to replace it"):
        build(devkit, uri, seed=1)
    assert s3.files(folder) == old | {"notes.txt": b"of the user"}

    build(devkit, tmp_path / "new", seed=1, num_shards=1)
    before = len(s3.requests())
    build(devkit, uri, seed=1, num_shards=1, overwrite=True)
    assert s3.files(folder) == files_in(tmp_path / "new") | {"notes.txt": b"of the user"}  # nothing stale
    changes = [
        line for line in s3.requests()[before:] if line.startswith(("PUT", "DELETE")) and "can_write" not in line
    ]
    assert changes[0] == "DELETE manifest.json" and changes[-1] == "PUT manifest.json"  # never a mixture with one


@pytest.mark.parametrize(
    ("uri", "error", "message"),
    [
        ("s3://no-bucket/voc", OSError, "^s3://no-bucket/voc: there is no bucket 'no-bucket' at http"),
        ("http://127.0.0.1/voc", ValueError, "^http://127.0.0.1/voc: http addresses can only be read"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_devkit_is_read(
    s3: S3, tmp_path: Path, uri: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        build(tmp_path / "no devkit", uri)


def test_bad_files_leave_the_bucket_as_it_was(s3: S3, devkit: Path) -> None:
    (devkit / "JPEGImages" / "3.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match="1 bad file, nothing was written"):
        build(devkit, "s3://bucket/bad")
    assert s3.files("bucket/bad") == {}


def test_a_server_that_dies_while_it_is_written_leaves_no_data_set(s3: S3, devkit: Path) -> None:
    uri = "s3://bucket/dies"
    build(devkit, uri, num_shards=2)
    size = len(s3.files("bucket/dies")["manifest.json"])  # it is read twice, to see what is there
    s3.way.restart(f"--die_after={2 * size + 4000}")  # other answers are some 250 bytes: after those that it is gone by
    with pytest.raises(ConnectionError, match=rf"^{uri}/\S+: {s3.no_connection()} \(tried 4 times\)$"):
        build(devkit, uri, num_shards=2, overwrite=True)
    assert "manifest.json" not in s3.files("bucket/dies")  # the old one went first
    s3.way.restart()
    build(devkit, uri, num_shards=2)
    assert "manifest.json" in s3.files("bucket/dies")


@pytest.mark.slow
@ANY_BACK_END
def test_the_command_writes_to_a_bucket_and_exits_with_its_own_status(s3: S3, devkit: Path) -> None:
    environment = os.environ | CLIENT_ENVIRONMENT | {"AWS_ENDPOINT_URL": s3.way.url}
    environment.pop("S3_ENDPOINT", None)

    def run(uri: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "tools/build_tfrecords.py", f"--voc_root={devkit}", f"--out_dir={uri}"]
        return subprocess.run([*command, "--num_workers=2"], cwd=ROOT, env=environment, capture_output=True, text=True)

    done = run("s3://bucket/command")
    assert done.returncode == 0, done.stderr
    assert "wrote s3://bucket/command: 6 images" in done.stdout and "pure virtual" not in done.stderr
    assert "manifest.json" in s3.files("bucket/command")
