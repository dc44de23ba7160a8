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
import errno
import json
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from absl import logging

from voc_tfdata.devkit.spill import TemporaryFolderError
from voc_tfdata.files import locked, sync_file, sync_folder, write_whole
from voc_tfdata.records.card import CARD_NAME
from voc_tfdata.records.manifest import MANIFEST_NAME, read_manifest
from voc_tfdata.records.tfrecord import index_name
from voc_tfdata.remote.addresses import is_uri, join
from voc_tfdata.remote.files import in_parallel, remove_file, shared_progress, write_file

_STAGING = ".building"
_NUM_THREADS = 4  # files uploaded at a time; the S3 client stages each in /tmp, and sends its parts in parallel
WARNINGS_NAME = "warnings.txt"
_OLD, _JOURNAL = ".old", "journal.json"  # in the staging folder, while it is published


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
                _undo(folder, out_dir)
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
    except (TemporaryFolderError, FileExistsError):  # of another folder; of one file in this one
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
    """Moves a data set in. The old one is whole until the moment in which the new one is complete.

    Its files are set aside first, so that what fails in the middle, or is killed there, can be undone. Order on the
    disk, for a power cut at any moment: the data, their names, then the manifest.
    """
    keep = sorted(names)
    for name in [*keep, MANIFEST_NAME]:
        sync_file(staging / name)
    old = [name for name in _files_of_old_set(out_dir) if (out_dir / name).exists()]
    for name in sorted(set(keep) - set(old)):
        if os.path.lexists(out_dir / name):
            raise FileExistsError(
                errno.EEXIST, "is of no data set that a manifest here names; move it away", str(out_dir / name)
            )
    (staging / _OLD).mkdir()
    with _signals_held_back():
        write_whole(staging / _JOURNAL, json.dumps(keep))  # from here on a later run can undo what a kill leaves
        try:
            for name in [MANIFEST_NAME, *old]:  # the manifest first: it never stands over files that are changing
                with contextlib.suppress(FileNotFoundError):
                    os.rename(out_dir / name, staging / _OLD / name)
            sync_folder(out_dir)
            for name in keep:
                os.rename(staging / name, out_dir / name)
            sync_folder(out_dir)
            os.rename(staging / MANIFEST_NAME, out_dir / MANIFEST_NAME)
        except BaseException:
            _undo(staging, out_dir)
            raise
        sync_folder(out_dir)


def _undo(staging: Path, out_dir: Path) -> None:
    """Puts back the data set that was there before, if a publication was begun and not completed."""
    if not (staging / _JOURNAL).exists() or not (staging / MANIFEST_NAME).exists():
        return  # not begun, or the new manifest is in its place
    for name in json.loads((staging / _JOURNAL).read_text(encoding="utf-8")):
        if name == os.path.basename(name) and not (staging / name).exists():  # it was moved
            with contextlib.suppress(FileNotFoundError):
                os.unlink(out_dir / name)
    for path in sorted((staging / _OLD).iterdir(), key=lambda path: path.name == MANIFEST_NAME):  # the manifest last
        os.rename(path, out_dir / path.name)
    sync_folder(out_dir)


def _files_of_old_set(out_dir: str | Path) -> list[str]:
    """Returns the files, but the manifest, of the data set that is in a folder: those that its manifest names.

    Whatever else lies there is somebody else's, also if its name looks like ours.
    """
    try:
        manifest = read_manifest(out_dir)
    except (FileNotFoundError, ValueError):
        return []
    files = [split.ids_file for split in manifest.splits.values()]
    for split in manifest.splits.values():
        files += [name for shard in split.shards for name in (shard.file, index_name(shard.file))]
    return [*files, WARNINGS_NAME, CARD_NAME]


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
    old = _files_of_old_set(uri)
    remove_file(join(uri, MANIFEST_NAME))
    total = sum((staging / name).stat().st_size for name in keep)
    logging.info("uploads %d files, %.1f MB, to %s", len(keep), total / 1e6, uri)
    stop = threading.Event()
    with shared_progress(total) as count:

        def send(name: str) -> None:
            write_file(staging / name, join(uri, name))
            count((staging / name).stat().st_size)

        in_parallel(send, keep, num_threads=_NUM_THREADS, stop=stop)
    for name in old:
        if name not in keep:
            remove_file(join(uri, name))
    write_file(staging / MANIFEST_NAME, join(uri, MANIFEST_NAME))
