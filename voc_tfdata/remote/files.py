"""Reading and writing remote files, with errors of one line and further tries.

    text = read_file("s3://bucket/voc2012/manifest.json")
    for payload in read_records("s3://bucket/voc2012/voc-train-00000-of-00008.tfrecord", offset=0): ...
    write_file(Path("manifest.json"), "s3://bucket/voc2012/manifest.json")

Whoever serves the address (back_ends), it raises built-in exceptions: FileNotFoundError, PermissionError,
ConnectionError (worth another try), ValueError (damaged, or not what was asked for), OSError (all else).
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TypeVar

from absl import logging

from voc_tfdata.files import show_progress
from voc_tfdata.remote.addresses import join, scheme_of
from voc_tfdata.remote.back_ends import find_back_end

MAX_FAILURES = 4  # tries in a row that bring nothing new
_READ_ONLY = ("http", "https")
_FOLDERS_ARE_MADE = ("hdfs",)  # elsewhere a folder is a part of the names of its files
T = TypeVar("T")


def check_writable(uri: str) -> None:
    """Writes a file of one byte into a folder and removes it.

    Raises:
      ValueError: this kind of address can only be read; or see find_back_end, as for ImportError.
      PermissionError, ConnectionError, OSError: it cannot be written (no such bucket, for one).
    """
    if scheme_of(uri) in _READ_ONLY:
        raise ValueError(f"{uri}: {scheme_of(uri)} addresses can only be read; write to a local folder, s3:// or gs://")
    back_end, probe = find_back_end(uri), join(uri, ".voc_tfdata_can_write")

    def write_and_remove() -> None:
        if scheme_of(uri) in _FOLDERS_ARE_MADE:
            back_end.make_folder(uri)
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"x")
            file.flush()
            back_end.write(Path(file.name), probe)
        back_end.remove(probe)

    try:
        try_again(write_and_remove)
    except OSError as err:
        raise type(err)(str(err).replace(probe, uri)) from err


def read_file(uri: str) -> bytes:
    """Returns the bytes of a file.

    Raises:
      FileNotFoundError: it is not there.
      PermissionError, ConnectionError, OSError: it cannot be read (no such bucket, for one).
      ValueError, ImportError: see find_back_end.
    """
    back_end = find_back_end(uri)
    return try_again(lambda: back_end.read(uri))


def read_records(uri: str, offset: int) -> Iterator[bytes]:
    """Yields the payloads of a TFRecord file, in order, from the record at a byte offset on. Tries nothing twice.

    Raises:
      ValueError: a record is damaged or cut off.
      FileNotFoundError, PermissionError, ConnectionError, OSError: it cannot be read.
    """
    return find_back_end(uri).read_records(uri, offset)


def write_file(local: Path, uri: str) -> None:
    """Uploads a file. Readers see the old one or the whole new one, never a part of it (on object stores).

    Raises:
      PermissionError, ConnectionError, OSError: it cannot be written.
    """
    back_end = find_back_end(uri)
    try_again(lambda: back_end.write(local, uri))


def remove_file(uri: str) -> None:
    """Removes a file, if it is there."""
    back_end = find_back_end(uri)

    def remove() -> None:
        with contextlib.suppress(FileNotFoundError):
            back_end.remove(uri)

    try_again(remove)


def try_again(action: Callable[[], T], *, wait_s: float = 1.0) -> T:
    """Returns what action returns, after up to 4 tries if it raises ConnectionError; the waits double."""
    for _ in range(1, MAX_FAILURES):
        try:
            return action()
        except ConnectionError as err:
            logging.warning("%s; trying again in %.0f s", err, wait_s)
            time.sleep(wait_s)
            wait_s *= 2
    try:
        return action()
    except ConnectionError as err:
        raise ConnectionError(f"{err} (tried {MAX_FAILURES} times)") from err


def in_parallel(action: Callable[[T], object], items: Iterable[T], *, num_threads: int, stop: threading.Event) -> None:
    """Calls action with each item, in threads. What the first to fail raises, comes out; the rest is not begun.

    Args:
      stop: set when one has failed, or on Ctrl-C: for actions that can end early.
    """

    def act(item: T) -> None:
        if not stop.is_set():
            try:
                action(item)
            except BaseException:
                stop.set()  # here, before this thread takes the next item
                raise

    with ThreadPoolExecutor(num_threads) as pool:
        jobs = [pool.submit(act, item) for item in items]
        try:
            for job in as_completed(jobs):
                job.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextlib.contextmanager
def shared_progress(total: int) -> Iterator[Callable[[int], None]]:
    """Yields a function for any thread that takes numbers of new bytes: a bar on a terminal, else lines."""
    counting = threading.Lock()
    with show_progress(0, total) as update:

        def count(size: int) -> None:
            with counting:
                update(size)

        yield count
