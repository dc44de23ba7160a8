import fcntl
import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.devkit.test_transfer import run_server
from tests.devkit.test_unpacking import NAME, TRAINVAL, TRAINVAL_FILES, make_tar, read_tree
from tests.paths import ROOT
from voc_tfdata.devkit import download as tool

TOOL = ROOT / "tools" / "download_voc.py"
TEST_NAME = "VOCtest_06-Nov-2007.tar"
TEST_FILES = {
    "VOCdevkit/VOC2007/Annotations/000001.xml": b"<annotation/>",
    "VOCdevkit/VOC2007/ImageSets/Main/test.txt": b"000001\n",
    "VOCdevkit/VOC2007/JPEGImages/000001.jpg": b"\xff\xd8 of the test set",
}
TEST = make_tar(TEST_FILES)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def download(out_dir: Path, url: str, *, year: int = 2007, **options: object) -> Path:
    archives = {
        (year, "trainval"): tool.Archive(NAME, (md5(TRAINVAL),)),
        (2007, "test"): tool.Archive(TEST_NAME, (md5(TEST),)),
    }
    return tool.download_voc(year, out_dir, mirror=url, archives=archives, retry_wait_s=0.0, **options)


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


def test_transfer_that_breaks_goes_on_within_the_run(tmp_path: Path) -> None:
    with run_server({f"/{NAME}": TRAINVAL}) as server:
        server.stall = [6000]  # then silence, for longer than the timeout
        start_s = time.monotonic()
        download(tmp_path, server.url, timeout_s=0.2)
        assert time.monotonic() - start_s < 30
    assert [span for _, span in server.requests] == [None, "bytes=6000-"]
    assert read_tree(tmp_path) == unpacked(TRAINVAL_FILES)


def test_part_of_an_earlier_run_is_completed(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(TRAINVAL[:1234])
    with run_server({f"/{NAME}": TRAINVAL}) as server:
        download(tmp_path, server.url)
    assert [span for _, span in server.requests] == ["bytes=1234-"]
    assert read_tree(tmp_path) == unpacked(TRAINVAL_FILES)


def test_part_stays_for_the_next_run_where_no_server_helps(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(TRAINVAL[:1234])
    with run_server({}) as server:
        with pytest.raises(ConnectionError, match="HTTP status 404"):
            download(tmp_path, server.url)
    assert read_tree(tmp_path) == {f"{NAME}.part": TRAINVAL[:1234]}


def test_complete_part_needs_no_server(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(TRAINVAL)
    download(tmp_path, "http://127.0.0.1:1")
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
    address = "host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar"
    assert urls[-1] == [f"https://{address}", f"http://{address}"]


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


@pytest.mark.parametrize("name", ["it.tar", "it.tar.part"])
def test_a_link_in_the_place_of_the_archive_is_refused_and_its_target_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    archive = tool.Archive("it.tar", ("0" * 32,))
    (tmp_path / name).symlink_to(tmp_path / "mine.txt")
    with pytest.raises(ValueError, match=f"{name} is a link or no file"):
        tool.download_voc(2012, tmp_path, archives={(2012, "trainval"): archive}, mirror="http://127.0.0.1:9")
    assert (tmp_path / "mine.txt").read_text() == "mine"


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


def test_year_decides_what_is_unpacked_and_a_refused_archive_stays_as_part(tmp_path: Path) -> None:
    with run_server({f"/{NAME}": TRAINVAL}) as server:
        with pytest.raises(ValueError, match=f"{NAME} holds no VOCdevkit/VOC2008"):
            download(tmp_path, server.url, year=2008)
    assert read_tree(tmp_path) == {f"{NAME}.part": TRAINVAL}


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
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # it finds the package itself
    return subprocess.run([sys.executable, str(TOOL), *args], capture_output=True, text=True, env=env, timeout=180)


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
