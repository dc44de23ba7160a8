"""The machine and its processes, for reports of speed: processor, cores, versions, memory in use."""

from __future__ import annotations

import multiprocessing
import os
import platform
import resource
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

from voc_tfdata.quiet import quiet_start

_PACKAGES = ("voc_tfdata", "tensorflow", "keras", "numpy")


def describe_machine() -> dict[str, Any]:
    """Returns processor, cores this process may use, memory in GiB, system, and versions."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "cpu": _cpu_model(),
        "cores": count_cores(),
        "memory_gib": round(read_memory_bytes() / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "versions": {"python": platform.python_version(), **versions},
    }


def count_cores() -> int:
    """Returns the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_memory_bytes() -> int:
    """Returns the memory of this machine, or of the container that it is, in bytes."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")  # cgroup v2
    text = limit.read_text(encoding="ascii").strip() if limit.is_file() else "max"
    return min(whole, int(text)) if text.isdigit() else whole


def read_peak_mb() -> float:
    """Returns the largest resident set this process has had, in MiB; pages of mapped files in memory count."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # getrusage(2): KiB on Linux, bytes on macOS
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def read_heap_mb() -> float:
    """Returns this process's anonymous resident memory in MiB (proc(5), RssAnon); nan where there is no /proc."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return float("nan")
    return int(status.split("RssAnon:")[1].split()[0]) / 2**10


def watch(gauge: Callable[[], float], *, interval_s: float = 0.02) -> Callable[[], list[float]]:
    """Reads a gauge again and again from a thread; the function it returns ends that and returns all readings."""
    readings, done = [gauge()], threading.Event()

    def read() -> None:
        while not done.wait(interval_s):
            readings.append(gauge())

    thread = threading.Thread(target=read, daemon=True)
    thread.start()

    def stop() -> list[float]:
        done.set()
        thread.join()
        return [*readings, gauge()]

    return stop


def call_in_new_process(function: Callable[..., Any], *args: Any) -> Any:
    """Returns function(*args), called in a fresh process that has imported TensorFlow.

    Call it under `if __name__ == "__main__"`: the process is spawned.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_import_tensorflow) as pool:
        return pool.submit(function, *args).result()


def _import_tensorflow() -> None:
    with quiet_start():
        import tensorflow  # noqa: F401


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
