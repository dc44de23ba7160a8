"""Reading and writing remote files, against real servers on the loopback interface."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

from tests.loopback import S3, run_http
from voc_tfdata.remote import files as remote_files
from voc_tfdata.remote.frames import frame_record


def test_a_file_is_written_read_and_removed(s3: S3, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"some bytes")
    remote_files.write_file(tmp_path / "a.txt", "s3://bucket/files/a.txt")
    remote_files.write_file(tmp_path / "a.txt", "s3://bucket/files/b.txt")
    assert remote_files.read_file("s3://bucket/files/a.txt") == b"some bytes"
    remote_files.remove_file("s3://bucket/files/a.txt")
    remote_files.remove_file("s3://bucket/files/a.txt")  # it is gone: no error
    assert s3.files("bucket/files") == {"b.txt": b"some bytes"}


def test_a_file_larger_than_one_request_comes_whole(s3: S3) -> None:
    data = b"".join(k.to_bytes(4, "big") for k in range(400_000))  # 1.6 MB, in requests of 512 KiB
    s3.ask("PUT", "bucket/large", data)
    assert remote_files.read_file("s3://bucket/large") == data


def test_records_are_read_from_an_offset_on(s3: S3) -> None:
    # frames of 12 + 3 + 4 = 19 and 12 + 5 + 4 = 21 bytes: the third begins at byte 40
    s3.ask("PUT", "bucket/records", b"".join(map(frame_record, (b"one", b"three", b"second"))))
    assert list(remote_files.read_records("s3://bucket/records", 0)) == [b"one", b"three", b"second"]
    assert list(remote_files.read_records("s3://bucket/records", 40)) == [b"second"]
    assert list(remote_files.read_records("s3://bucket/records", 62)) == []  # the end


@pytest.mark.parametrize(
    ("uri", "error", "message"),
    [
        ("s3://bucket/none", FileNotFoundError, r"^s3://bucket/none is not there$"),
        (
            "s3://no-bucket/a",
            OSError,
            r"^s3://no-bucket/a: there is no bucket 'no-bucket' at http://127.0.0.1:\d+; make ",
        ),
    ],
)
def test_what_is_not_there_is_said_in_one_line(s3: S3, uri: str, error: type[Exception], message: str) -> None:
    for read in (remote_files.read_file, lambda uri: list(remote_files.read_records(uri, 0))):
        with pytest.raises(error, match=message):
            read(uri)


def test_without_credentials_one_line_says_what_to_set(s3: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    s3.ask("PUT", "bucket/private", b"x")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(PermissionError, match=r"^s3://bucket/private: access refused; set AWS_ACCESS_KEY_ID and "):
        remote_files.read_file("s3://bucket/private")


def test_a_folder_is_tried_by_a_file_that_does_not_stay(s3: S3) -> None:
    remote_files.check_writable("s3://bucket/tried")
    assert s3.files("bucket/tried") == {}
    changes = [line.split()[0] for line in s3.requests() if "can_write" in line and line.startswith(("PUT", "DEL"))]
    assert changes[-2:] == ["PUT", "DELETE"]
    with pytest.raises(OSError, match="^s3://no-bucket/x: there is no bucket 'no-bucket'"):
        remote_files.check_writable("s3://no-bucket/x")
    with pytest.raises(ValueError, match="^http://127.0.0.1/x: http addresses can only be read"):
        remote_files.check_writable("http://127.0.0.1/x")


def test_a_server_that_is_not_there_is_one_line_after_four_tries(s3: S3) -> None:
    s3.way.kill()
    with pytest.raises(ConnectionError) as raised:
        remote_files.try_again(lambda: list(remote_files.read_records("s3://bucket/a", 0)), wait_s=0.01)
    expected = rf"s3://bucket/a: {s3.no_connection()} at {s3.way.url} \(tried 4 times\)"
    assert re.fullmatch(expected, str(raised.value))


def test_a_server_that_comes_back_is_asked_again(s3: S3) -> None:
    s3.ask("PUT", "bucket/back", b"here")
    s3.way.kill()
    thread = threading.Timer(0.5, s3.way.start)
    thread.start()
    assert remote_files.read_file("s3://bucket/back") == b"here"
    thread.join()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_an_action_is_tried_again_only_if_the_connection_failed(count: int) -> None:
    calls: list[int] = []

    def action(error: Exception) -> int:
        calls.append(1)
        if len(calls) <= count:
            raise error
        return len(calls)

    assert remote_files.try_again(lambda: action(ConnectionError("x")), wait_s=0) == count + 1
    calls.clear()
    if count:
        with pytest.raises(PermissionError):
            remote_files.try_again(lambda: action(PermissionError("x")), wait_s=0)
        assert len(calls) == 1


def test_http_is_read_by_ranges(s3: S3, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"some bytes")
    shard = b"".join(frame_record(bytes(1000)) for _ in range(10_000))  # 10 MB
    (tmp_path / "shard").write_bytes(shard)
    with run_http(tmp_path, tmp_path) as web:
        assert remote_files.read_file(f"{web.url}/a.txt") == b"some bytes"
        assert sum(1 for _ in remote_files.read_records(f"{web.url}/shard", 0)) == 10_000
        first, second = web.first_bytes("/shard")
        assert first == 0 and 0 <= second - (8 << 20) < 1016  # fsspec reads on to the end of what was asked for
        with pytest.raises(FileNotFoundError, match="^http.*/none is not there$"):
            remote_files.read_file(f"{web.url}/none")


def test_a_server_that_ignores_ranges_is_named(s3: S3, tmp_path: Path) -> None:
    (tmp_path / "shard").write_bytes(b"".join(frame_record(bytes(1000)) for _ in range(10_000)))
    with run_http(tmp_path, tmp_path, "--no_ranges") as web:
        with pytest.raises(
            OSError, match="^http.*/shard: the server ignores Range requests; use one that answers them"
        ):
            list(remote_files.read_records(f"{web.url}/shard", 0))


def test_the_first_failure_of_parallel_work_comes_out_and_stops_the_rest() -> None:
    stop, done = threading.Event(), []

    def work(k: int) -> None:
        if k == 1:
            raise ConnectionError("one")
        stop.wait(30)
        done.append(k)

    with pytest.raises(ConnectionError, match="^one$"):
        remote_files.in_parallel(work, range(100), num_threads=2, stop=stop)
    assert stop.is_set() and done == [0]  # it had begun
