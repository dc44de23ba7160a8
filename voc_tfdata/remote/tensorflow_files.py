"""Remote files by TensorFlow's own file systems and tensorflow-io's: a back end, see back_ends.BackEnd.

tensorflow-io 0.37.1 is imported here and nowhere else. Facts of it, as measured, that shape this module:
- stat() of an S3 file answers "not found" for refused access, too: so files are read, never asked after;
- renaming copies, and takes every name that begins alike with it: so nothing is renamed. One upload is all or nothing;
- what it reads is garbled where a connection broke and it has tried again, without an error: so nothing is believed
  without its checksum, and what fails it is read again;
- a GFile asks for 512 KiB at a time, by two requests: so shards are read by the TFRecord reader, with a large buffer
  (of 127 MiB on S3: TensorFlow insists);
- http(s) only reads, needs a server that answers Range requests, does not try again, and its stat() loads the file;
- a process that has used s3:// aborts when the interpreter has ended (status 134), so it is ended before.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from voc_tfdata.remote.addresses import bucket_of, credentials_hint, endpoint_of, scheme_of

_READ_BYTES = 8 << 20  # 8 MiB a request


def load(scheme: str) -> bool:
    """Makes TensorFlow able to use a scheme, if it is; returns whether it is."""
    if scheme != "gs":
        _import_tensorflow_io()
    import tensorflow as tf

    return scheme in tf.io.gfile.get_registered_schemes()


def read(uri: str) -> bytes:
    parts = []
    with _explained(uri) as tf, tf.io.gfile.GFile(uri, "rb") as file:
        while part := file.read(_READ_BYTES):
            parts.append(part)
    return b"".join(parts)


def read_records(uri: str, offset: int) -> Iterator[bytes]:
    with _explained(uri) as tf:

        def records_from(start: Any) -> Any:
            options = {"compression_type": "", "buffer_size": _READ_BYTES, "metadata": ""}
            records = tf.raw_ops.TFRecordDatasetV2(filenames=[uri], byte_offsets=start[None], **options)
            return tf.data.experimental.from_variant(records, tf.TensorSpec([], tf.string))

        ds = tf.data.Dataset.from_tensors(tf.constant(offset, tf.int64))
        ds = ds.flat_map(records_from)  # TensorFlow cannot start an iterator over the bare operation with offsets
        yield from ds.as_numpy_iterator()


def write(local: Path, uri: str) -> None:
    with _explained(uri) as tf:
        tf.io.gfile.copy(str(local), uri, overwrite=True)


def remove(uri: str) -> None:
    with _explained(uri) as tf:
        tf.io.gfile.remove(uri)


def make_folder(uri: str) -> None:
    with _explained(uri) as tf:
        tf.io.gfile.makedirs(uri)


@functools.cache
def _import_tensorflow_io() -> None:
    import tensorflow_io  # noqa: F401  (registers its file systems)

    atexit.register(_keep_exit_status)


def _keep_exit_status() -> None:
    """Lets the C library end the process by _exit(status) before it runs the S3 client's destructors, which abort.

    Runs when the interpreter ends, so that it is the last to be registered with the C library, and the first called;
    on_exit (glibc) hands it the status.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "on_exit"):
        libc.fflush(None)
        libc.on_exit(libc._exit, None)


@contextlib.contextmanager
def _explained(uri: str) -> Iterator[Any]:
    """Yields TensorFlow; turns what it raises into a built-in exception of one line."""
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
            return OSError(f"{uri}: there is no bucket {bucket_of(uri)!r}{endpoint_of(uri)}; make it, or fix the name")
        return FileNotFoundError(f"{uri} is not there")
    if isinstance(err, (errors.PermissionDeniedError, errors.UnauthenticatedError)):
        return PermissionError(f"{uri}: access refused; {credentials_hint(uri)}")
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
        return ConnectionError(f"{uri}: {what}{endpoint_of(uri)}")
    return OSError(f"{uri}: {what}")


def _is_bucket_missing(uri: str) -> bool:
    import tensorflow as tf

    try:
        tf.io.gfile.stat(f"s3://{bucket_of(uri)}/")
    except tf.errors.NotFoundError:
        return True
    except tf.errors.OpError:
        return False  # not known
    return False
