"""The program voc_tfdata.benchmark: its table, its JSON, its errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.devkit_fixture import sample, write_devkit
from tests.paths import ROOT
from voc_tfdata.convert.build import build_records

# benchmark.py defines flags, as programs do, so it is only ever run, never imported here.


def run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "voc_tfdata.benchmark", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_it_prints_a_row_for_a_mode_and_the_same_figures_as_json(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", {"a": sample("dog"), "b": sample("cat")})
    build_records(root, tmp_path / "records", split_ratios="train=1", num_workers=1)
    done = run(
        f"--records={tmp_path / 'records'}",
        "--modes=read",
        "--epochs=3",
        "--seconds=0",
        "--batch_size=2",
        f"--json={tmp_path / 'speed.json'}",
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    report = json.loads(lines[-1])
    assert report == json.loads((tmp_path / "speed.json").read_text())
    assert report["machine"]["cores"] >= 1 and report["machine"]["versions"]["tensorflow"]
    assert report["settings"]["batch_size"] == 2
    (row,) = report["rows"]
    table = lines[lines.index("") + 1 :]
    assert table[0].split() == "mode images/s lowest highest cpu_ms open_s first_s heap_mb peak_mb".split()
    lowest, median, highest = sorted(row["images_per_s"])  # of three measurements
    assert row["median"] == median
    assert table[1].split()[:4] == ["read", f"{median:,.0f}", f"{lowest:,.0f}", f"{highest:,.0f}"]
    assert 0 < row["open_s"] < row["first_s"]
    assert 0 < row["heap_mb"] < row["peak_mb"]


def test_missing_records_are_named_with_the_way_to_build_them(tmp_path: Path) -> None:
    done = run(f"--records={tmp_path}")
    assert done.returncode == 1
    assert f"no {tmp_path}/manifest.json" in done.stderr and "build_tfrecords" in done.stderr
    assert "Traceback" not in done.stderr
