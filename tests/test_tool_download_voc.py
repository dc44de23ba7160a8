import contextlib
import fcntl
import hashlib
import importlib.util
import io
import os
import re
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest
from absl import flags

TOOL = Path(__file__).parents[1] / "tools" / "download_voc.py"
FLAG_NAMES = ("year", "test", "out_dir", "mirror", "keep_archive")
NAME = "VOCtrainval_06-Nov-2007.tar"
TEST_NAME = "VOCtest_06-Nov-2007.tar"
TRAINVAL_FILES = {
    "VOCdevkit/VOC2007/Annotations/000005.xml": b"<annotation/>",
    "VOCdevkit/VOC2007/ImageSets/Main/trainval.txt": b"000005\n",
    "VOCdevkit/VOC2007/JPEGImages/000005.jpg": bytes(range(256)) * 20,  # 5,120 bytes: a half-way cut falls in it
}
TEST_FILES = {
    "VOCdevkit/VOC2007/Annotations/000001.xml": b"<annotation/>",
    "VOCdevkit/VOC2007/ImageSets/Main/test.txt": b"000001\n",
    "VOCdevkit/VOC2007/JPEGImages/000001.jpg": b"\xff\xd8 of the test set",
}


def load_tool() -> ModuleType:
    """Returns the tool as a module and takes its flags out of the process again: other tools use the same names."""
    others = {name: flags.FLAGS[name] for name in FLAG_NAMES if name in flags.FLAGS}
    flags.FLAGS.remove_flag_values(others)
    spec = importlib.util.spec_from_file_location("download_voc_tool", TOOL)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    flags.FLAGS.remove_flag_values(FLAG_NAMES)
    for name, flag in others.items():
        flags.FLAGS[name] = flag
    return module


tool = load_tool()


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
            self.send_header("Content-Length", str(server.claimed_bytes or len(body) - start))
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


def make_tar(files: Mapping[str, bytes], others: Sequence[tarfile.TarInfo] = ()) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in sorted({os.path.dirname(name) for name in files}):
            tar.addfile(make_member(folder, tarfile.DIRTYPE))
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in others:
            tar.addfile(member)
    return buffer.getvalue()


def make_member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


TRAINVAL = make_tar(TRAINVAL_FILES)
TEST = make_tar(TEST_FILES)


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def download(out_dir: Path, url: str, *, tar: bytes = TRAINVAL, year: int = 2007, **options: object) -> Path:
    archives = {
        (year, "trainval"): tool.Archive(NAME, (md5(tar),)),
        (2007, "test"): tool.Archive(TEST_NAME, (md5(TEST),)),
    }
    return tool.download_voc(year, out_dir, mirror=url, archives=archives, retry_wait_s=0.0, **options)


def read_tree(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def unpacked(*trees: Mapping[str, bytes]) -> dict[str, bytes]:
    """What out_dir must hold: the files, and per archive the list of what came from it."""
    expected: dict[str, bytes] = {}
    for tree in trees:
        name = NAME if tree is TRAINVAL_FILES else TEST_NAME
        inside = "".join(f"{path.removeprefix('VOCdevkit/VOC2007/')}\n" for path in sorted(tree))
        expected |= {**tree, f"VOCdevkit/VOC2007/.{name}.files": inside.encode()}
    return expected


def test_whole_archive_is_unpacked_and_removed(tmp_path: Path) -> None:
    with run_server({f"/{NAME}": TRAINVAL}) as server:
        folder = download(tmp_path, server.url)
    assert folder == tmp_path / "VOCdevkit" / "VOC2007"
    assert read_tree(tmp_path) == unpacked(TRAINVAL_FILES)
    assert server.requests == [(f"/{NAME}", None)]


def test_connection_that_breaks_is_resumed_at_the_byte_where_it_broke(tmp_path: Path) -> None:
    with run_server({f"/{NAME}": TRAINVAL}) as server:
        server.cut = [4000, 3000]
        download(tmp_path, server.url)
    assert [span for _, span in server.requests] == [None, "bytes=4000-", "bytes=7000-"]  # 4000 + 3000
    assert read_tree(tmp_path) == unpacked(TRAINVAL_FILES)


def test_server_that_falls_silent_is_left_after_the_timeout_and_asked_for_the_rest(tmp_path: Path) -> None:
    with run_server({f"/{NAME}": TRAINVAL}) as server:
        server.stall = [6000]
        start_s = time.monotonic()
        download(tmp_path, server.url, timeout_s=0.2)
    assert time.monotonic() - start_s < 2
    assert [span for _, span in server.requests] == [None, "bytes=6000-"]
    assert read_tree(tmp_path) == unpacked(TRAINVAL_FILES)


def test_part_of_an_earlier_run_is_completed(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(TRAINVAL[:1234])
    with run_server({f"/{NAME}": TRAINVAL}) as server:
        download(tmp_path, server.url)
    assert [span for _, span in server.requests] == ["bytes=1234-"]
    assert read_tree(tmp_path) == unpacked(TRAINVAL_FILES)


def test_server_without_range_support_sends_all_again(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(TRAINVAL[:1234])
    with run_server({f"/{NAME}": TRAINVAL}) as server:
        server.ranges = False
        download(tmp_path, server.url)
    assert [span for _, span in server.requests] == ["bytes=1234-"]
    assert read_tree(tmp_path) == unpacked(TRAINVAL_FILES)


def test_server_without_range_support_that_always_breaks_is_given_up(tmp_path: Path) -> None:
    with run_server({f"/{NAME}": TRAINVAL}) as server:
        server.ranges, server.cut = False, [4000] * 9
        with pytest.raises(ConnectionError, match=r"closed 0\.0 MB before the end \(tried 4 times.*--mirror"):
            download(tmp_path, server.url)
    assert len(server.requests) == 5  # one that brought 4,000 bytes, four that brought nothing new


def test_part_that_is_longer_than_the_file_starts_again(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(b"x" * (len(TRAINVAL) + 1))
    with run_server({f"/{NAME}": TRAINVAL}) as server:
        download(tmp_path, server.url)
    assert [span for _, span in server.requests] == [f"bytes={len(TRAINVAL) + 1}-", None]
    assert read_tree(tmp_path) == unpacked(TRAINVAL_FILES)


def test_server_that_sends_another_range_is_asked_for_the_whole_file(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(TRAINVAL[:1234])
    with run_server({f"/{NAME}": TRAINVAL}) as server:
        server.shift = [34]
        download(tmp_path, server.url)
    assert [span for _, span in server.requests] == ["bytes=1234-", None]
    assert read_tree(tmp_path) == unpacked(TRAINVAL_FILES)


def test_complete_part_needs_no_server(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(TRAINVAL)
    download(tmp_path, "http://127.0.0.1:1")
    assert read_tree(tmp_path) == unpacked(TRAINVAL_FILES)


def test_busy_server_is_asked_again(tmp_path: Path) -> None:
    with run_server({f"/{NAME}": TRAINVAL}) as server:
        server.status = [503, 429]
        download(tmp_path, server.url)
    assert len(server.requests) == 3
    assert read_tree(tmp_path) == unpacked(TRAINVAL_FILES)


def test_wrong_checksum_names_both_sums_and_the_next_run_starts_clean(tmp_path: Path) -> None:
    wrong = TRAINVAL.replace(b"<annotation/>", b"<annotation>!")
    with run_server({f"/{NAME}": wrong}) as server:
        with pytest.raises(ValueError, match=f"{NAME} has md5 {md5(wrong)}, not {md5(TRAINVAL)}.*--mirror"):
            download(tmp_path, server.url)
        assert read_tree(tmp_path) == {}
        server.files[f"/{NAME}"] = TRAINVAL
        download(tmp_path, server.url)
    assert server.requests == [(f"/{NAME}", None)] * 2
    assert read_tree(tmp_path) == unpacked(TRAINVAL_FILES)


def test_each_published_checksum_is_accepted(tmp_path: Path) -> None:
    archives = {(2007, "trainval"): tool.Archive(NAME, ("0" * 32, md5(TRAINVAL)))}
    with run_server({f"/{NAME}": TRAINVAL}) as server:
        tool.download_voc(2007, tmp_path, mirror=server.url, archives=archives)
    assert read_tree(tmp_path) == unpacked(TRAINVAL_FILES)


def test_mirror_with_the_folders_of_the_official_site_is_understood(tmp_path: Path) -> None:
    with run_server({f"/voc/voc2007/{NAME}": TRAINVAL}) as server:
        download(tmp_path, f"{server.url}/voc/")
    assert [address for address, _ in server.requests] == [f"/voc/{NAME}", f"/voc/voc2007/{NAME}"]
    assert read_tree(tmp_path) == unpacked(TRAINVAL_FILES)


def test_official_address_is_asked_without_a_mirror() -> None:
    urls = [tool.archive_urls(year, archive.name, None) for (year, _), archive in sorted(tool.ARCHIVES.items())]
    assert len(urls) == 7  # six years, and the test set of 2007
    assert urls[-1] == ["http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar"]


def test_file_that_no_server_has_names_the_addresses_and_the_remedy(tmp_path: Path) -> None:
    with run_server({}) as server:
        places = f"{server.url}/{NAME}: HTTP status 404.*{server.url}/voc2007/{NAME}: HTTP status 404"
        with pytest.raises(ConnectionError, match=f"{places}.*--mirror=URL.*md5 {md5(TRAINVAL)}"):
            download(tmp_path, server.url)
    assert read_tree(tmp_path) == {}


def test_server_that_cannot_be_reached_names_the_address_and_the_remedy(tmp_path: Path) -> None:
    with run_server({}) as server:
        pass  # from here on its port is closed
    with pytest.raises(ConnectionError, match=f"{server.url}/{NAME}: Connection refused.*--mirror=URL"):
        download(tmp_path, server.url)
    assert read_tree(tmp_path) == {}


def test_web_page_in_place_of_the_archive_does_not_harm_what_is_there(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(TRAINVAL[:1234])
    with run_server({f"/{NAME}": b"<html>blocked</html>" * 100}) as server:
        server.content_type = "text/html; charset=utf-8"
        with pytest.raises(ConnectionError, match="web page"):
            download(tmp_path, server.url)
    assert (tmp_path / f"{NAME}.part").read_bytes() == TRAINVAL[:1234]


def test_disk_that_is_too_small_is_found_before_the_download(tmp_path: Path) -> None:
    with run_server({f"/{NAME}": TRAINVAL}) as server:
        server.claimed_bytes = 10**18  # twice that, for the archive and its files, is 2,000,000,000,000 MB
        with pytest.raises(OSError, match=f"{tmp_path}.*takes 2,000,000,000,000.0 MB .* free; make room"):
            download(tmp_path, server.url)
    assert read_tree(tmp_path) == {}


@pytest.mark.parametrize(
    ("year", "test", "message"),
    [
        (2006, False, "--year=2006: http://host.robots.ox.ac.uk.*choose from 2007, 2008, 2009, 2010, 2011, 2012"),
        (2012, True, "VOC2012 has no public test set .*voc2012/.*--mirror.*--year=2007"),
    ],
)
def test_set_that_is_not_public_is_refused_with_what_there_is(
    tmp_path: Path, year: int, test: bool, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tool.download_voc(year, tmp_path / "new", test=test)
    assert not (tmp_path / "new").exists()


def test_mirror_must_be_a_web_address(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--mirror=/mnt/voc: .*http://"):
        download(tmp_path, "/mnt/voc")


def test_trainval_and_test_of_2007_share_a_folder(tmp_path: Path) -> None:
    with run_server({f"/{NAME}": TRAINVAL, f"/{TEST_NAME}": TEST}) as server:
        folder = download(tmp_path, server.url)
        assert tool.next_command(folder) == f"build_tfrecords --voc_root={folder} --out_dir=records/voc2007"
        assert download(tmp_path, server.url, test=True) == folder
    assert read_tree(tmp_path) == unpacked(TRAINVAL_FILES, TEST_FILES)
    assert tool.next_command(folder).endswith(" --out_dir=records/voc2007 --splits=train,val,test")


def test_file_with_other_content_is_never_overwritten(tmp_path: Path) -> None:
    corrected = tmp_path / "VOCdevkit/VOC2007/Annotations/000005.xml"
    corrected.parent.mkdir(parents=True)
    corrected.write_bytes(b"<annotation>corrected by hand</annotation>")
    before = read_tree(tmp_path / "VOCdevkit")
    with run_server({f"/{NAME}": TRAINVAL}) as server:
        with pytest.raises(FileExistsError, match=r"VOC2007: 1 files differ .*\(Annotations/000005\.xml\).*run again"):
            download(tmp_path, server.url)
        assert read_tree(tmp_path / "VOCdevkit") == before
        corrected.unlink()
        download(tmp_path, server.url)
    assert len(server.requests) == 1  # the archive had been kept for the next run
    assert read_tree(tmp_path) == unpacked(TRAINVAL_FILES)


def test_second_run_asks_no_server_and_changes_nothing(tmp_path: Path) -> None:
    with run_server({f"/{NAME}": TRAINVAL}) as server:
        folder = download(tmp_path, server.url)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert download(tmp_path, server.url) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == times


def test_file_that_was_lost_is_brought_back_by_the_next_run(tmp_path: Path) -> None:
    with run_server({f"/{NAME}": TRAINVAL}) as server:
        folder = download(tmp_path, server.url)
        (folder / "JPEGImages/000005.jpg").unlink()
        download(tmp_path, server.url)
    assert read_tree(tmp_path) == unpacked(TRAINVAL_FILES)


def test_devkit_of_2011_is_found_below_its_extra_folder(tmp_path: Path) -> None:
    others = {"TrainVal/VOCdevkit/readme": b"", "TrainVal/oldVOCdevkit/VOC2011/ImageSets/Main/val.txt": b"b\n"}
    tar = make_tar({"TrainVal/VOCdevkit/VOC2011/ImageSets/Main/train.txt": b"a\n", **others})
    with run_server({f"/{NAME}": tar}) as server:
        folder = download(tmp_path, server.url, tar=tar, year=2011)
    files = {"ImageSets/Main/train.txt": b"a\n", f".{NAME}.files": b"ImageSets/Main/train.txt\n"}
    assert read_tree(tmp_path) == {f"VOCdevkit/VOC2011/{name}": content for name, content in files.items()}
    assert folder == tmp_path / "VOCdevkit/VOC2011"


def test_archive_of_another_year_is_refused(tmp_path: Path) -> None:
    with run_server({f"/{NAME}": TRAINVAL}) as server:
        with pytest.raises(ValueError, match=f"{NAME} holds no VOCdevkit/VOC2008"):
            download(tmp_path, server.url, year=2008)


@pytest.mark.parametrize(
    "member",
    [
        make_member("{outside}/evil", tarfile.REGTYPE),
        make_member("../evil", tarfile.REGTYPE),
        make_member("VOCdevkit/VOC2007/../../../evil", tarfile.REGTYPE),
        make_member("..\\evil", tarfile.REGTYPE),
        make_member("VOCdevkit/VOC2007/JPEGImages/evil", tarfile.SYMTYPE, "{outside}/secret"),
        make_member("VOCdevkit/VOC2007/evil", tarfile.SYMTYPE, "../../../outside/secret"),
        make_member("VOCdevkit/VOC2007/evil", tarfile.SYMTYPE, "JPEGImages"),
        make_member("VOCdevkit/VOC2007/evil", tarfile.LNKTYPE, "{outside}/secret"),
        make_member("VOCdevkit/VOC2007/evil", tarfile.LNKTYPE, "../outside/secret"),
        make_member("VOCdevkit/VOC2007/evil", tarfile.FIFOTYPE),
        make_member("VOCdevkit/VOC2007/evil", tarfile.CHRTYPE),
        make_member("VOCdevkit/VOC2007/evil", tarfile.BLKTYPE),
    ],
    ids=lambda member: f"{member.name} {member.type.decode()} {member.linkname}",
)
def test_member_that_leaves_the_folder_is_refused_with_the_whole_archive(
    tmp_path: Path, member: tarfile.TarInfo
) -> None:
    outside, out_dir = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    name, target = member.name.format(outside=outside), member.linkname.format(outside=outside)
    tar = make_tar(TRAINVAL_FILES, [make_member(name, member.type, target)])
    with run_server({f"/{NAME}": tar}) as server:
        with pytest.raises(ValueError, match=f"{NAME} is refused: .*evil"):
            download(out_dir, server.url, tar=tar)
    assert read_tree(tmp_path) == {"outside/secret": b"secret", f"out/{NAME}.part": tar}


def test_link_to_a_file_of_the_archive_comes_as_that_file(tmp_path: Path) -> None:
    links = [
        make_member("VOCdevkit/VOC2007/Annotations/soft.xml", tarfile.SYMTYPE, "000005.xml"),
        make_member("VOCdevkit/VOC2007/hard.xml", tarfile.LNKTYPE, "VOCdevkit/VOC2007/Annotations/000005.xml"),
    ]
    tar = make_tar(TRAINVAL_FILES, links)
    with run_server({f"/{NAME}": tar}) as server:
        folder = download(tmp_path, server.url, tar=tar)
    for path in (folder / "Annotations/soft.xml", folder / "hard.xml"):
        assert path.read_bytes() == b"<annotation/>"
        assert not path.is_symlink() and path.stat().st_nlink == 1


def test_leftovers_of_a_killed_run_are_not_unpacked(tmp_path: Path) -> None:
    leftover = tmp_path / "VOCdevkit" / f".{NAME}.unpacking" / "Annotations" / "000009.xml"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"<annot")
    with run_server({f"/{NAME}": TRAINVAL}) as server:
        download(tmp_path, server.url)
    assert read_tree(tmp_path) == unpacked(TRAINVAL_FILES)


def test_archive_is_kept_if_asked_for(tmp_path: Path) -> None:
    with run_server({f"/{NAME}": TRAINVAL}) as server:
        download(tmp_path, server.url, keep_archive=True)
    assert read_tree(tmp_path) == {**unpacked(TRAINVAL_FILES), NAME: TRAINVAL}


def test_own_archive_is_used_without_a_download_and_kept(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(TRAINVAL)
    (tmp_path / NAME).chmod(0o444)
    download(tmp_path, "http://127.0.0.1:1")
    assert read_tree(tmp_path) == {**unpacked(TRAINVAL_FILES), NAME: TRAINVAL}


def test_own_archive_with_a_wrong_checksum_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(TRAINVAL[:-512])
    with pytest.raises(ValueError, match=f"{NAME} has md5 {md5(TRAINVAL[:-512])}, not {md5(TRAINVAL)}: remove it"):
        download(tmp_path, "http://127.0.0.1:1")
    assert read_tree(tmp_path) == {NAME: TRAINVAL[:-512]}


def test_second_run_at_the_same_time_is_refused(tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.part"
    with open(path, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RuntimeError, match=f"{path} is in use by another run"):
            download(tmp_path, "http://127.0.0.1:1")


def test_published_archives_have_whole_checksums() -> None:
    sums = {key: archive.md5s for key, archive in tool.ARCHIVES.items()}
    assert all(re.fullmatch("[0-9a-f]{32}", md5) for md5s in sums.values() for md5 in md5s)
    assert {key: len(md5s) for key, md5s in sums.items() if len(md5s) != 1} == {(2009, "trainval"): 2}
    assert all(str(year) in archive.name for (year, _), archive in tool.ARCHIVES.items())


def run_tool(*args: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(TOOL.parents[1])}
    return subprocess.run([sys.executable, str(TOOL), *args], capture_output=True, text=True, env=env, timeout=60)


def test_command_ends_with_one_line_of_error_and_status_1(tmp_path: Path) -> None:
    with run_server({f"/{NAME}": TRAINVAL}) as server:  # right name, but not the archive that was published
        done = run_tool("--year=2007", f"--out_dir={tmp_path}", f"--mirror={server.url}")
    assert done.returncode == 1
    assert f"has md5 {md5(TRAINVAL)}, not c52e279531787c972589f7e41ab4ae64" in done.stderr.splitlines()[-1]
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")] == done.stderr.splitlines()[-1:]
    assert "Traceback" not in done.stderr


def test_command_prints_what_to_run_next(tmp_path: Path) -> None:
    folder = tmp_path / "my data" / "VOCdevkit" / "VOC2012"
    folder.mkdir(parents=True)
    (folder / ".VOCtrainval_11-May-2012.tar.files").write_text("")  # as after a run: nothing is missing
    done = run_tool("--year=2012", f"--out_dir={tmp_path / 'my data'}")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == f"  build_tfrecords --voc_root='{folder}' --out_dir=records/voc2012"
