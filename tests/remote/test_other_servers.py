"""Azure and Google storage by fsspec, against servers on the loopback interface; and what never leaves a client.

Needs adlfs and `azurite-blob` (npm's azurite) on the PATH, gcsfs and gcp-storage-emulator; skips what is not there.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loopback import HOST, S3, free_ports
from tests.records.test_mirror import mirrored_files
from voc_tfdata.convert.build import build_records
from voc_tfdata.records.mirror import localize
from voc_tfdata.remote import back_ends, fsspec_files
from voc_tfdata.remote import files as remote_files
from voc_tfdata.remote.frames import frame_record

# What every azurite has, by its documentation.
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
SECRET = "marked-secret-0123456789"


def start(command: list[str], port: int, log: Path) -> subprocess.Popen:
    with open(log, "wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=5):
            return process
        time.sleep(0.1)
    raise TimeoutError(log.read_text())


@pytest.fixture(params=["az", "gs"])
def folder(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, subprocess.Popen]]:
    """A folder in an empty container (bucket) of a server, by its address, and the server's process."""
    (port,) = free_ports(1)
    monkeypatch.setenv("NO_PROXY", HOST)
    monkeypatch.setenv("no_proxy", HOST)
    monkeypatch.setattr(back_ends, "_tensorflow_can", lambda scheme: False)
    if request.param == "az":
        pytest.importorskip("adlfs")
        if not shutil.which("azurite-blob"):
            pytest.skip("no azurite-blob on the PATH")
        command = ["azurite-blob", "--silent", "--skipApiVersionCheck", "--disableTelemetry", "--inMemoryPersistence"]
        command += [f"--blobPort={port}"]
        uri = "az://devstoreaccount1/box/voc"
        monkeypatch.setenv(
            "AZURE_STORAGE_CONNECTION_STRING",
            f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={AZURE_KEY};"
            f"BlobEndpoint=http://{HOST}:{port}/devstoreaccount1;",
        )
    else:
        pytest.importorskip("gcsfs")
        emulator = Path(sys.executable).with_name("gcp-storage-emulator")
        if not emulator.exists():
            pytest.skip("no gcp-storage-emulator beside Python")
        command = [str(emulator), "start", f"--host={HOST}", f"--port={port}", "--in-memory"]
        uri = "gs://box/voc"
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://{HOST}:{port}")
    process = start(command, port, tmp_path / "server.log")
    file_system, _ = fsspec_files._open(uri)
    file_system.mkdir("box")
    yield uri, process
    process.kill()
    process.wait()


@pytest.mark.slow
def test_a_folder_is_written_read_mirrored_and_streamed_as_a_local_one(
    folder: tuple[str, subprocess.Popen], noisy_records: Path, tmp_path: Path
) -> None:
    uri, _ = folder
    remote_files.check_writable(uri)
    build_records(noisy_records.parent / "VOC", uri, split_ratios="train=0.8,val=0.2", num_shards=4, num_workers=1)
    assert mirrored_files(localize(uri, tmp_path / "cache")) == mirrored_files(noisy_records)
    frames = [frame_record(payload) for payload in (b"one", b"three", bytes(9 << 20))]
    (tmp_path / "records").write_bytes(b"".join(frames))
    remote_files.write_file(tmp_path / "records", f"{uri}/records")
    assert list(remote_files.read_records(f"{uri}/records", 0)) == [b"one", b"three", bytes(9 << 20)]
    assert list(remote_files.read_records(f"{uri}/records", len(frames[0]))) == [b"three", bytes(9 << 20)]
    remote_files.remove_file(f"{uri}/records")
    remote_files.remove_file(f"{uri}/records")  # it is gone: no error
    for missing in (f"{uri}/records", uri.replace("box", "nobox") + "/a"):
        with pytest.raises(FileNotFoundError, match=f"^{missing} is not there$"):
            remote_files.read_file(missing)
    with pytest.raises(ValueError, match=f"^{uri} holds another data set"):
        build_records(noisy_records.parent / "VOC", uri, split_ratios="train=0.5,val=0.5", num_workers=1)


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["az"], indirect=True)  # gcsfs tries for two minutes
def test_a_server_that_is_gone_is_a_connection_that_failed(folder: tuple[str, subprocess.Popen]) -> None:
    uri, process = folder
    process.kill()
    process.wait()
    with pytest.raises(ConnectionError, match=rf"^{uri}/a: .* \(tried 4 times\)$"):
        remote_files.try_again(lambda: fsspec_files.read(f"{uri}/a"), wait_s=0.01)


@pytest.mark.parametrize("folder", ["az"], indirect=True)
def test_a_wrong_key_is_refused_access_and_said_nowhere(
    folder: tuple[str, subprocess.Popen], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    uri, _ = folder
    caplog.set_level(logging.INFO, logger="absl")
    settings = os.environ["AZURE_STORAGE_CONNECTION_STRING"]
    wrong = "bWFya2VkLXNlY3JldA=="
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", settings.replace(AZURE_KEY, wrong))
    with pytest.raises(
        PermissionError, match=f"^{uri}/a: access refused; set AZURE_STORAGE_CONNECTION_STRING, "
    ) as raised:
        remote_files.read_file(f"{uri}/a")
    assert wrong not in str(raised.value) + caplog.text


def test_a_secret_is_in_no_message_and_no_log(
    s3: S3, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.INFO, logger="absl")
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    messages = []
    (tmp_path / "a").write_bytes(b"x")

    def act(action: object) -> None:
        with pytest.raises((OSError, ValueError)) as raised:
            action()  # type: ignore[operator]
        messages.append(str(raised.value))

    act(lambda: remote_files.read_file("s3://bucket/none"))
    act(lambda: remote_files.read_file("s3://no-bucket/none"))
    act(lambda: remote_files.check_writable("s3://no-bucket/x"))
    act(lambda: remote_files.read_file(f"http://me:{SECRET}@{HOST}/a"))
    s3.way.kill()
    act(lambda: remote_files.try_again(lambda: list(remote_files.read_records("s3://bucket/a", 0)), wait_s=0.01))
    assert len(messages) == 5 and SECRET not in "".join(messages) + caplog.text


def test_what_signs_a_request_is_cut_out_of_an_explanation() -> None:
    url = f"https://host/a?sig={SECRET}&X-Amz-Signature={SECRET}&X-Amz-Security-Token={SECRET}"
    explained = fsspec_files._explain(RuntimeError(f"cannot connect to {url} at all"), "az://account/box/a")
    assert str(explained) == "az://account/box/a: cannot connect to https://host/a at all"
