"""The converter's processes: in order, few ahead, and whatever dies, it neither hangs nor blames the wrong task."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

from tests.paths import ROOT
from voc_tfdata.convert.worker_pool import start_workers


def in_process(code: str) -> subprocess.CompletedProcess[str]:
    """Runs code where workers may be forked: a process without TensorFlow and threads."""
    root = ROOT
    program = "from voc_tfdata.convert.worker_pool import start_workers\n" + textwrap.dedent(code)
    return subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=180)


def test_results_come_in_the_order_of_the_tasks_and_few_tasks_are_taken_ahead() -> None:
    done = in_process("""
        import time, os
        taken = []
        def tasks():
            for k in range(40):
                taken.append(k)
                yield k
        def slow_first(k):
            time.sleep(0.05 if k % 5 == 0 else 0)
            return k, os.getpid()
        with start_workers(3) as run:
            results = []
            for result in run(slow_first, tasks()):
                results.append(result)
                assert len(taken) - len(results) <= 12, (len(taken), len(results))
        assert [k for k, _ in results] == list(range(40))
        assert len({pid for _, pid in results}) > 1 and os.getpid() not in {pid for _, pid in results}
    """)
    assert (done.returncode, done.stderr) == (0, "")


def test_one_worker_is_this_process() -> None:
    with start_workers(1) as run:
        assert list(run(lambda task: (task, os.getpid()), [1, 2])) == [(1, os.getpid()), (2, os.getpid())]


def test_a_worker_killed_at_a_task_without_a_recovery_ends_the_run() -> None:
    done = in_process("""
        import os, signal
        def die(k):
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            with start_workers(2) as run:
                list(run(die, range(9)))
        except RuntimeError as err:
            print(err)
    """)
    assert done.returncode == 0, done.stderr
    assert "a worker process was ended from outside (SIGKILL" in done.stdout and "--num_workers" in done.stdout


def test_an_error_in_a_worker_is_raised_as_it_is() -> None:
    done = in_process("""
        def fail(k):
            raise OSError(28, "No space left on device", "/x/part-0")
        try:
            with start_workers(2) as run:
                list(run(fail, range(9)))
        except OSError as err:
            print(err.filename, err.strerror)
    """)
    assert (done.returncode, done.stdout) == (0, "/x/part-0 No space left on device\n"), done.stderr


def test_what_ends_a_worker_again_is_found_and_the_rest_is_done() -> None:
    done = in_process("""
        import os, signal
        from voc_tfdata.convert.worker_pool import Death
        def double(numbers):
            for n in numbers:
                if n in (5, 17):
                    os.kill(os.getpid(), signal.SIGSEGV)
            return [2 * n for n in numbers]
        def recover(numbers, run_alone):
            alone = [run_alone(double, [n]) for n in numbers]
            return [str(a) if isinstance(a, Death) else a[0] for a in alone]
        with start_workers(2, {double: recover}) as run:
            print([r for part in run(double, [list(range(k, k + 4)) for k in range(0, 20, 4)]) for r in part])
    """)
    wanted = [2 * n if n not in (5, 17) else "SIGSEGV" for n in range(20)]
    assert (done.returncode, done.stdout) == (0, f"{wanted}\n"), done.stderr


def test_a_worker_that_dies_in_the_middle_of_a_large_message_blocks_nobody() -> None:
    done = in_process("""
        import os, signal, threading, time
        def send_much(task):
            number, name = task
            if number == 3 and not os.path.exists(name):  # dies while it sends, the first time
                open(name, "w").close()
                threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
                return SlowToSend()
            return bytes(5_000_000)
        class SlowToSend:
            def __reduce__(self):
                time.sleep(5)
                return bytes, ()
        import tempfile
        from voc_tfdata.convert import worker_pool
        name = tempfile.mktemp()
        again = lambda task, run_alone: run_alone(send_much, task)
        with start_workers(2, {send_much: again}) as run:
            print([len(r) for r in run(send_much, [(n, name) for n in range(8)])])
    """)
    assert (done.returncode, done.stdout) == (0, f"{[5_000_000] * 8}\n"), done.stderr


def test_an_exception_that_cannot_be_copied_comes_as_its_words() -> None:
    done = in_process("""
        class Odd(Exception):
            def __init__(self, one, two):
                super().__init__("odd words")
        def fail(k):
            raise Odd(1, 2)
        try:
            with start_workers(2) as run:
                list(run(fail, range(3)))
        except RuntimeError as err:
            print(err)
    """)
    assert (done.returncode, done.stdout) == (0, "Odd: odd words\n"), done.stderr


def test_workers_that_cannot_start_end_the_run_and_blame_no_file() -> None:
    # A program from standard input, with a thread: workers are new interpreters, which cannot read it again.
    program = """
import threading, time
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
from voc_tfdata.convert.worker_pool import start_workers
try:
    with start_workers(2, {len: lambda task, run_alone: run_alone(len, task)}) as run:
        print(list(run(len, ["a", "bb"] * 20)))
except RuntimeError as err:
    print("refused:", err)
"""
    done = subprocess.run(
        [sys.executable, "-"], input=program, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "refused: worker processes cannot start (status 1); nothing was written; in your own script"
    )
