"""build_records into a bucket of a real S3 server on the loopback interface."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.devkit_fixture import draw_noise, encode, files_in, sample, write_devkit
from tests.loopback import CLIENT_ENVIRONMENT, S3
from tests.paths import ROOT
from voc_tfdata.convert.build import BuildReport, build_records


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    pictures = [encode(draw_noise(160, 120, seed=k), "JPEG", quality=95) for k in range(6)]  # 25 KB each
    samples = {f"{k}": sample("dog" if k % 2 else "cat", picture=jpeg) for k, jpeg in enumerate(pictures)}
    return write_devkit(tmp_path / "VOC", samples)


def build(devkit: Path, out_dir: str | Path, **options: object) -> BuildReport:
    arguments = {"split_ratios": "train=0.5,val=0.5", "num_workers": 1} | options
    return build_records(devkit, out_dir, **arguments)  # type: ignore[arg-type]


def test_a_bucket_gets_the_bytes_of_a_local_build_the_manifest_last(s3: S3, devkit: Path, tmp_path: Path) -> None:
    build(devkit, tmp_path / "local", num_shards=2)
    before = len(s3.requests())
    report = build(devkit, "s3://bucket/built/voc/", num_shards=2)
    assert report.written and report.out_dir == "s3://bucket/built/voc/"
    assert s3.files("bucket/built/voc") == files_in(tmp_path / "local")
    written = [line.split()[1] for line in s3.requests()[before:] if line.startswith("PUT")]
    assert written[-1] == "manifest.json" and written.count("manifest.json") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["VOC", "local"]


def test_another_data_set_there_is_kept_unless_it_may_be_overwritten(s3: S3, devkit: Path, tmp_path: Path) -> None:
    uri = "s3://bucket/kept"
    build(devkit, uri, num_shards=3)
    old = s3.files("bucket/kept")
    s3.ask("PUT", "bucket/kept/notes.txt", b"of the user")
    with pytest.raises(ValueError, match=f"^{uri} holds another data set .*; add --overwrite to replace it"):
        build(devkit, uri, seed=1)
    assert s3.files("bucket/kept") == old | {"notes.txt": b"of the user"}

    build(devkit, tmp_path / "new", seed=1, num_shards=1)
    before = len(s3.requests())
    build(devkit, uri, seed=1, num_shards=1, overwrite=True)
    assert s3.files("bucket/kept") == files_in(tmp_path / "new") | {"notes.txt": b"of the user"}  # nothing stale
    changes = [
        line for line in s3.requests()[before:] if line.startswith(("PUT", "DELETE")) and "can_write" not in line
    ]
    assert changes[0] == "DELETE manifest.json" and changes[-1] == "PUT manifest.json"  # never a mixture with one


@pytest.mark.parametrize(
    ("uri", "error", "message"),
    [
        ("s3://no-bucket/voc", OSError, "^s3://no-bucket/voc: there is no bucket 'no-bucket' at http"),
        ("http://127.0.0.1/voc", ValueError, "^http://127.0.0.1/voc: http addresses can only be read"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_devkit_is_read(
    s3: S3, tmp_path: Path, uri: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        build(tmp_path / "no devkit", uri)


def test_bad_files_leave_the_bucket_as_it_was(s3: S3, devkit: Path) -> None:
    (devkit / "JPEGImages" / "3.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match="1 bad file, nothing was written"):
        build(devkit, "s3://bucket/bad")
    assert s3.files("bucket/bad") == {}


def test_a_server_that_dies_while_it_is_written_leaves_no_data_set(s3: S3, devkit: Path) -> None:
    uri = "s3://bucket/dies"
    build(devkit, uri, num_shards=2)
    size = len(s3.files("bucket/dies")["manifest.json"])  # it is read twice, to see what is there
    s3.way.restart(f"--die_after={2 * size + 4000}")  # other answers are some 250 bytes: after those that it is gone by
    with pytest.raises(ConnectionError, match=rf"^{uri}/\S+: curlCode: \d+, .* \(tried 4 times\)$"):
        build(devkit, uri, num_shards=2, overwrite=True)
    assert "manifest.json" not in s3.files("bucket/dies")  # the old one went first
    s3.way.restart()
    build(devkit, uri, num_shards=2)
    assert "manifest.json" in s3.files("bucket/dies")


@pytest.mark.slow
def test_the_command_writes_to_a_bucket_and_exits_with_its_own_status(s3: S3, devkit: Path) -> None:
    environment = os.environ | CLIENT_ENVIRONMENT | {"AWS_ENDPOINT_URL": s3.way.url}
    environment.pop("S3_ENDPOINT", None)

    def run(uri: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "tools/build_tfrecords.py", f"--voc_root={devkit}", f"--out_dir={uri}"]
        return subprocess.run([*command, "--num_workers=2"], cwd=ROOT, env=environment, capture_output=True, text=True)

    done = run("s3://bucket/command")
    assert done.returncode == 0, done.stderr
    assert "wrote s3://bucket/command: 6 images" in done.stdout and "pure virtual" not in done.stderr
    assert "manifest.json" in s3.files("bucket/command")
