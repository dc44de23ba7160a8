"""Batches through a data service of real processes: what is delivered, and what happens when one of them is killed."""

from __future__ import annotations

import contextlib
import csv
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.devkit_fixture import draw_noise, encode, sample, write_devkit
from tests.loopback import free_ports
from tests.paths import ROOT
from voc_tfdata.convert.build import build_records
from voc_tfdata.pipeline import data_service
from voc_tfdata.pipeline.dataset import eval_dataset, train_dataset

SIZE = 32


def start(*arguments: str) -> subprocess.Popen:
    """Starts tools/data_service.py and returns when it has printed its line."""
    command = [sys.executable, str(ROOT / "tools/data_service.py"), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout and process.stderr
    line = process.stdout.readline()
    assert "listens at" in line, process.stderr.read()
    return process


@dataclass
class Service:
    """A dispatcher and its workers, as processes."""

    ports: list[int]  # of the dispatcher, then of the workers
    work_dir: str = ""
    processes: dict[int, subprocess.Popen] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"grpc://localhost:{self.ports[0]}"

    def start(self, port: int) -> None:
        if port == self.ports[0]:
            workers = ",".join(f"localhost:{p}" for p in self.ports[1:])
            self.processes[port] = start(
                "dispatcher", f"--port={port}", f"--workers={workers}", f"--work_dir={self.work_dir}"
            )
        else:
            self.processes[port] = start("worker", f"--dispatcher={self.address}", f"--address=localhost:{port}")

    def kill(self, port: int) -> None:
        self.processes[port].kill()
        self.processes[port].wait()


@contextlib.contextmanager
def run_service(num_workers: int, work_dir: str = "") -> Iterator[Service]:
    service = Service(free_ports(1 + num_workers), work_dir)
    try:
        service.start(service.ports[0])
        threads = [threading.Thread(target=service.start, args=(port,)) for port in service.ports[1:]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        yield service
    finally:
        for process in service.processes.values():
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with run_service(2, str(tmp_path_factory.mktemp("service"))) as running:
        yield running


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """22 images of noise to train on, in 3 shards, and 4 to validate."""
    folder = tmp_path_factory.mktemp("records")
    samples = {f"im{k:02d}": sample("dog", picture=encode(draw_noise(40 + k, 60, seed=k), "JPEG")) for k in range(26)}
    lists = {"train": list(samples)[:22], "val": list(samples)[22:]}
    root = write_devkit(folder / "VOC", samples, lists)
    build_records(root, folder / "records", splits=("train", "val"), num_shards=3, num_workers=1)
    return folder / "records"


def take(ds: tf.data.Dataset, steps: int) -> list[tuple[np.ndarray, ...]]:
    return [tuple(t.numpy() for t in batch) for batch in ds.take(steps)]


def make(records: Path, service: Service | None, **options: object) -> tf.data.Dataset:
    address = service.address if service else ""
    options = {"batch_size": 4, "image_size": SIZE, "augment": "crop", "with_ids": True} | options
    return train_dataset(records, data_service=address, **options)  # type: ignore[arg-type]


def assert_equal_batches(found: list, wanted: list) -> None:
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def test_two_workers_deliver_each_picture_of_an_epoch_once(records: Path, service: Service) -> None:
    batches = take(make(records, service), 12)  # 22 images by 4: two epochs of 6 steps
    for epoch in (batches[:6], batches[6:]):
        ids = [image_id.decode() for _, _, ids in epoch for image_id in ids]
        assert sorted(ids) == [f"im{k:02d}" for k in range(22)]


@pytest.mark.parametrize("start_step", [0, 7])
@pytest.mark.parametrize("cache", ["none", "decoded"])
def test_order_and_pixels_are_those_of_one_process(
    records: Path, service: Service, tmp_path: Path, cache: str, start_step: int
) -> None:
    options = {"cache": cache, "cache_dir": tmp_path, "color_jitter": 0.4, "seed": 5}
    wanted = take(make(records, None, **options), 14)[start_step:]
    found = take(make(records, service, start_step=start_step, **options), 14 - start_step)
    assert_equal_batches(found, wanted)


def test_a_host_gets_its_part_of_each_batch(records: Path, service: Service) -> None:
    wanted = take(make(records, None, shard=(1, 2)), 7)
    assert_equal_batches(take(make(records, service, shard=(1, 2)), 7), wanted)


def test_an_iterator_begins_anew_each_time(records: Path, service: Service) -> None:
    ds = make(records, service)
    assert_equal_batches(take(ds, 3), take(ds, 3))


def test_a_damaged_record_is_named(records: Path, service: Service, tmp_path: Path) -> None:
    for path in records.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    ds = make(tmp_path, service)
    os.truncate(tmp_path / "voc-train-00001-of-00003.tfrecord", 100)
    with pytest.raises(tf.errors.InvalidArgumentError, match="record.*of.*voc-train-00001-of-00003.*--verify"):
        take(ds, 12)


def test_evaluation_needs_no_service(records: Path) -> None:
    assert "data_service" not in eval_dataset.__annotations__
    assert len(take(eval_dataset(records, "val", batch_size=4, image_size=SIZE), 9)) == 1


@pytest.mark.slow
def test_train_py_ends_with_it_as_without_it(records: Path, service: Service, tmp_path: Path) -> None:
    rows = []
    for name, more in (("with", [f"--data_service={service.address}"]), ("without", [])):
        flags = f"--records={records} --out_dir={tmp_path / name} --image_size=32 --epochs=2 --batch_size=8"
        flags += " --test_split=val --optimizer=sgd --augment=crop --precision=float32 --deterministic"
        done = subprocess.run(
            [sys.executable, "train.py", *flags.split(), *more], cwd=ROOT, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        with open(tmp_path / name / "history.csv", newline="") as file:
            timing = ("images_per_second", "input_wait", "seconds")
            rows.append([{k: v for k, v in row.items() if k not in timing} for row in csv.DictReader(file)])
    assert len(rows[0]) == 2 and rows[0] == rows[1]


def test_records_of_200_000_pictures_pass_through(service: Service) -> None:
    # 24 bytes a record, as fetch.record_table has it: 4.8 MB in the graph, above the 4 MB that gRPC takes by default.
    table = tf.constant(np.arange(200_000 * 3).reshape(-1, 3))
    ds = data_service.distribute_steps(
        lambda steps: steps.map(lambda step: (tf.gather(table, step * 49_999),)).take(2),
        service.address,
        start_step=0,
    )
    assert [row.tolist() for (row,) in take(ds, 4)] == [[k * 49_999 * 3 + j for j in range(3)] for k in range(4)]


def test_a_worker_that_is_killed_and_restarted_ends_the_iteration_and_it_goes_on_at_start_step(
    records: Path, service: Service
) -> None:
    wanted = take(make(records, None), 300)
    batches, found = iter(make(records, service)), []
    for _ in range(4):
        found.append(tuple(t.numpy() for t in next(batches)))
    service.kill(service.ports[1])
    service.start(service.ports[1])
    with pytest.raises(tf.errors.InvalidArgumentError, match="worker was restarted.*voc_tfdata train goes on"):
        for _ in range(300):  # some batches had been made
            found.append(tuple(t.numpy() for t in next(batches)))
    assert_equal_batches(found, wanted[: len(found)])  # nothing lost, nothing twice
    go_on = make(records, service, start_step=len(found))
    assert_equal_batches(take(go_on, 12), take(make(records, None, start_step=len(found)), 12))


def test_a_dispatcher_with_a_work_dir_may_be_restarted_unnoticed(records: Path, service: Service) -> None:
    wanted = take(make(records, None), 60)
    batches = iter(make(records, service))
    found = [tuple(t.numpy() for t in next(batches)) for _ in range(4)]
    service.kill(service.ports[0])
    service.start(service.ports[0])
    found += [tuple(t.numpy() for t in next(batches)) for _ in range(56)]
    assert_equal_batches(found, wanted)


def test_no_dispatcher_is_an_error_within_seconds(records: Path) -> None:
    (port,) = free_ports(1)
    began = time.monotonic()
    with pytest.raises(ConnectionError, match=f"grpc://localhost:{port}; start one there.*dispatcher"):
        train_dataset(records, data_service=f"grpc://localhost:{port}")
    assert time.monotonic() - began < 60


def test_workers_that_are_not_there_are_an_error_that_says_how_to_start_them() -> None:
    port, worker, absent = free_ports(3)
    dispatcher = start("dispatcher", f"--port={port}", f"--workers=localhost:{worker},localhost:{absent}")
    address = f"grpc://localhost:{port}"
    one = None
    try:
        with pytest.raises(ConnectionError, match="none of the workers.*worker --dispatcher=grpc"):
            data_service.count_workers(address, timeout_s=1)
        one = start("worker", f"--dispatcher={address}", f"--address=localhost:{worker}")
        with pytest.raises(ConnectionError, match="1 of 2 workers"):
            data_service.count_workers(address, timeout_s=3)
    finally:
        for process in (dispatcher, one):
            if process:
                process.kill()
                process.wait()


@pytest.mark.parametrize(
    "address", ["grpc://", "localhost", "grpc://a:b", "grpc://a:70000", "http://a:1", "grpc://a/b:1"]
)
def test_what_is_no_address_is_refused(records: Path, address: str) -> None:
    with pytest.raises(ValueError, match=re.escape(address) + ".*grpc://host:port"):
        train_dataset(records, data_service=address)


def test_a_port_that_is_in_use_is_refused(service: Service) -> None:
    command = [sys.executable, str(ROOT / "tools/data_service.py"), "worker", f"--dispatcher={service.address}"]
    command += [f"--address=localhost:{service.ports[1]}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: localhost:{service.ports[1]} is in use") and done.stdout == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_ends_quietly_when_told_to(number: signal.Signals) -> None:
    (port,) = free_ports(1)
    process = start("dispatcher", f"--port={port}", "--workers=localhost:1")
    process.send_signal(number)
    _, err = process.communicate(timeout=180)
    lines = err.splitlines()
    assert process.returncode == 0 and len(lines) == 2, err
    assert "listens on all interfaces" in lines[0] and "has no password" in lines[0] and "stopped" in lines[1]
