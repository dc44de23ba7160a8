"""Conversion on a Dask cluster of real processes, one of which is killed on the way. Needs the extra `dask`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.cluster import cluster
from tests.convert.test_beam_workers import write_kit
from tests.devkit_fixture import files_in
from tests.paths import ROOT
from voc_tfdata.convert.beam_workers import start_beam
from voc_tfdata.convert.build import build_records

pytest.importorskip("apache_beam", reason="Apache Beam is not installed: pip install 'voc_tfdata[dask]'")
pytest.importorskip("distributed", reason="Dask is not installed: pip install 'voc_tfdata[dask]'")


def convert(root: Path, out: Path, shared: Path, address: str) -> subprocess.Popen:
    command = [sys.executable, "tools/build_tfrecords.py", f"--voc_root={root}", f"--out_dir={out}", "--num_shards=3"]
    command += ["--runner=DaskRunner", f"--shared_dir={shared}", "--", f"--dask_client_address={address}"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_work_is_shared_by_all_workers(tmp_path: Path) -> None:
    from distributed import default_client

    with cluster(tmp_path, 2) as (address, workers):
        options = [f"--dask_client_address={address}"]
        with start_beam("DaskRunner", options, shared_dir=str(tmp_path / "shared")) as run:
            pids = list(run(os.readlink, ["/proc/self"] * 64))
        default_client().close()  # the runner leaves it open
        assert len(pids) == 64 and set(pids) == {str(worker.pid) for worker in workers}


@pytest.mark.parametrize("kill", [False, True], ids=["undisturbed", "a worker killed"])
def test_the_files_are_those_of_a_local_conversion(tmp_path: Path, kill: bool) -> None:
    root = write_kit(tmp_path / "VOC", count=1500)
    build_records(root, tmp_path / "local", num_shards=3, num_workers=1)
    with cluster(tmp_path, 2) as (address, workers):
        done = convert(root, tmp_path / "dask", tmp_path / "shared", address)
        if kill:
            ends_at = time.monotonic() + 60
            while not list((tmp_path / "shared").glob("*/*/results-*")) and time.monotonic() < ends_at:
                time.sleep(0.005)
            workers[0].send_signal(signal.SIGKILL)
        _, errors = done.communicate(timeout=120)
    assert done.returncode == 0, errors
    assert files_in(tmp_path / "dask") == files_in(tmp_path / "local")
