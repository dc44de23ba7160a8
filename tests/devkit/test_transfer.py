import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from voc_tfdata.devkit import transfer

CONTENT = b"".join(k.to_bytes(2, "big") for k in range(5000))  # 10,000 bytes, no two places alike


@dataclass
class Server:
    """A web server on the loopback interface; the lists are used up, one entry a request."""

    files: dict[str, bytes]  # address -> body
    url: str = ""
    ranges: bool = True  # answers Range with 206, else sends the whole file
    cut: list[int] = field(default_factory=list)  # closes the connection after that many bytes of the body
    stall: list[int] = field(default_factory=list)  # falls silent after that many bytes of the body
    status: list[int] = field(default_factory=list)  # answers with this status
    shift: list[int] = field(default_factory=list)  # sends a range that begins that many bytes too early
    content_type: str = "application/x-tar"
    length: str | None = None  # Content-Length as a text, where it is rubbish
    empty: list[int] = field(default_factory=list)  # answers with this status and nothing else
    claimed_bytes: int = 0  # Content-Length, where it is not the right one
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # (address, Range) of all so far


@contextlib.contextmanager
def run_server(files: Mapping[str, bytes]) -> Iterator[Server]:
    server = Server(dict(files))
    stopped = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            span = self.headers["Range"]
            server.requests.append((self.path, span))
            body = server.files.get(self.path)
            if server.empty:
                self.send_response(server.empty.pop(0))
                return self.end_headers()
            if body is None or server.status:
                return self.send_error(server.status.pop(0) if server.status else 404)
            start = int(span.removeprefix("bytes=").removesuffix("-")) if span and server.ranges else 0
            if start and start >= len(body):
                return self.send_error(416)
            start -= server.shift.pop(0) if server.shift else 0
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            self.send_header("Content-Type", server.content_type)
            length = str(server.claimed_bytes or len(body) - start) if server.length is None else server.length
            self.send_header("Content-Length", length)
            self.end_headers()
            body = body[start:]
            if server.cut:
                body = body[: server.cut.pop(0)]
            elif server.stall:
                self.wfile.write(body[: server.stall.pop(0)])
                stopped.wait(5)
                return
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    http_server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http_server.server_port}"
    thread = threading.Thread(target=http_server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        stopped.set()
        http_server.shutdown()
        http_server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def download(path: Path, *urls: str, timeout_s: float = 5.0, **limits: float) -> str:
    with open(path, "a+b") as file:
        return transfer.download(urls, file, timeout_s=timeout_s, retry_wait_s=0.0, **limits)  # type: ignore[arg-type]


def test_whole_file_comes_with_one_request(tmp_path: Path) -> None:
    with run_server({"/a": CONTENT}) as server:
        assert download(tmp_path / "a", f"{server.url}/a") == f"{server.url}/a"
    assert server.requests == [("/a", None)]
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_connection_that_breaks_is_resumed_at_the_byte_where_it_broke(tmp_path: Path) -> None:
    with run_server({"/a": CONTENT}) as server:
        server.cut = [4000, 3000]
        download(tmp_path / "a", f"{server.url}/a")
    assert [span for _, span in server.requests] == [None, "bytes=4000-", "bytes=7000-"]  # 4000 + 3000
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_server_that_falls_silent_is_left_after_the_timeout_and_asked_for_the_rest(tmp_path: Path) -> None:
    with run_server({"/a": CONTENT}) as server:
        server.stall = [6000]
        start_s = time.monotonic()
        download(tmp_path / "a", f"{server.url}/a", timeout_s=0.2)
        assert time.monotonic() - start_s < 30
    assert [span for _, span in server.requests] == [None, "bytes=6000-"]
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_beginning_of_an_earlier_run_is_completed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT[:1234])
    with run_server({"/a": CONTENT}) as server:
        download(tmp_path / "a", f"{server.url}/a")
    assert [span for _, span in server.requests] == ["bytes=1234-"]
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_server_without_range_support_sends_all_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT[:1234])
    with run_server({"/a": CONTENT}) as server:
        server.ranges = False
        download(tmp_path / "a", f"{server.url}/a")
    assert [span for _, span in server.requests] == ["bytes=1234-"]
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_server_without_range_support_that_always_breaks_is_given_up(tmp_path: Path) -> None:
    with run_server({"/a": CONTENT}) as server:
        server.ranges, server.cut = False, [4000] * 9
        with pytest.raises(ConnectionError, match=r"/a: .*closed 0\.01 MB before the end \(tried 4 times"):
            download(tmp_path / "a", f"{server.url}/a")
    assert len(server.requests) == 5  # one that brought 4,000 bytes, four that brought nothing new
    assert (tmp_path / "a").read_bytes() == CONTENT[:4000]


def test_beginning_that_is_longer_than_the_file_starts_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 10_001)
    with run_server({"/a": CONTENT}) as server:
        download(tmp_path / "a", f"{server.url}/a")
    assert [span for _, span in server.requests] == ["bytes=10001-", None]
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_server_that_sends_another_range_is_asked_for_the_whole_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT[:1234])
    with run_server({"/a": CONTENT}) as server:
        server.shift = [34]
        download(tmp_path / "a", f"{server.url}/a")
    assert [span for _, span in server.requests] == ["bytes=1234-", None]
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_busy_server_is_asked_again(tmp_path: Path) -> None:
    with run_server({"/a": CONTENT}) as server:
        server.status = [503, 429]
        download(tmp_path / "a", f"{server.url}/a")
    assert len(server.requests) == 3
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_next_address_is_asked_where_one_does_not_have_the_file(tmp_path: Path) -> None:
    with run_server({"/b": CONTENT}) as server:
        assert download(tmp_path / "a", f"{server.url}/a", f"{server.url}/b") == f"{server.url}/b"
    assert server.requests == [("/a", None), ("/b", None)]
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_file_that_no_address_has_is_an_error_that_names_them_all(tmp_path: Path) -> None:
    with run_server({}) as server:
        with pytest.raises(ConnectionError) as caught:
            download(tmp_path / "a", f"{server.url}/a", f"{server.url}/b")
    assert str(caught.value) == f"{server.url}/a: HTTP status 404 Not Found; {server.url}/b: HTTP status 404 Not Found"


def test_server_that_cannot_be_reached_is_an_error_that_names_the_address(tmp_path: Path) -> None:
    with run_server({}) as server:
        pass  # from here on its port is closed
    with pytest.raises(ConnectionError, match=rf"{server.url}/a: Connection refused \(tried 4 times"):
        download(tmp_path / "a", f"{server.url}/a")


def test_web_page_in_place_of_the_file_does_not_harm_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT[:1234])
    with run_server({"/a": b"<html>blocked</html>" * 100}) as server:
        server.content_type = "text/html; charset=utf-8"
        with pytest.raises(ConnectionError, match="web page"):
            download(tmp_path / "a", f"{server.url}/a")
    assert (tmp_path / "a").read_bytes() == CONTENT[:1234]


def test_disk_that_is_too_small_is_found_before_the_download(tmp_path: Path) -> None:
    with run_server({"/a": CONTENT}) as server:
        server.claimed_bytes = 10**18  # twice that, for the file and its content, is 2,000,000,000,000 MB
        with pytest.raises(OSError, match=f"{tmp_path}.*takes 2,000,000,000.00 GB, .* are free; make room"):
            download(tmp_path / "a", f"{server.url}/a", max_bytes=10**19)
    assert (tmp_path / "a").read_bytes() == b""


def test_file_larger_than_the_limit_is_refused_by_its_length_and_without_one(tmp_path: Path) -> None:
    with run_server({"/a": CONTENT}) as server:
        with pytest.raises(ConnectionError, match="larger than .* which no archive of VOC is"):
            download(tmp_path / "a", f"{server.url}/a", max_bytes=9_999)
        assert (tmp_path / "a").read_bytes() == b"" and len(server.requests) == 1
        server.length = "no number"
        with pytest.raises(ConnectionError, match="larger than .* which no archive of VOC is"):
            download(tmp_path / "a", f"{server.url}/a", max_bytes=9_999)
    assert len((tmp_path / "a").read_bytes()) <= 9_999


def test_length_that_is_no_number_is_no_length(tmp_path: Path) -> None:
    for number, length in enumerate(["no number", "-5", "1e4", "", "9" * 40]):
        with run_server({"/a": CONTENT}) as server:
            server.length = length
            download(tmp_path / str(number), f"{server.url}/a")
        assert (tmp_path / str(number)).read_bytes() == CONTENT


def test_answer_without_content_is_asked_again_and_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT[:1234])
    with run_server({"/a": CONTENT}) as server:
        server.empty = [204, 205]
        download(tmp_path / "a", f"{server.url}/a")
        assert [span for _, span in server.requests] == ["bytes=1234-"] * 3
        assert (tmp_path / "a").read_bytes() == CONTENT
        server.empty = [204] * 9
        with pytest.raises(ConnectionError, match="HTTP status 204.*tried 4 times"):
            download(tmp_path / "b", f"{server.url}/a")


def test_server_that_drips_is_left_when_the_time_is_over_and_what_came_is_kept(tmp_path: Path) -> None:
    with run_server({"/a": CONTENT}) as server:
        server.cut = [100] * 50
        with pytest.raises(ConnectionError, match="takes too long; what came is kept"):
            download(tmp_path / "a", f"{server.url}/a", max_s=0.0)


def test_address_that_cannot_be_reached_is_left_for_the_next_one_at_once(tmp_path: Path) -> None:
    with run_server({}) as gone:
        pass  # from here on its port is closed
    with run_server({"/a": CONTENT}) as server:
        assert download(tmp_path / "a", f"{gone.url}/a", f"{server.url}/a") == f"{server.url}/a"
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_md5_is_that_of_the_whole_file_wherever_it_was_read_last(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    with open(tmp_path / "a", "a+b") as file:  # stands at the end
        assert transfer.compute_md5(file) == "900150983cd24fb0d6963f7d28e17f72"  # RFC 1321, appendix A.5
