"""The converter's processes: tasks handed out to them, results in the order of the tasks.

with start_workers(num_workers) as run:
    for result in run(scan_chunk, tasks): ...        # in the order of the tasks, a few in flight
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

_IN_FLIGHT = 3  # chunks a worker: enough to never wait for the main process, few enough to stay small
T = TypeVar("T")
R = TypeVar("R")
Run = Callable[[Callable[[T], R], Iterable[T]], Iterator[R]]


@contextlib.contextmanager
def start_workers(num_workers: int) -> Iterator[Run]:
    """Yields run(function, tasks), which yields the results in the order of the tasks from that many processes.

    Raises (from run):
      RuntimeError: a worker process died.
    """
    if num_workers == 1:
        yield lambda function, tasks: map(function, tasks)
        return
    # Forking starts at once and shares memory, but must not happen with threads about (TensorFlow's).
    alone = threading.active_count() == 1 and "tensorflow" not in sys.modules and sys.platform == "linux"
    context = multiprocessing.get_context("fork" if alone else "spawn")
    pool = ProcessPoolExecutor(num_workers, mp_context=context, initializer=_prepare_worker)
    try:
        pool.submit(int)  # starts them now: what this process comes to hold is not theirs
        yield lambda function, tasks: _run_in_order(pool, function, tasks, _IN_FLIGHT * num_workers)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _run_in_order(pool: Executor, function: Callable[[T], R], tasks: Iterable[T], in_flight: int) -> Iterator[R]:
    pending: deque[Future[R]] = deque()
    try:
        for task in tasks:
            pending.append(pool.submit(function, task))
            if len(pending) >= in_flight:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as err:
        raise RuntimeError(
            "a worker process was ended from outside (out of memory, or killed); nothing was written; "
            "run again, with fewer --num_workers if memory is short"
        ) from err


def _prepare_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the main process handles it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Once 16 MiB were freed, glibc keeps blocks up to that size (mallopt(3), M_MMAP_THRESHOLD "is dynamic"), instead of
    # giving a picture's memory back to the kernel and getting it anew for the next.
    bytes(16 << 20)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    """Ends this worker when its parent is gone, however it went."""
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
