"""Two processes on the loopback interface that train as one."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.devkit_fixture import write_small_records
from tests.loopback import free_ports, run_http
from tests.paths import ROOT
from voc_tfdata.remote.back_ends import find_back_end

STEPS = 4  # an epoch: 8 images by two

# Which images each of two processes gets, in two epochs; what a broadcast gives the second one.
DELIVERY = """
import sys
import numpy as np
from voc_tfdata.training.devices import choose_strategy, place_shards
from voc_tfdata.pipeline.dataset import train_dataset
from voc_tfdata.training.hosts import broadcast, broadcast_array, is_chief
strategy = choose_strategy("auto")
make = lambda shard: train_dataset(sys.argv[1], batch_size=2, image_size=32, shard=shard, with_ids=True,
                                   drop_remainder=True)
batches = iter(place_shards(make, strategy, batch_size=2))
local = strategy.experimental_local_results
ids = [[i.decode() for _ in range(4) for i in local(next(batches)[2])[0].numpy()] for _ in range(2)]
said = broadcast({"x": 0.1, "n": "\\u56fe"} if is_chief(strategy) else None, strategy)
arrays = [np.array([3, 2**32 - 1], np.uint32), np.array([1.5, -2.0], np.float32), np.array([True, False])]
arrays = [broadcast_array(a if is_chief(strategy) else np.zeros_like(a), strategy) for a in arrays]
import json
print(json.dumps({"ids": ids, "said": said, "arrays": [a.tolist() for a in arrays]}))
"""


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_records(tmp_path_factory.mktemp("hosts"), train=8, val=4, test=3)


def start(arguments: list[str], ports: list[int], index: int, log: Path) -> subprocess.Popen:
    config = {
        "cluster": {"worker": [f"127.0.0.1:{port}" for port in ports]},
        "task": {"type": "worker", "index": index},
    }
    with open(log, "wb") as file:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=os.environ | {"TF_CONFIG": json.dumps(config), "CUDA_VISIBLE_DEVICES": ""},
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def train_flags(records: Path, out_dir: Path, *more: str) -> list[str]:
    return [
        str(ROOT / "train.py"),
        f"--records={records}",
        f"--out_dir={out_dir}",
        "--image_size=32",
        "--batch_size=2",
        "--epochs=2",
        "--learning_rate=1e-5",
        "--batch_norm",
        "--precision=float32",
        "--optimizer=sgd",
        "--augment=flip",
        "--checkpoint_minutes=0",
        "--deterministic",
        "--keep_state",
        *more,
    ]


def run_both(records: Path, folder: Path, *more: str) -> list[subprocess.Popen]:
    """Runs both to their end; each with an out_dir of its own, a and b."""
    ports = free_ports(2)
    pair = [start(train_flags(records, folder / n, *more), ports, i, folder / f"{n}.log") for i, n in enumerate("ab")]
    for process in pair:
        process.wait(timeout=300)
    return pair


def rows_of(out_dir: Path) -> list[dict[str, float]]:
    with open(out_dir / "history.csv", newline="") as file:
        timing = {"images_per_second", "input_wait", "seconds"}
        return [{k: float(v) for k, v in row.items() if k not in timing} for row in csv.DictReader(file)]


def saved_step(out_dir: Path) -> int:
    try:
        with np.load(out_dir / "state.npz") as file:
            return json.loads(str(file["state"]))["step"]
    except (FileNotFoundError, ValueError):
        return 0


@pytest.fixture(scope="module")
def finished(records: Path) -> Path:
    folder = records.with_name("finished")
    folder.mkdir()
    pair = run_both(records, folder)
    assert [p.returncode for p in pair] == [0, 0], (folder / "a.log").read_text() + (folder / "b.log").read_text()
    return folder


def test_two_hosts_get_each_picture_once_and_agree_on_what_the_first_says(records: Path, tmp_path: Path) -> None:
    ports = free_ports(2)
    logs = [tmp_path / "0.log", tmp_path / "1.log"]
    pair = [start(["-c", DELIVERY, str(records)], ports, i, logs[i]) for i in range(2)]
    assert [p.wait(timeout=120) for p in pair] == [0, 0], logs[1].read_text()
    first, second = (json.loads(log.read_text().splitlines()[-1]) for log in logs)
    for epoch in range(2):  # 4 batches of 2: 4 images each
        assert len(first["ids"][epoch]) == len(second["ids"][epoch]) == 4
        assert sorted(first["ids"][epoch] + second["ids"][epoch]) == [f"p{i:02}" for i in range(8)]
    for found in (first, second):
        assert found["said"] == {"x": 0.1, "n": "图"}
        assert found["arrays"] == [[3, 2**32 - 1], [1.5, -2.0], [True, False]]


@pytest.mark.slow
def test_the_loss_curve_is_that_of_one_process_with_the_same_batch(records: Path, tmp_path: Path) -> None:
    # Without batch normalisation, whose statistics are those of a device's own images.
    more = ["--nobatch_norm", "--learning_rate=0.3"]
    assert [p.returncode for p in run_both(records, tmp_path, *more)] == [0, 0], (tmp_path / "a.log").read_text()
    alone = subprocess.run(
        [sys.executable, *train_flags(records, tmp_path / "alone", *more)], cwd=ROOT, capture_output=True, timeout=300
    )
    assert alone.returncode == 0, alone.stderr
    two, one = rows_of(tmp_path / "a"), rows_of(tmp_path / "alone")
    assert two == [pytest.approx(row, rel=1e-4) for row in one]
    assert abs(one[0]["loss"] - one[1]["loss"]) > 0.01 * one[0]["loss"]  # it moves by a hundred times that


@pytest.mark.slow
def test_one_host_writes_and_both_end_well(finished: Path) -> None:
    assert (finished / "a" / "metrics.json").is_file() and (finished / "a" / "best.keras").is_file()
    assert "--strategy=multi_worker" in (finished / "a" / "flags.txt").read_text()
    assert not (finished / "b").exists()
    first, second = (finished / "a.log").read_text(), (finished / "b.log").read_text()
    assert first.startswith("8 images, 4 steps per epoch; float32; devices: 2, hosts: 2\n")
    assert "Traceback" not in first + second and "retracing" not in first + second


@pytest.mark.slow
def test_a_host_killed_within_an_epoch_ends_the_other_with_a_reason_and_both_go_on(
    records: Path, finished: Path, tmp_path: Path
) -> None:
    ports = free_ports(2)
    flags = train_flags(records, tmp_path / "a", "--max_steps=400", "--epochs=100")  # they shall not end by themselves
    pair = [start(flags, ports, i, tmp_path / f"{i}.log") for i in range(2)]
    deadline = time.monotonic() + 120
    while not saved_step(tmp_path / "a") and time.monotonic() < deadline:
        time.sleep(0.02)
    pair[1].kill()
    killed_at = time.monotonic()
    pair[1].wait()
    assert pair[0].wait(timeout=180) == 1
    seconds = time.monotonic() - killed_at
    log = (tmp_path / "0.log").read_text()
    assert "Traceback" not in log, log
    assert "error: another host ended or cannot be reached; start all hosts again with the same command" in log
    assert seconds < 60
    stopped_at = saved_step(tmp_path / "a")
    assert 0 < stopped_at < 2 * STEPS

    again = run_both(records, tmp_path)
    assert [p.returncode for p in again] == [0, 0], (tmp_path / "a.log").read_text()
    assert f"goes on after step {stopped_at}, in epoch" in (tmp_path / "a.log").read_text()
    for one, other in zip(rows_of(finished / "a"), rows_of(tmp_path / "a"), strict=True):
        assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.slow
def test_hosts_mirror_remote_records_after_they_got_together(records: Path, tmp_path: Path) -> None:
    try:
        find_back_end("http://host")
    except ImportError:
        pytest.skip("nothing that reads http:// is installed")
    with run_http(tmp_path, records) as web:
        more = [f"--records={web.url}", f"--cache_dir={tmp_path / 'cache'}", "--max_steps=1"]
        pair = run_both(records, tmp_path, *more)
    logs = (tmp_path / "a.log").read_text() + (tmp_path / "b.log").read_text()
    assert [p.returncode for p in pair] == [0, 0], logs
    assert "mirrors http" in logs and (tmp_path / "a" / "metrics.json").is_file()


def test_a_host_that_never_starts_is_named(records: Path, tmp_path: Path) -> None:
    ports = free_ports(2)
    flags = train_flags(records, tmp_path / "a", "--start_timeout=1")
    assert start(flags, ports, 0, tmp_path / "log").wait(timeout=120) == 1
    log = (tmp_path / "log").read_text()
    assert f"error: no process at 127.0.0.1:{ports[1]} within 1 s" in log and "same command" in log
    assert not (tmp_path / "a").exists()


def test_a_malformed_tf_config_is_one_line(records: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, *train_flags(records, tmp_path / "a")],
        cwd=ROOT,
        env=os.environ | {"TF_CONFIG": '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker"}}'},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert (
        done.stderr == "error: TF_CONFIG: task.index is null; expected: a number from 0 to 1, another in each process\n"
    )
