"""Mirrors of remote records, against real servers on the loopback interface that are cut off, killed and restarted."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.devkit_fixture import files_in
from tests.loopback import ANY_BACK_END, CLIENT_ENVIRONMENT, S3, run_http, start_again_when_dead
from tests.paths import ROOT
from voc_tfdata.records import tfrecord
from voc_tfdata.records.manifest import format_manifest, read_manifest
from voc_tfdata.records.mirror import localize, mirror_records
from voc_tfdata.records.split_source import find_source
from voc_tfdata.remote.frames import frame_record

SHARDS = [f"voc-train-{k:05d}-of-00004.tfrecord" for k in range(4)] + [
    f"voc-val-{k:05d}-of-00004.tfrecord" for k in range(4)
]


@pytest.fixture(scope="module", autouse=True)
def other_process() -> Iterator[subprocess.Popen]:
    """Another process that makes a mirror, told where on its input; begun early, since TensorFlow takes its time."""
    code = """
import os
from pathlib import Path
from voc_tfdata.records import mirror
from voc_tfdata.remote import back_ends
back_ends.find_back_end("s3://bucket")
os.environ["S3_ENDPOINT"], uri, folder = input().split()
mirror.mirror_records(uri, Path(folder), num_threads=1)
"""
    environment = os.environ | CLIENT_ENVIRONMENT
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, stdin=PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.fixture
def uri(s3: S3, noisy_records: Path) -> str:
    """Of the records on S3, under a prefix of the test's own."""
    return s3.put_folder(noisy_records, f"bucket/{uuid.uuid4()}")


def mirrored_files(folder: Path) -> dict[str, bytes]:
    """Returns what a mirror is to hold: neither its lock nor what is for people only."""
    return {name: data for name, data in files_in(folder).items() if name not in (".lock", "dataset.html")}


def shard_reads(requests: list[str]) -> list[str]:
    """Returns which shards were asked for, each once."""
    return sorted({line.split()[1] for line in requests if line.startswith("GET") and line.endswith(".tfrecord")})


def bytes_into_the_third_shard(noisy_records: Path) -> int:
    """Returns after how many bytes sent, manifest first and shards one by one, a server is in the middle of the third.

    What it sends besides, in headers, is less than half of a shard.
    """
    sizes = [(noisy_records / name).stat().st_size for name in ("manifest.json", *SHARDS[:3])]
    return sum(sizes[:3]) + sizes[3] // 2


def test_a_local_folder_comes_back_as_it_is(noisy_records: Path) -> None:
    assert localize(noisy_records) == noisy_records
    assert localize(str(noisy_records), "/not/used") == noisy_records


def test_without_a_cache_dir_one_line_names_the_two_ways() -> None:
    with pytest.raises(ValueError, match=r"^s3://bucket/voc is remote: give cache_dir=.*--cache_dir=.*read_examples$"):
        localize("s3://bucket/voc")


def test_a_mirror_is_the_records_byte_for_byte(s3: S3, uri: str, noisy_records: Path, tmp_path: Path) -> None:
    folder = localize(f"{uri}/", tmp_path / "cache")
    assert folder.parent == tmp_path / "cache"
    assert folder.name == f"{uri.rpartition('/')[2]}-{read_manifest(noisy_records).checksum[:12]}"
    assert mirrored_files(folder) == mirrored_files(noisy_records)


def test_a_complete_mirror_costs_one_request_for_the_manifest(s3: S3, uri: str, tmp_path: Path) -> None:
    folder = localize(uri, tmp_path)
    before = len(s3.requests())
    assert localize(uri, tmp_path) == folder
    assert s3.requests()[before:] == ["HEAD manifest.json", "GET manifest.json"]


def test_http_is_mirrored_too(s3: S3, noisy_records: Path, tmp_path: Path) -> None:
    with run_http(tmp_path, noisy_records.parent) as web:
        folder = localize(f"{web.url}/records", tmp_path / "cache")
    assert folder.name.startswith("records-")
    assert mirrored_files(folder) == mirrored_files(noisy_records)


def test_a_server_that_dies_and_comes_back_is_asked_again(
    s3: S3, uri: str, noisy_records: Path, tmp_path: Path
) -> None:
    s3.way.restart(f"--die_after={bytes_into_the_third_shard(noisy_records)}")
    thread = start_again_when_dead(s3.way)
    folder = mirror_records(uri, tmp_path, num_threads=1, retry_wait_s=0.5)
    thread.join()
    assert mirrored_files(folder) == mirrored_files(noisy_records)


def test_what_the_s3_client_garbles_after_a_broken_connection_is_read_again(
    s3: S3, uri: str, noisy_records: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    s3.way.restart(f"--cut_after={bytes_into_the_third_shard(noisy_records)}")
    folder = mirror_records(uri, tmp_path, num_threads=1, retry_wait_s=0.01)
    garbled = f"{SHARDS[2]} is damaged or cut off (corrupted record at" in caplog.text
    assert garbled == (s3.back_end == "tensorflow-io")  # fsspec's client tells the break, and goes on from there
    assert f"{SHARDS[2]}" in caplog.text and "trying again" in caplog.text
    assert mirrored_files(folder) == mirrored_files(noisy_records)


def test_a_server_that_stays_dead_is_one_line_and_what_is_whole_is_kept(
    s3: S3, uri: str, noisy_records: Path, tmp_path: Path
) -> None:
    s3.way.restart(f"--die_after={bytes_into_the_third_shard(noisy_records)}")
    with pytest.raises(ConnectionError) as raised:
        mirror_records(uri, tmp_path, num_threads=1, retry_wait_s=0.01)
    assert re.fullmatch(
        rf"{uri}/voc-train-00002\S+: {s3.no_connection()} at {s3.way.url} \(tried 4 times\). "
        "The shards that are complete are kept: run again to go on",
        str(raised.value),
    )
    (folder,) = tmp_path.iterdir()
    with pytest.raises(FileNotFoundError, match="manifest.json: not a .complete. data set"):  # not taken for whole
        find_source(folder, "train")
    assert [name for name in SHARDS if (folder / name).exists()] == SHARDS[:2]

    s3.way.start()
    before = len(s3.requests())
    assert mirror_records(uri, tmp_path) == folder
    assert shard_reads(s3.requests()[before:]) == SHARDS[2:]  # only what was missing
    assert mirrored_files(folder) == mirrored_files(noisy_records)


def test_http_goes_on_inside_a_shard(s3: S3, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    frame = frame_record(bytes(1 << 20))  # 1 MiB; 24 of them: three requests of 8 MiB and a bit
    (source / SHARDS[0]).write_bytes(frame * 24)
    (source / "voc-train-ids.txt").write_text("x\n" * 24)
    write_manifest(source, num_bytes=24 * len(frame), num_examples=24)
    with run_http(tmp_path, source, f"--die_after={18 << 20}") as web:  # in the third request
        thread = start_again_when_dead(web)
        folder = mirror_records(web.url, tmp_path / "cache", retry_wait_s=0.5)
        thread.join()
        # Three requests of the first server: from 0, 8 and 16 MiB on; the last failed, so 15 whole records are there.
        starts = web.first_bytes(f"/{SHARDS[0]}")
        assert [start >> 20 for start in starts[:3]] == [0, 8, 16] and 15 * len(frame) - min(starts[3:]) in (0, 1)
    assert (folder / SHARDS[0]).read_bytes() == frame * 24


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            "cut in a record",
            r"(is|.*, record \d+:) damaged or cut off \((truncated record at \d+|its .*)\) \(tried 4 .*\. Build the",
        ),
        (
            "cut between records",
            r"is cut off: it has [\d,]+ bytes, the manifest says [\d,]+ \(tried 4 times\). Build the",
        ),
        (
            "one bit",
            r"(is|.*, record \d+:) damaged or cut off \((corrupted record at \d+|its .*)\) \(tried 4 .*\. Build the",
        ),
        ("another set", r"is damaged or of another data set \(crc32c [0-9a-f]{8}, manifest [0-9a-f]{8}\). Build the"),
        ("gone", r"is not there, though the manifest names it. Build the records there again"),
    ],
)
def test_a_damaged_shard_is_named_and_its_mirror_is_none(
    s3: S3, uri: str, noisy_records: Path, tmp_path: Path, damage: str, message: str
) -> None:
    shard = SHARDS[1]
    data = (noisy_records / shard).read_bytes()
    frames = [int(line.split()[1]) for line in (noisy_records / tfrecord.index_name(shard)).read_text().splitlines()]
    damaged = {
        "cut in a record": data[:-100],
        "cut between records": data[: -frames[-1]],
        "one bit": data[:30_000] + bytes([data[30_000] ^ 1]) + data[30_001:],
        "another set": data[frames[0] :] + data[: frames[0]],  # each record is sound
        "gone": None,
    }[damage]
    path = f"{uri.removeprefix('s3://')}/{shard}"
    s3.ask("DELETE", path) if damaged is None else s3.ask("PUT", path, damaged)
    with pytest.raises((ValueError, FileNotFoundError), match=f"^{uri}/{shard},? ?{message}") as raised:
        mirror_records(uri, tmp_path, retry_wait_s=0.01)
    assert "\n" not in str(raised.value)
    (folder,) = tmp_path.iterdir()
    assert not (folder / "manifest.json").exists() and not (folder / shard).exists()


def test_damaged_ids_are_named(s3: S3, uri: str, tmp_path: Path) -> None:
    s3.ask("PUT", f"{uri.removeprefix('s3://')}/voc-val-ids.txt", b"other\n")
    with pytest.raises(ValueError, match=rf"^{uri}/voc-val-ids.txt is damaged \(crc32c .*\). Build the records there"):
        localize(uri, tmp_path)
    assert not list(tmp_path.glob("*/manifest.json"))


def test_a_mirror_that_was_damaged_is_mended_by_what_is_missing(
    s3: S3, uri: str, noisy_records: Path, tmp_path: Path
) -> None:
    folder = localize(uri, tmp_path)
    (folder / SHARDS[0]).unlink()
    (folder / tfrecord.index_name(SHARDS[1])).write_text("0 1\n")
    with open(folder / SHARDS[2], "r+b") as file:  # of the right size: found because the mirror is looked over
        file.write(b"xxxx")
    before = len(s3.requests())
    assert localize(uri, tmp_path) == folder
    assert shard_reads(s3.requests()[before:]) == [SHARDS[0], SHARDS[2]]
    assert mirrored_files(folder) == mirrored_files(noisy_records)


def test_other_records_at_the_same_address_get_another_folder(
    s3: S3, uri: str, noisy_records: Path, tmp_path: Path
) -> None:
    folder = localize(uri, tmp_path)
    changed = format_manifest(replace(read_manifest(noisy_records), seed=1))
    s3.ask("PUT", f"{uri.removeprefix('s3://')}/manifest.json", changed.encode())
    other = localize(uri, tmp_path)
    assert other != folder and read_manifest(other).seed == 1 and read_manifest(folder).seed == 0


def test_a_mirror_that_the_disk_has_no_room_for_is_refused_at_once(s3: S3, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    write_manifest(source, num_bytes=10**15, num_examples=1)  # 1,000 TB
    with run_http(tmp_path, source) as web:
        with pytest.raises(OSError, match=r"the mirror takes 1,000,000.00 GB, [\d,.]+ .B are free; make room"):
            localize(web.url, tmp_path / "cache")
        assert not any("tfrecord" in line for line in web.requests())


@ANY_BACK_END
def test_a_second_process_waits_and_takes_over_when_the_first_is_killed(
    s3: S3,
    uri: str,
    noisy_records: Path,
    tmp_path: Path,
    other_process: subprocess.Popen,
    caplog: pytest.LogCaptureFixture,
) -> None:
    s3.way.restart(f"--stall_after={bytes_into_the_third_shard(noisy_records)}")  # once: for the first process
    caplog.set_level("INFO", logger="absl")
    assert other_process.stdin
    other_process.stdin.write(f"{s3.way.url} {uri} {tmp_path}\n")
    other_process.stdin.flush()
    try:
        wait_for(lambda: len(list(tmp_path.glob("*/*.tfrecord"))) == 2 and list(tmp_path.glob("*/*00002*.part")))
        results: list[Path] = []
        second = threading.Thread(target=lambda: results.append(localize(uri, tmp_path)))
        second.start()
        wait_for(lambda: "waits for the process that loads" in caplog.text or not second.is_alive())
        assert "waits for the process that loads" in caplog.text
        before = len(s3.requests())
    finally:
        other_process.kill()
        other_process.wait()
    second.join(300)
    (folder,) = results
    assert shard_reads(s3.requests()[before:]) == SHARDS[2:]
    assert mirrored_files(folder) == mirrored_files(noisy_records)


def wait_for(condition: object) -> None:
    deadline = time.monotonic() + 300
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def write_manifest(folder: Path, *, num_bytes: int, num_examples: int) -> None:
    """Writes the manifest of one split of one shard; its checksums are those of its files, where there are any."""

    def crc32c(name: str) -> str:
        return tfrecord.crc32c_of_file(folder / name) if (folder / name).exists() else "00000000"

    split = {
        "num_examples": num_examples,
        "shards": [
            {"file": SHARDS[0], "num_examples": num_examples, "num_bytes": num_bytes, "crc32c": crc32c(SHARDS[0])}
        ],
        "ids_file": "voc-train-ids.txt",
        "ids_crc32c": crc32c("voc-train-ids.txt"),
        "positives": {"dog": 0},
        "ignores": {"dog": 0},
        "num_objects": 0,
        "num_unlabelled": num_examples,
    }
    fields = {"classes": ["dog"], "seed": 0, "options": {}, "splits": {"train": split}, "skipped": [], "warnings": {}}
    (folder / "manifest.json").write_text(json.dumps(fields | {"package_version": "", "schema_version": 1}))
