"""Conversion by Apache Beam: the bytes, the report and the errors of a local one. Needs the extra `beam`."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.devkit_fixture import difficult, draw_noise, encode, files_in, sample, write_devkit
from tests.paths import ROOT
from voc_tfdata.convert.beam_workers import start_beam
from voc_tfdata.convert.build import build_records
from voc_tfdata.convert.shards import BadFilesError
from voc_tfdata.convert.tasks import EncodeTask, ScanTask, encode_chunk, pack_item, scan_chunk
from voc_tfdata.devkit.listing import open_devkit

pytest.importorskip("apache_beam", reason="Apache Beam is not installed: pip install 'voc_tfdata[beam]'")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in conftest.py, which cannot be loaded without TensorFlow
    signal.signal(signal.SIGINT, signal.default_int_handler)

TWO_PROCESSES = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
BAD = {"cut": sample("dog", picture=encode(draw_noise(7, 48), "JPEG")[:700]), "gone": sample("cat", picture=None)}


def write_kit(root: Path, *, count: int, bad: bool = False) -> Path:
    """Writes `count` images of classes in turn, some with a difficult object, and two that cannot be used."""
    classes = ("dog", "cat", "person", "train")
    samples = {
        f"image{i:04d}": sample(classes[i % 4], *([difficult("sofa")] if i % 5 == 0 else [])) for i in range(count)
    }
    return write_devkit(root, samples | (BAD if bad else {}))


def convert_by_command(root: Path, out: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "tools/build_tfrecords.py", f"--voc_root={root}", f"--out_dir={out}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("options", [[], TWO_PROCESSES], ids=["one process", "two processes"])
def test_the_files_are_those_of_a_local_conversion(tmp_path: Path, options: list[str]) -> None:
    root = write_kit(tmp_path / "VOC", count=600)  # three pieces of work for the pipeline: 20 chunks, 8 in each
    build_records(root, tmp_path / "local", num_shards=3, num_workers=2)
    report = build_records(root, tmp_path / "beam", num_shards=3, runner="DirectRunner", runner_options=options)
    assert report.num_examples == 600
    assert files_in(tmp_path / "beam") == files_in(tmp_path / "local")
    assert (
        len(files_in(tmp_path / "beam")) == 3 * (3 + 3 + 1) + 2
    )  # of each split shards, indices, ids; a manifest, a card


def test_bad_files_are_all_named_and_nothing_is_written(tmp_path: Path) -> None:
    root = write_kit(tmp_path / "VOC", count=30, bad=True)
    errors = []
    for options in ({"num_workers": 1}, {"runner": "DirectRunner"}):
        with pytest.raises(BadFilesError) as caught:
            build_records(root, tmp_path / "out", **options)
        errors.append(str(caught.value))
    assert errors[0] == errors[1]
    assert "cut.jpg: is a truncated or damaged JPEG" in errors[1] and "gone.xml: no image" in errors[1]
    assert not (tmp_path / "out").exists()


def test_bad_files_are_left_out_by_name_when_asked_to(tmp_path: Path) -> None:
    root = write_kit(tmp_path / "VOC", count=30, bad=True)
    local = build_records(root, tmp_path / "local", on_error="skip", num_workers=1)
    beam = build_records(root, tmp_path / "beam", on_error="skip", runner="DirectRunner", runner_options=TWO_PROCESSES)
    assert files_in(tmp_path / "beam") == files_in(tmp_path / "local")
    assert [str(err) for err in beam.skipped] == [str(err) for err in local.skipped]
    assert len(beam.skipped) == 2


def test_a_dry_run_writes_nothing_and_reports_the_same(tmp_path: Path) -> None:
    root = write_kit(tmp_path / "VOC", count=20)
    local = build_records(root, "", dry_run=True, num_workers=1)
    beam = build_records(root, "", dry_run=True, runner="DirectRunner")
    assert beam.manifest == local.manifest


def test_intermediate_files_are_gone_afterwards(tmp_path: Path) -> None:
    root = write_kit(tmp_path / "VOC", count=20)
    build_records(root, tmp_path / "out", runner="DirectRunner", shared_dir=str(tmp_path / "shared"))
    assert list((tmp_path / "shared").iterdir()) == []


def test_a_worker_that_cannot_write_ends_it_with_the_path(tmp_path: Path) -> None:

    devkit = open_devkit(write_kit(tmp_path / "VOC", count=1))
    (image_id, (xml,)), (picture,) = *devkit.annotations.items(), *devkit.pictures.values()
    with start_beam("DirectRunner", []) as run:
        (scanned,) = next(run(scan_chunk, [ScanTask(((image_id, (), xml),), ("dog", "sofa"))]))
        task = EncodeTask(
            (pack_item(scanned.annotation, picture),), ("dog", "sofa"), 10**8, None, None, f"{tmp_path}/missing/part"
        )
        with pytest.raises(OSError, match="missing/part"):
            list(run(encode_chunk, [task]))


def test_a_worker_without_the_devkit_ends_it_instead_of_finding_every_file_bad(tmp_path: Path) -> None:
    with start_beam("DirectRunner", [], must_see=f"{tmp_path}/unmounted") as run:
        with pytest.raises(OSError, match="a worker, does not see it; mount it there"):
            list(run(scan_chunk, [ScanTask((), ("dog",))]))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--runner=NoRunner", "--shared_dir=/tmp"], "--runner=NoRunner: "),
        (
            ["--runner=FlinkRunner", "--shared_dir=/tmp", "--out_dir=s3://bucket/voc"],
            "--out_dir=s3://bucket/voc with --runner=FlinkRunner; its workers need a folder that they mount",
        ),
        (["--runner=FlinkRunner"], "--runner=FlinkRunner works on other machines; give --shared_dir"),
        (["--runner=DirectRunner", "--", "--direct_workers=2"], "Beam knows no option --direct_workers"),
        (["--shared_dir=/tmp"], "--shared_dir and Beam's options are for a --runner"),
    ],
)
def test_wrong_options_are_refused_in_a_line(tmp_path: Path, arguments: list[str], reason: str) -> None:
    done = convert_by_command(write_kit(tmp_path / "VOC", count=2), tmp_path / "out", *arguments)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: {reason}")
    assert not (tmp_path / "out").exists()


def test_the_command_prints_no_more_than_a_local_one(tmp_path: Path) -> None:
    done = convert_by_command(
        write_kit(tmp_path / "VOC", count=8), tmp_path / "out", "--runner=DirectRunner", "--", *TWO_PROCESSES
    )
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stderr.splitlines()] == [
        "listing",
        "reading",
        "Beam:",
        "Beam:",  # images of the same size are compared
        "converting",
        "Beam:",
    ]
    assert f"wrote {tmp_path / 'out'}: 8 images" in done.stdout


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    root, out = write_kit(tmp_path / "VOC", count=1500), tmp_path / "out"
    command = [sys.executable, "tools/build_tfrecords.py", f"--voc_root={root}", f"--out_dir={out}"]
    process = subprocess.Popen(
        [*command, "--runner=DirectRunner", "--", *TWO_PROCESSES], cwd=ROOT, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not list(out.glob(".building-*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=180) == 128 + signal.SIGINT
    assert not out.exists()
