"""A folder that is either a complete data set or none: staged elsewhere, moved in, the manifest last.

with stage(out_dir) as staging:          # out_dir: a local folder or a URI
    ...                                  # write the shards and manifest.json into staging
    publish(staging, out_dir, file_names)

A local folder is staged inside itself and published by renames, under a lock. A remote one is built in a temporary
local folder and uploaded. It has no lock: that two builds do not write to it at once is for its owner to see to; the
manifest's checksums show if they did.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from absl import logging

from voc_tfdata.devkit.spill import TemporaryFolderError
from voc_tfdata.files import locked
from voc_tfdata.records.manifest import MANIFEST_NAME
from voc_tfdata.remote.addresses import is_uri, join
from voc_tfdata.remote.files import in_parallel, list_folder, remove_file, shared_progress, write_file

_STAGING = ".building"
_NUM_THREADS = 4  # files uploaded at a time; the S3 client stages each in /tmp, and sends its parts in parallel
_OURS = re.compile(r"voc-.*(\.tfrecord|\.idx|-ids\.txt)")


def stage(out_dir: str | Path) -> contextlib.AbstractContextManager[Path]:
    """Returns a context with an empty local folder to build in, which is gone afterwards.

    Raises (on entering):
      OSError: it cannot be made or written.
      RuntimeError: another process builds there.
    """
    return _stage_upload(str(out_dir)) if is_uri(out_dir) else _stage_folder(Path(out_dir))


def publish(staging: Path, out_dir: str | Path, names: Iterable[str]) -> None:
    """Moves the named files and the manifest from staging to out_dir, in place of the data set that was there.

    The old manifest goes first and the new one comes last, so that no moment shows a mixture as a data set.

    Raises:
      PermissionError, ConnectionError, OSError: a file could not be moved; there is no data set there now.
    """
    if is_uri(out_dir):
        _upload(staging, str(out_dir), names)
    else:
        _publish_folder(staging, Path(out_dir), names)


@contextlib.contextmanager
def _stage_folder(out_dir: Path) -> Iterator[Path]:
    """Yields an empty folder inside out_dir, on the same file system, for one process at a time.

    It and everything in it is gone afterwards; what a killed run left there is removed first.

    Raises:
      OSError: out_dir cannot be made or written.
      RuntimeError: another process builds there.
    """
    new = _missing_parents(out_dir)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        # Some network file systems have no locks: then nothing guards against a second builder.
        with locked(out_dir, refuse=f"another process is building records in {out_dir}; wait for it, or end it"):
            for folder in out_dir.glob(f"{_STAGING}-*"):
                shutil.rmtree(folder, ignore_errors=True)
            # A name of its own: workers of a killed run may live on for a moment, and write where they were told to.
            staging = Path(tempfile.mkdtemp(prefix=f"{_STAGING}-", dir=out_dir))
            try:
                yield staging
            finally:
                # Away from under workers that are still starting on a part: rmtree would race with them.
                doomed = staging.with_name(f"{staging.name}.old")
                with contextlib.suppress(OSError):
                    os.rename(staging, doomed)
                shutil.rmtree(doomed, ignore_errors=True)
    except TemporaryFolderError:  # not this one
        raise
    except OSError as err:
        advice = "no data set was written; make it writable with room enough, or give another --out_dir"
        reason = f"{err.strerror or err}; {advice}"
        raise OSError(err.errno, reason, str(out_dir)) from err
    finally:
        for folder in new:
            with contextlib.suppress(OSError):
                folder.rmdir()  # only if nothing came into it


def _publish_folder(staging: Path, out_dir: Path, names: Iterable[str]) -> None:
    keep = set(names)
    with _signals_held_back():
        with contextlib.suppress(FileNotFoundError):
            os.unlink(out_dir / MANIFEST_NAME)
        for name in sorted(keep):
            os.replace(staging / name, out_dir / name)
        for path in out_dir.iterdir():
            if _is_ours(path.name) and path.name not in keep:
                path.unlink()  # of the data set before, or of a run that was killed while publishing
        os.replace(staging / MANIFEST_NAME, out_dir / MANIFEST_NAME)


def _is_ours(name: str) -> bool:
    """Returns whether a file of this name is part of a data set (the manifest aside)."""
    return bool(_OURS.fullmatch(name))


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until the renames, a few milliseconds in all, are done.

    By handlers that remember them: a blocked signal would go to another thread of this process, of which the workers'
    pool has two, and be handled in the middle all the same.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's, and their effect too
        yield
        return
    held: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda number, frame: held.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        for late in held:
            signal.raise_signal(late)


def _missing_parents(folder: Path) -> list[Path]:
    """Returns the folders that mkdir(parents=True) will make, the deepest first."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    return missing


@contextlib.contextmanager
def _stage_upload(uri: str) -> Iterator[Path]:
    """Yields an empty local folder (in TMPDIR) that is gone afterwards.

    Raises:
      OSError: it cannot be made.
    """
    with tempfile.TemporaryDirectory(prefix="voc_tfdata_") as folder:
        logging.info("builds in %s, to be uploaded to %s", folder, uri)
        yield Path(folder)


def _upload(staging: Path, uri: str, names: Iterable[str]) -> None:
    keep = sorted(names)
    remove_file(join(uri, MANIFEST_NAME))
    total = sum((staging / name).stat().st_size for name in keep)
    logging.info("uploads %d files, %.1f MB, to %s", len(keep), total / 1e6, uri)
    stop = threading.Event()
    with shared_progress(total) as count:

        def send(name: str) -> None:
            write_file(staging / name, join(uri, name))
            count((staging / name).stat().st_size)

        in_parallel(send, keep, num_threads=_NUM_THREADS, stop=stop)
    for name in list_folder(uri):
        if _is_ours(name) and name not in keep:
            remove_file(join(uri, name))
    write_file(staging / MANIFEST_NAME, join(uri, MANIFEST_NAME))
