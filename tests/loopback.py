"""Real servers on the loopback interface, as processes of their own: S3 (moto), HTTP with Range, a relay that dies.

    with s3_server() as s3, relay(s3.port) as way: ...      # way.kill(); way.start() again on the same port

The relay and the HTTP server can be told to die after so many bytes sent, in the middle of an answer.
"""

from __future__ import annotations

import argparse
import contextlib
import http.server
import os
import re
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"


@dataclass
class Server:
    """A process that listens; start() again after it has died keeps the port."""

    arguments: tuple[str, ...]  # of this file, or of moto's server
    log: Path
    port: int = 0
    process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def start(self, *more: str) -> None:
        """Starts it, with further arguments, and returns when it listens."""
        port = str(self.port or _free_port())
        command = [sys.executable, *self.arguments, *more, "-p", port]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.port = int(port)
        deadline = time.monotonic() + 60
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

    def wait_until_dead(self) -> None:
        assert self.process
        self.process.wait(60)

    def requests(self) -> list[str]:
        """Returns the request lines so far: "GET /bucket/voc/manifest.json"."""
        text = re.sub(r"\x1b\[[0-9;]*m", "", self.log.read_text())
        return re.findall(r'"((?:GET|HEAD|PUT|POST|DELETE) \S+) HTTP', text)


@contextlib.contextmanager
def run_s3(folder: Path) -> Iterator[Server]:
    """Yields moto's S3 server; what it holds is gone afterwards."""
    yield from _run(Server(("-m", "moto.server", "-H", HOST), folder / "s3.log"))


@contextlib.contextmanager
def run_http(folder: Path, root: Path, *more: str) -> Iterator[Server]:
    """Yields a web server over the files in root that answers Range requests."""
    yield from _run(Server((__file__, "http", str(root)), folder / "http.log"), *more)


@contextlib.contextmanager
def run_relay(folder: Path, target_port: int, *more: str) -> Iterator[Server]:
    """Yields a relay of connections to another port."""
    yield from _run(Server((__file__, "relay", str(target_port)), folder / "relay.log"), *more)


def _run(server: Server, *more: str) -> Iterator[Server]:
    server.start(*more)
    try:
        yield server
    finally:
        server.kill()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return free.getsockname()[1]


class _Budget:
    """Bytes that may still be sent; the process ends, as if killed, with the last of them."""

    def __init__(self, size: int) -> None:
        self.left, self.lock = size, threading.Lock()

    def send(self, connection: socket.socket, data: bytes) -> None:
        with self.lock:
            allowed = data if self.left < 0 else data[: self.left]
            connection.sendall(allowed)
            if self.left >= 0:
                self.left -= len(allowed)
                if not self.left:
                    os._exit(9)


def _serve_relay(target_port: int, port: int, budget: _Budget) -> None:
    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((HOST, target_port)) as target:
                threading.Thread(target=self._pump, args=(self.request, target, False), daemon=True).start()
                self._pump(target, self.request, True)

        def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(16 << 10):  # 16 KiB
                    budget.send(sink, data) if answers else sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)

    socketserver.ThreadingTCPServer.allow_reuse_address = True
    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer((HOST, port), Relay) as server:
        server.serve_forever()


def _serve_http(root: str, port: int, budget: _Budget, ranges: bool) -> None:
    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = Path(self.translate_path(self.path))
            if not path.is_file():
                return self.send_error(404)
            data, size = path.read_bytes(), path.stat().st_size
            span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if ranges else None
            if span:
                start, end = int(span[1]), min(int(span[2] or size), size - 1)
                if start >= size:
                    return self.send_error(416)
                data = data[start : end + 1]
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.flush()
            budget.send(self.connection, data)

    with http.server.ThreadingHTTPServer((HOST, port), lambda *args: Handler(*args, directory=root)) as server:
        server.serve_forever()


def copy_tree(source: Path, target: Path) -> Path:
    """Returns a copy of a folder, to be damaged."""
    shutil.copytree(source, target)
    return target


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("http", "relay"))
    parser.add_argument("what")
    parser.add_argument("-p", type=int, required=True)
    parser.add_argument("--die_after", type=int, default=-1)
    parser.add_argument("--no_ranges", action="store_true")
    args = parser.parse_args()
    if args.kind == "http":
        _serve_http(args.what, args.p, _Budget(args.die_after), not args.no_ranges)
    else:
        _serve_relay(int(args.what), args.p, _Budget(args.die_after))
