"""Real servers on the loopback interface, as processes of their own: S3 (moto's), HTTP with Range, a relay to S3.

    with run_http(folder, root, "--die_after=5000") as web: ...
    s3.way.kill(); s3.way.start("--die_after=5000")          # on the same port; what the S3 server holds, it keeps

The relay and the HTTP server can be told to die, or to fall silent or hang up once, after so many bytes sent, in the
middle of an answer. The S3 client reads its address once a process: so a session has one relay, and one S3 server
behind it.
"""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.devkit_fixture import draw_noise, encode, sample, write_devkit
from voc_tfdata.classes import VOC_CLASSES
from voc_tfdata.convert.build import build_records
from voc_tfdata.remote import back_ends

HOST = "127.0.0.1"
_SERVER = str(Path(__file__).with_name("loopback_server.py"))
# For a client that is to give up at once, knows its credentials and asks no other host for them.
CLIENT_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "somebody",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",
    "NO_PROXY": HOST,
    "no_proxy": HOST,
}

BACK_ENDS = ("tensorflow-io", "fsspec")
ANY_BACK_END = pytest.mark.parametrize("s3", ["any"], indirect=True)


@dataclass
class Server:
    """A process that listens; start() again after it has died keeps the port."""

    arguments: tuple[str, ...]  # of this file, or of moto's server
    log: Path
    port: int = 0
    process: subprocess.Popen | None = None
    more: tuple[str, ...] = ()  # further arguments it was started with

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def start(self, *more: str) -> None:
        """Starts it, with further arguments, and returns when it listens."""
        self.more = more
        port = str(self.port or free_ports(1)[0])
        command = [sys.executable, *self.arguments, *more, "-p", port]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.port = int(port)
        deadline = time.monotonic() + 300
        while True:
            with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=5):
                return
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """Ends the process, by its id."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def restart(self, *more: str) -> None:
        """Ends it and starts it with other arguments."""
        self.kill()
        self.start(*more)

    def requests(self) -> list[str]:
        """Returns the request lines so far: "GET /bucket/voc/manifest.json"."""
        text = re.sub(r"\x1b\[[0-9;]*m", "", self.log.read_text())
        return re.findall(r'"((?:GET|HEAD|PUT|POST|DELETE) \S+) HTTP', text)

    def first_bytes(self, path: str) -> list[int]:
        """Returns where the ranges of a file began that were asked for (of a web server)."""
        return [int(start) for start in re.findall(rf'"GET {re.escape(path)} .*bytes=(\d+)-', self.log.read_text())]


@dataclass
class S3:
    """An S3 server and the relay in front of it."""

    store: Server
    way: Server
    back_end: str = ""  # who talks to it in this test

    def no_connection(self) -> str:
        """Returns a regular expression for what the back end says of a connection that fails."""
        return r"curlCode: \d+, .*" if self.back_end == "tensorflow-io" else ".*"

    def ask(self, method: str, path: str, data: bytes | None = None) -> bytes:
        """Returns the answer to a request to the server itself: ask("PUT", "bucket/voc/a.txt", b"...")."""
        signature = "AWS4-HMAC-SHA256 Credential=somebody/20260101/us-east-1/s3/aws4_request"
        headers = {"Authorization": signature, "Content-Type": "application/octet-stream"}
        request = urllib.request.Request(f"{self.store.url}/{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.read()

    def put_folder(self, folder: Path, path: str) -> str:
        """Uploads the files of a folder to bucket/prefix and returns the URI."""
        for file in folder.iterdir():
            self.ask("PUT", f"{path}/{file.name}", file.read_bytes())
        return f"s3://{path}"

    def files(self, path: str) -> dict[str, bytes]:
        """Returns {name: bytes} of what lies under bucket/prefix."""
        bucket, _, prefix = path.partition("/")
        listing = self.ask("GET", f"{bucket}?list-type=2&prefix={prefix}/").decode()
        keys = re.findall(r"<Key>(.*?)</Key>", listing)
        return {key.removeprefix(f"{prefix}/"): self.ask("GET", f"{bucket}/{key}") for key in keys}

    def requests(self) -> list[str]:
        """Returns the requests so far, as "GET voc-train-00000-of-00002.tfrecord"."""
        return [re.sub(r" \S*/", " ", line) for line in self.store.requests()]


@pytest.fixture(scope="session")
def s3_of_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    pytest.importorskip("moto", reason="no S3 server: moto is not installed")
    with run_s3(tmp_path_factory.mktemp("s3")) as s3, pytest.MonkeyPatch.context() as patch:
        for name, value in CLIENT_ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("S3_ENDPOINT", s3.way.url)
        yield s3


@pytest.fixture(params=BACK_ENDS)
def s3(request: pytest.FixtureRequest, s3_of_session: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """An S3 server and its relay, for a test that runs once with each back end, of S3 and of http.

    Parametrized indirectly by ANY_BACK_END, for a test in other processes, it runs once, with that which is installed.
    Skips, with the reason, what is not installed.
    """
    tensorflow_can = back_ends._tensorflow_can("s3")
    wanted = request.param if request.param in BACK_ENDS else BACK_ENDS[0 if tensorflow_can else 1]
    if wanted == "tensorflow-io" and not tensorflow_can:
        pytest.skip("tensorflow-io is not installed, or not for this TensorFlow")
    if wanted == "fsspec":
        pytest.importorskip("s3fs")
        if tensorflow_can:
            monkeypatch.setattr(back_ends, "_tensorflow_can", lambda scheme: False)
    s3_of_session.back_end = wanted
    yield s3_of_session
    way = s3_of_session.way
    if way.more or way.process is None or way.process.poll() is not None:
        way.restart()


@pytest.fixture(scope="session")
def noisy_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of 16 images of noise, 4 shards of some 200 KB in split train, one of split val."""
    pictures = {f"{k:04d}": encode(draw_noise(160, 120, seed=k), "JPEG", quality=95) for k in range(20)}
    samples = {name: sample(VOC_CLASSES[k % 20], picture=jpeg) for k, (name, jpeg) in enumerate(pictures.items())}
    root = write_devkit(tmp_path_factory.mktemp("noisy") / "VOC", samples)
    build_records(root, root.parent / "records", split_ratios="train=0.8,val=0.2", num_shards=4, num_workers=1)
    return root.parent / "records"


@contextlib.contextmanager
def run_s3(folder: Path) -> Iterator[S3]:
    """Yields moto's S3 server with an empty bucket named "bucket", and a relay to it."""
    store = Server(("-m", "moto.server", "-H", HOST), folder / "s3.log")
    for _ in _run(store):
        for way in _run(Server((_SERVER, "relay", str(store.port)), folder / "relay.log")):
            s3 = S3(store, way)
            s3.ask("PUT", "bucket")
            yield s3


@contextlib.contextmanager
def run_http(folder: Path, root: Path, *more: str) -> Iterator[Server]:
    """Yields a web server over the files in root that answers Range requests."""
    yield from _run(Server((_SERVER, "http", str(root)), folder / "http.log"), *more)


def _run(server: Server, *more: str) -> Iterator[Server]:
    server.start(*more)
    try:
        yield server
    finally:
        server.kill()


def free_ports(count: int) -> list[int]:
    """Returns ports that nobody listens at."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]


def start_again_when_dead(server: Server) -> threading.Thread:
    """Waits, in a thread, until a server is dead, and starts it again."""
    process = server.process
    assert process

    def start() -> None:
        assert process.wait(300) == 9  # it died, as told to
        server.start()

    thread = threading.Thread(target=start)
    thread.start()
    return thread
