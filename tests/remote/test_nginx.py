"""Records on an nginx, by http with Range: mirrored and streamed, refused, busy, and broken off on the way.

Needs nginx on the PATH (or in /usr/sbin); skips without it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loopback import HOST, S3, free_ports
from tests.records.test_mirror import mirrored_files
from voc_tfdata.records.manifest import read_manifest
from voc_tfdata.records.mirror import localize
from voc_tfdata.records.streaming import stream_records
from voc_tfdata.records.tfrecord import iterate_records
from voc_tfdata.remote import files as remote_files

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
CONFIGURATION = """
daemon off; master_process off; pid {here}/pid; error_log {here}/errors.log;
events {{ }}
http {{
  access_log {here}/access.log; client_body_temp_path {here}; proxy_temp_path {here};
  fastcgi_temp_path {here}; uwsgi_temp_path {here}; scgi_temp_path {here};
  server {{
    listen {host}:{port}; root {root};
    location /forbidden/ {{ return 403; }}
    location /busy/ {{ return 503; }}
    location /slow/ {{ alias {root}/; limit_rate 400k; }}
  }}
}}
"""


class Nginx:
    """An nginx over the files of a folder."""

    def __init__(self, here: Path, root: Path) -> None:
        (self.port,) = free_ports(1)
        self.url, self._here = f"http://{HOST}:{self.port}", here
        text = CONFIGURATION.format(here=here, host=HOST, port=self.port, root=root)
        (here / "nginx.conf").write_text(text)

    def start(self) -> None:
        """Starts it and returns when it listens."""
        command = [str(NGINX), "-e", f"{self._here}/errors.log", "-c", f"{self._here}/nginx.conf"]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        for _ in range(600):
            assert self.process.poll() is None, (self._here / "errors.log").read_text()
            with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=5):
                return
            time.sleep(0.05)
        raise TimeoutError("nginx does not listen")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def nginx(tmp_path: Path, noisy_records: Path) -> Iterator[Nginx]:
    if not NGINX:
        pytest.skip("no nginx")
    (tmp_path / "nginx").mkdir()
    server = Nginx(tmp_path / "nginx", noisy_records)
    server.start()
    yield server
    server.kill()


def test_records_are_mirrored_and_streamed_as_they_are(
    s3: S3, nginx: Nginx, noisy_records: Path, tmp_path: Path
) -> None:
    assert mirrored_files(localize(nginx.url, tmp_path / "cache")) == mirrored_files(noisy_records)
    shards = list(read_manifest(nginx.url).splits["train"].shards)
    payloads = [payload for shard in shards for payload in iterate_records(noisy_records / shard.file)]
    assert list(stream_records(nginx.url, shards).as_numpy_iterator()) == payloads
    first = noisy_records / shards[0].file
    offset = len(next(iter(iterate_records(first)))) + 16
    assert list(remote_files.read_records(f"{nginx.url}/{first.name}", offset)) == list(iterate_records(first))[1:]


def test_what_is_missing_forbidden_or_busy_is_told_apart(s3: S3, nginx: Nginx) -> None:
    with pytest.raises(FileNotFoundError, match=f"^{nginx.url}/none is not there$"):
        remote_files.read_file(f"{nginx.url}/none")
    back_end = remote_files.find_back_end(nginx.url)
    for read in (back_end.read, lambda uri: list(back_end.read_records(uri, 0))):
        with pytest.raises(FileNotFoundError, match=f"^{nginx.url}/none is not there$"):
            read(f"{nginx.url}/none")
        with pytest.raises(PermissionError, match=f"^{nginx.url}/forbidden/a: access refused"):
            read(f"{nginx.url}/forbidden/a")
        with pytest.raises(ConnectionError, match=f"^{nginx.url}/busy/a: "):
            read(f"{nginx.url}/busy/a")
    nginx.kill()
    for read in (back_end.read, lambda uri: list(back_end.read_records(uri, 0))):
        with pytest.raises(ConnectionError, match=f"^{nginx.url}/a: "):
            read(f"{nginx.url}/a")


@pytest.mark.slow
def test_a_server_that_is_killed_and_comes_back_is_gone_on_with(s3: S3, nginx: Nginx, noisy_records: Path) -> None:
    shards = list(read_manifest(noisy_records).splits["train"].shards)
    records: list[bytes] = []
    at_kill: list[int] = []

    def restart() -> None:
        while not records:  # 400 KB/s: the second shard is on its way
            time.sleep(0.01)
        nginx.kill()
        at_kill.append(len(records))
        nginx.start()

    thread = threading.Thread(target=restart)
    thread.start()
    for payload in stream_records(f"{nginx.url}/slow", shards, retry_wait_s=0.5).as_numpy_iterator():
        records.append(payload)
    thread.join()
    assert 0 < at_kill[0] < sum(shard.num_examples for shard in shards)
    assert records == [payload for shard in shards for payload in iterate_records(noisy_records / shard.file)]
