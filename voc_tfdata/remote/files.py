"""Reading and writing remote files by TensorFlow, with errors of one line and further tries.

    text = read_file("s3://bucket/voc2012/manifest.json")
    for payload in read_records("s3://bucket/voc2012/voc-train-00000-of-00008.tfrecord", offset=0): ...
    write_file(Path("manifest.json"), "s3://bucket/voc2012/manifest.json")

What TensorFlow raises becomes built-in exceptions: FileNotFoundError, PermissionError, ConnectionError (worth another
try), ValueError (damaged, or not what was asked for), OSError (all else).

Facts of tensorflow-io 0.37.1, as measured, that shape this module:
- stat() of an S3 file answers "not found" for refused access, too: so files are read, never asked after;
- renaming copies, and takes every name that begins alike with it: so nothing is renamed. One upload is all or nothing;
- what it reads is garbled where a connection broke and it has tried again, without an error: so nothing is believed
  without its checksum, and what fails it is read again;
- a GFile asks for 512 KiB at a time, by two requests: so shards are read by the TFRecord reader, with a large buffer
  (of 127 MiB on S3: TensorFlow insists);
- http(s) only reads, needs a server that answers Range requests, does not try again, and its stat() loads the file.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, TypeVar

from absl import logging

from voc_tfdata.files import show_progress
from voc_tfdata.remote.addresses import join, open_file_system, scheme_of

MAX_FAILURES = 4  # tries in a row that bring nothing new
_READ_ONLY = ("http", "https")
_FOLDERS_ARE_MADE = ("hdfs",)  # elsewhere a folder is a part of the names of its files
_READ_BYTES = 8 << 20  # 8 MiB a request
T = TypeVar("T")


def check_writable(uri: str) -> None:
    """Writes a file of one byte into a folder and removes it.

    Raises:
      ValueError: this kind of address can only be read; or see open_file_system, as for ImportError.
      PermissionError, ConnectionError, OSError: it cannot be written (no such bucket, for one).
    """
    if scheme_of(uri) in _READ_ONLY:
        raise ValueError(f"{uri}: {scheme_of(uri)} addresses can only be read; write to a local folder, s3:// or gs://")
    probe = join(uri, ".voc_tfdata_can_write")

    def write_and_remove() -> None:
        with _using(uri) as tf:
            if scheme_of(uri) in _FOLDERS_ARE_MADE:
                tf.io.gfile.makedirs(uri)
            with tf.io.gfile.GFile(probe, "wb") as file:
                file.write(b"x")
            tf.io.gfile.remove(probe)

    try_again(write_and_remove)


def read_file(uri: str) -> bytes:
    """Returns the bytes of a file.

    Raises:
      FileNotFoundError: it is not there.
      PermissionError, ConnectionError, OSError: it cannot be read (no such bucket, for one).
      ValueError, ImportError: see open_file_system.
    """

    def read() -> bytes:
        parts = []
        with _using(uri) as tf, tf.io.gfile.GFile(uri, "rb") as file:
            while part := file.read(_READ_BYTES):
                parts.append(part)
        return b"".join(parts)

    return try_again(read)


def read_records(uri: str, offset: int) -> Iterator[bytes]:
    """Yields the payloads of a TFRecord file, in order, from the record at a byte offset on. Tries nothing twice.

    Raises:
      ValueError: a record is damaged or cut off.
      FileNotFoundError, PermissionError, ConnectionError, OSError: it cannot be read.
    """
    with _using(uri) as tf:

        def records_from(start: Any) -> Any:
            options = {"compression_type": "", "buffer_size": _READ_BYTES, "metadata": ""}
            records = tf.raw_ops.TFRecordDatasetV2(filenames=[uri], byte_offsets=start[None], **options)
            return tf.data.experimental.from_variant(records, tf.TensorSpec([], tf.string))

        ds = tf.data.Dataset.from_tensors(tf.constant(offset, tf.int64))
        ds = ds.flat_map(records_from)  # TensorFlow cannot start an iterator over the bare operation with offsets
        yield from ds.as_numpy_iterator()


def write_file(local: Path, uri: str) -> None:
    """Uploads a file. Readers see the old one or the whole new one, never a part of it (on object stores).

    Raises:
      PermissionError, ConnectionError, OSError: it cannot be written.
    """

    def write() -> None:
        with _using(uri) as tf:
            tf.io.gfile.copy(str(local), uri, overwrite=True)

    try_again(write)


def remove_file(uri: str) -> None:
    """Removes a file, if it is there."""

    def remove() -> None:
        with contextlib.suppress(FileNotFoundError), _using(uri) as tf:
            tf.io.gfile.remove(uri)

    try_again(remove)


def list_folder(uri: str) -> list[str]:
    """Returns the names in a folder; none if it is not there."""

    def names() -> list[str]:
        with contextlib.suppress(FileNotFoundError), _using(uri) as tf:
            return sorted(tf.io.gfile.listdir(uri))
        return []

    return try_again(names)


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


@contextlib.contextmanager
def _using(uri: str) -> Iterator[Any]:
    """Yields TensorFlow, able to use the URI; turns what it raises into a built-in exception of one line."""
    open_file_system(uri)  # before the import, which takes seconds
    import tensorflow as tf

    try:
        yield tf
    except tf.errors.OpError as err:
        raise _explain(err, uri) from err


def _explain(err: Exception, uri: str) -> Exception:
    from tensorflow import errors

    what = re.sub(r"\{\{.*?\}\}|\[Op:.*|\s+", " ", str(getattr(err, "message", err))).strip(" :") or type(err).__name__
    if isinstance(err, errors.NotFoundError):
        if scheme_of(uri) == "s3" and _is_bucket_missing(uri):
            return OSError(f"{uri}: there is no bucket {_bucket(uri)!r} at {_endpoint()}; make it, or fix the name")
        return FileNotFoundError(f"{uri} is not there")
    if isinstance(err, (errors.PermissionDeniedError, errors.UnauthenticatedError)):
        return PermissionError(f"{uri}: access refused; {_credentials_hint(uri)}")
    if isinstance(err, (errors.DataLossError, errors.OutOfRangeError)):
        what = what.partition("' failed")[0]  # truncated record at 1234' failed with ...
        return ValueError(f"{uri} is damaged or cut off ({what})")
    if "perform (23)" in what:  # curl: it sent more than was asked for
        return OSError(f"{uri}: the server ignores Range requests; use one that answers them (nginx, Apache, ...)")
    if isinstance(
        err,
        (
            errors.UnavailableError,
            errors.UnknownError,
            errors.InternalError,
            errors.DeadlineExceededError,
            errors.ResourceExhaustedError,
            errors.AbortedError,
        ),
    ):
        at = f" at {_endpoint()}" if scheme_of(uri) == "s3" else ""
        return ConnectionError(f"{uri}: {what}{at}")
    return OSError(f"{uri}: {what}")


def _is_bucket_missing(uri: str) -> bool:
    import tensorflow as tf

    try:
        tf.io.gfile.stat(f"s3://{_bucket(uri)}/")
    except tf.errors.NotFoundError:
        return True
    except tf.errors.OpError:
        return False  # not known
    return False


def _credentials_hint(uri: str) -> str:
    return {
        "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, to those of somebody who may",
        "gs": "log in by: gcloud auth application-default login",
        "az": "set TF_AZURE_STORAGE_KEY or TF_AZURE_STORAGE_SAS",
    }.get(scheme_of(uri), "ask who runs the server")


def _endpoint() -> str:
    return os.environ.get("S3_ENDPOINT", "AWS")


def _bucket(uri: str) -> str:
    return uri.partition("://")[2].partition("/")[0]
