"""The converter's processes: tasks handed out to them, results in the order of the tasks. It never hangs.

    with start_workers(num_workers, RECOVERIES) as run:
        for result in run(scan_chunk, tasks): ...        # in the order of the tasks, a few in flight

Each worker has a pipe of its own, and nothing is shared: a worker that dies at any moment, in the middle of a message
too, can block no other. Its task is done again by the recovery of its function, which finds out what ended it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from absl import logging

from voc_tfdata.convert.worker import SIGNALS, receive, send, work

_IN_FLIGHT = 3  # chunks per worker: enough to never wait for the main process, few enough to stay small
_QUEUED = 2  # chunks handed to a worker: the next one is there when it has done one
_END_TIMEOUT_S = 5.0  # for a worker that was told to end
_MAX_STARTS = 3  # workers in a row that end before they are ready
T = TypeVar("T")
R = TypeVar("R")
Run = Callable[[Callable[[T], R], Iterable[T]], Iterator[R]]


@dataclass(frozen=True)
class Death:
    """How a worker ended that did a task."""

    exit_code: int | None  # negative: the number of the signal

    def __str__(self) -> str:
        if self.exit_code is None or self.exit_code >= 0:
            return f"status {self.exit_code}"
        number = -self.exit_code
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        return f"{name}{', perhaps out of memory' if number == signal.SIGKILL else ''}"


class WorkerDied(RuntimeError):
    """A worker died, and its task cannot be done again."""


# What does a task again whose worker died: (task, run_alone) -> result. run_alone(function, task) does one in a new
# process and returns its result, or a Death.
RunAlone = Callable[[Callable[[Any], Any], Any], Any]
Recovery = Callable[[Any, RunAlone], Any]


@dataclass
class _Worker:
    """One process, its end of the pipe, and the numbers of the tasks it was handed, the one it is at first."""

    process: BaseProcess
    pipe: Connection
    tasks: deque[int] = field(default_factory=deque)
    ready: bool = False  # it has begun to work


@contextlib.contextmanager
def start_workers(num_workers: int, recoveries: Mapping[Callable[[Any], Any], Recovery] | None = None) -> Iterator[Run]:
    """Yields run(function, tasks), which yields the results in the order of the tasks from that many processes.

    With one worker this process does the work itself.

    Args:
      num_workers: processes.
      recoveries: by function: what does a task again whose worker died.

    Raises (from run):
      WorkerDied: a RuntimeError: a worker process died at a task without a recovery.
      Exception: what a function raised.
    """
    if num_workers == 1:
        yield lambda function, tasks: map(function, tasks)
        return
    pool = _Pool(num_workers, recoveries or {})
    try:
        yield pool.run
    finally:
        pool.stop()


class _Pool:
    def __init__(self, num_workers: int, recoveries: Mapping[Callable[[Any], Any], Recovery]) -> None:
        # Forking starts at once and shares memory, but must not happen with threads about (TensorFlow's).
        alone = threading.active_count() == 1 and "tensorflow" not in sys.modules and sys.platform == "linux"
        self._context: Any = multiprocessing.get_context("fork" if alone else "spawn")
        self._recoveries = recoveries
        self._workers: list[_Worker] = []
        self._failed_starts = 0  # in a row
        try:
            for _ in range(num_workers):  # now: what this process comes to hold is not theirs
                self._workers.append(self._start())
        except BaseException:
            self.stop()
            raise

    def run(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """Yields the results in the order of the tasks."""
        numbered = enumerate(tasks)
        waiting: dict[int, T] = {}  # handed out, without a result yet
        results: dict[int, R] = {}
        due, taken, exhausted = 0, 0, False
        while True:
            while not exhausted and taken - due < _IN_FLIGHT * len(self._workers):
                worker = min(self._workers, key=lambda w: len(w.tasks))
                if len(worker.tasks) >= _QUEUED:
                    break
                if (following := next(numbered, None)) is None:
                    exhausted = True
                    break
                number, task = following
                waiting[number], taken = task, taken + 1
                self._hand(worker, number, function, task)
            if due in results:
                yield results.pop(due)
                due += 1
            elif exhausted and not waiting:
                return
            else:
                self._receive(function, waiting, results)

    def _hand(self, worker: _Worker, number: int, function: Callable[[T], R], task: T) -> None:
        worker.tasks.append(number)
        with contextlib.suppress(OSError):  # it is dead, which _receive sees
            send(worker.pipe, (number, function, task))

    def _receive(self, function: Callable[[T], R], waiting: dict[int, T], results: dict[int, R]) -> None:
        """Waits for results, and does again what a dead worker was at."""
        by_pipe = {worker.pipe: worker for worker in self._workers}
        for pipe in wait(list(by_pipe)):  # a dead worker's pipe is ready, too: at its end
            worker = by_pipe[pipe]  # type: ignore[index]
            try:
                message = receive(worker.pipe)
            except (EOFError, OSError, pickle.UnpicklingError):
                self._replace(worker, function, waiting, results)
                continue
            if message is None:
                worker.ready, self._failed_starts = True, 0
                continue
            number, result, error = message
            if error is not None:
                raise error
            worker.tasks.remove(number)
            del waiting[number]
            results[number] = result

    def _replace(self, dead: _Worker, function: Callable[[T], R], waiting: dict[int, T], results: dict[int, R]) -> None:
        """Puts a new worker in the place of a dead one and gets the results that it owes."""
        dead.process.join(_END_TIMEOUT_S)
        death = Death(dead.process.exitcode)
        _end(dead)
        if not dead.ready:
            self._count_failed_start(death)
        self._workers[self._workers.index(dead)] = new = self._start()
        recovery = self._recoveries.get(function)
        if dead.tasks and recovery is None:
            raise WorkerDied(
                f"a worker process was ended from outside ({death}); nothing was written; "
                "run again, with fewer --num_workers if memory is short"
            )
        if not dead.tasks:
            return
        if not dead.ready:  # it was at none of them
            for number in dead.tasks:
                self._hand(new, number, function, waiting[number])
            return
        at, *others = dead.tasks
        logging.warning("a worker process ended (%s): what it was at is done again, one by one", death)
        assert recovery is not None
        results[at] = recovery(waiting.pop(at), self._run_alone)
        for number in others:
            self._hand(new, number, function, waiting[number])

    def _run_alone(self, function: Callable[[Any], Any], task: Any) -> Any:
        """Returns function(task) of a new process, or the Death of that; raises what the function raised."""
        worker = self._start_ready()
        try:
            with contextlib.suppress(OSError):
                send(worker.pipe, (0, function, task))
            try:
                _, result, error = receive(worker.pipe)
            except (EOFError, OSError, pickle.UnpicklingError):
                worker.process.join(_END_TIMEOUT_S)
                return Death(worker.process.exitcode)
            if error is not None:
                raise error
            return result
        finally:
            _end(worker)

    def _start_ready(self) -> _Worker:
        """Returns a new worker that has begun to work."""
        while True:
            worker = self._start()
            try:
                receive(worker.pipe)
            except (EOFError, OSError):
                worker.process.join(_END_TIMEOUT_S)
                death = Death(worker.process.exitcode)
                _end(worker)
                self._count_failed_start(death)
            else:
                self._failed_starts = 0
                return worker

    def _count_failed_start(self, death: Death) -> None:
        """Counts a worker that ended before it did anything.

        Raises:
          WorkerDied: several did in a row: no file is to blame.
        """
        self._failed_starts += 1
        if self._failed_starts == _MAX_STARTS:
            raise WorkerDied(
                f"worker processes cannot start ({death}); nothing was written; in your own script call this under "
                "if __name__ == '__main__':, not from standard input, or give num_workers=1"
            )

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        # Workers started later inherit the ends of this process, not those of the workers before them.
        process = self._context.Process(target=work, args=(theirs,), daemon=True)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until it has handlers of its own
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        return _Worker(process, ours)

    def stop(self) -> None:
        """Ends all workers, whatever they are at."""
        for worker in self._workers:
            _end(worker)


def _end(worker: _Worker) -> None:
    worker.process.kill()
    worker.process.join(_END_TIMEOUT_S)
    worker.pipe.close()
