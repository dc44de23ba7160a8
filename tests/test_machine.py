"""Memory and processes are what the reports of speed say they are."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from voc_tfdata import machine

MB_64 = 64 << 20  # bytes


def test_the_machine_is_described_with_versions() -> None:
    found = machine.describe_machine()
    assert found["cores"] == len(os.sched_getaffinity(0))
    assert found["memory_gib"] > 0.5 and found["cpu"]
    assert found["versions"]["numpy"] == np.__version__


def test_heap_counts_what_is_allocated_and_not_what_is_mapped(tmp_path: Path) -> None:
    # In a process of its own: in this one, threads of earlier tests free memory while it is measured.
    allocated, mapped, above = machine.call_in_new_process(measure_a_block, tmp_path / "file")
    assert 60 < allocated < 100
    assert mapped < 16
    assert above > 0


def measure_a_block(path: Path) -> tuple[float, float, float]:
    """Returns what 64 MiB allocated and 64 MiB mapped add to the heap, and how far the peak lies above it, in MiB."""
    before = machine.read_heap_mb()
    block = np.ones(MB_64, np.uint8)
    after = machine.read_heap_mb()
    block.tofile(path)
    mapped = np.memmap(path, np.uint8, "r")
    assert int(mapped.sum(dtype=np.int64)) == MB_64  # every page is in memory now
    return after - before, machine.read_heap_mb() - after, machine.read_peak_mb() - after


def test_a_watch_sees_a_peak_that_is_over_when_it_is_stopped() -> None:
    level = [1.0]
    stop = machine.watch(lambda: level[0], interval_s=0.001)
    level[0] = 7.0
    time.sleep(0.1)
    level[0] = 2.0
    readings = stop()
    assert (readings[0], max(readings), readings[-1]) == (1.0, 7.0, 2.0)
