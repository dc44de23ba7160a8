"""What runs in each of the converter's processes, and how it and the main process speak through their pipe.

A worker ends when the main process does, however that went.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
import signal
import threading
from multiprocessing.connection import Connection, wait
from typing import Any

from voc_tfdata.devkit.image_formats import quiet_pillow

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # blocked while a worker starts, until it has handlers of its own


def send(pipe: Connection, message: Any) -> None:
    """Sends what pickle can copy."""
    # Not Connection.send, which pickles into a BytesIO: Python 3.13 complains at its end of one that Ctrl-C left open.
    pipe.send_bytes(pickle.dumps(message))


def receive(pipe: Connection) -> Any:
    """Returns what the other end sent, after waiting for it; raises EOFError where that is gone."""
    return pickle.loads(pipe.recv_bytes())


def work(pipe: Connection) -> None:
    """Does tasks until the pipe ends, in a worker."""
    _prepare_worker()
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_take_in, args=(pipe, tasks), daemon=True).start()
    try:
        send(pipe, None)  # ready
    except OSError:
        os._exit(1)
    while True:
        number, function, task = tasks.get()
        message: tuple[int, Any, Exception | None]
        try:
            message = number, function(task), None
        except Exception as err:
            message = number, None, _portable(err)
        try:
            send(pipe, message)
        except OSError:  # the main process is gone
            os._exit(1)


def _take_in(pipe: Connection, tasks: queue.SimpleQueue) -> None:
    """Takes tasks out of the pipe as they come: the main process never waits for a worker to be ready for one.

    Ends this worker when the main process is gone, however it went: its end of the pipe is closed then.
    """
    while True:
        try:
            tasks.put(receive(pipe))
        except (EOFError, OSError):
            os._exit(1)


def _portable(err: Exception) -> Exception:
    """Returns the exception, or one of its words if it cannot be sent to another process."""
    try:
        pickle.loads(pickle.dumps(err))
    except Exception:  # whatever its class does on copying
        return RuntimeError(f"{type(err).__name__}: {err}")
    return err


def _prepare_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the main process handles it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    # Once 16 MiB were freed, glibc keeps blocks up to that size (mallopt(3), M_MMAP_THRESHOLD "is dynamic"), instead of
    # giving an image's memory back to the kernel and getting it anew for the next.
    bytes(16 << 20)
    quiet_pillow()
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    """Ends this worker when its parent is gone: other workers may hold the parent's end of the pipe open."""
    wait([sentinel])
    os._exit(1)
