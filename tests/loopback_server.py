"""A web server with Range, and a relay of connections, that die, fall silent or hang up when told to.

python tests/loopback_server.py http ROOT -p PORT --die_after=5000
python tests/loopback_server.py relay TARGET_PORT -p PORT --stall_after=5000
"""

from __future__ import annotations

import argparse
import contextlib
import http.server
import os
import re
import socket
import socketserver
import threading
from pathlib import Path

HOST = "127.0.0.1"


class _Budget:
    """Bytes that may be sent before the process dies, one connection falls silent, or is cut; -1: never."""

    def __init__(self, die_after: int, stall_after: int, cut_after: int) -> None:
        self.die_after, self.stall_after, self.cut_after = die_after, stall_after, cut_after
        self.sent, self.lock = 0, threading.Lock()

    def send(self, connection: socket.socket, data: bytes) -> None:
        with self.lock:
            before, self.sent = self.sent, self.sent + len(data)
            if 0 <= self.die_after <= self.sent:
                connection.sendall(data[: self.die_after - before])
                os._exit(9)
        if before < self.stall_after <= self.sent:
            connection.sendall(data[: self.stall_after - before])
            threading.Event().wait()
        if before < self.cut_after <= self.sent:
            connection.sendall(data[: self.cut_after - before])
            connection.shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError
        connection.sendall(data)


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

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            self.log_message('"%s" %s %s', self.requestline, code, self.headers.get("Range", "bytes=0-"))

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


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("http", "relay"))
    parser.add_argument("what")
    parser.add_argument("-p", type=int, required=True)
    parser.add_argument("--die_after", type=int, default=-1)
    parser.add_argument("--stall_after", type=int, default=-1)
    parser.add_argument("--cut_after", type=int, default=-1)
    parser.add_argument("--no_ranges", action="store_true")
    args = parser.parse_args()
    budget = _Budget(args.die_after, args.stall_after, args.cut_after)
    if args.kind == "http":
        _serve_http(args.what, args.p, budget, not args.no_ranges)
    else:
        _serve_relay(int(args.what), args.p, budget)
