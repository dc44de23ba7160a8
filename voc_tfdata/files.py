"""Files done right: written whole and flushed to disk, locked, with room for them, with progress for who waits.

write_whole("runs/a/metrics.json", text.encode())
with writing_whole("runs/a/state.npz") as temporary: ...        # a path to write to; renamed when all went well
with locked(out_dir, "another process is building records in {holder}"): ...
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from absl import logging
from tqdm import tqdm

_LOG_EVERY_S = 10.0  # progress lines where stderr is no terminal


def write_whole(path: str | Path, data: bytes | str) -> None:
    """Writes a file (text as UTF-8) so that it appears whole or not at all, even after a power cut.

    Raises:
      OSError: it cannot be written; the file that was there before is left as it was.
    """
    with writing_whole(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


@contextlib.contextmanager
def writing_whole(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; what the caller has written there is flushed to disk and renamed.

    The temporary name ends in the suffix of `path`. It is removed if the caller raises. The folder is made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        sync_file(temporary)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def sync_file(path: str | Path) -> None:
    """Waits until the bytes of a file are on the disk (fsync(2))."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def syncing() -> Iterator[Callable[[str | Path], None]]:
    """Yields a function that begins to flush a file to disk and returns at once; leaving waits for all of them.

    The file may be renamed or removed meanwhile.

    Raises (on leaving):
      OSError: the bytes of a file cannot be written.
    """

    def sync(handle: int) -> None:
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    with ThreadPoolExecutor(1) as thread:
        begun: list[Future[None]] = []
        yield lambda path: begun.append(thread.submit(sync, os.open(path, os.O_RDONLY)))
        for future in begun:
            future.result()


def sync_folder(path: str | Path) -> None:
    """Waits until the names in a folder are on the disk. Some file systems cannot: they do it by themselves."""
    try:
        sync_file(path)
    except OSError as err:
        if err.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise


@contextlib.contextmanager
def locked(path: str | Path, *, wait: str = "", refuse: str = "") -> Iterator[bool]:
    """Holds a lock on a file or folder, which leaves no file; the kernel drops it with the process, however it ends.

    Args:
      path: of an existing file or folder.
      wait: logged once if another process holds the lock, which is then waited for.
      refuse: message of the RuntimeError if another process holds it, instead of waiting.

    Yields:
      Whether it is locked: some network file systems have no locks.

    Raises:
      RuntimeError: another process holds it, and `refuse` is given.
      OSError: the path cannot be opened.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        held = True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if refuse:
                raise RuntimeError(refuse) from None
            logging.info("%s", wait)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            held = False
        yield held
    finally:
        os.close(handle)


def check_free_disk(folder: str | Path, num_bytes: int, *, what: str, remedy: str) -> int:
    """Returns the bytes free on a folder's disk.

    Args:
      folder: on the disk in question.
      num_bytes: needed.
      what: the work that takes them, for the message.
      remedy: what to do about it, for the message.

    Raises:
      OSError: fewer are free.
    """
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise OSError(f"{folder}: {what} takes {format_bytes(num_bytes)}, {format_bytes(free)} are free; {remedy}")
    return free


def format_bytes(num_bytes: int) -> str:
    """Returns a number of bytes as text, e.g. "0.02 MB", "1,999.6 MB" or "12.31 GB"."""
    if num_bytes >= 1e10:
        return f"{num_bytes / 1e9:,.2f} GB"
    return f"{num_bytes / 1e6:,.1f} MB" if num_bytes >= 1e7 else f"{num_bytes / 1e6:,.2f} MB"


@contextlib.contextmanager
def show_progress(done: int, total: int | None) -> Iterator[Callable[[int], object]]:
    """Yields a function that takes every number of new bytes: a bar on a terminal, else a line now and then.

    Args:
      done: bytes that were there before.
      total: bytes in the end, those included; None where that is not known.
    """
    if sys.stderr.isatty():
        with tqdm(initial=done, total=total, unit="B", unit_scale=True) as bar:
            yield bar.update
        return
    start_s, start, next_s = time.monotonic(), done, time.monotonic() + _LOG_EVERY_S

    def log(size: int) -> None:
        nonlocal done, next_s
        done += size
        now_s = time.monotonic()
        if now_s >= next_s:
            next_s = now_s + _LOG_EVERY_S
            whole = format_bytes(total) if total else "unknown size"
            rate = (done - start) / 1e6 / (now_s - start_s)
            logging.info("%s of %s, %.1f MB/s", format_bytes(done), whole, rate)

    yield log
