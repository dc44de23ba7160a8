"""Files behind a URI (s3, gs, az, hdfs, http, https), through the file systems of TensorFlow and tensorflow-io.

    open_file_system("s3://bucket/voc2012")                       # once; says what to install where it cannot be done
    text = read_file("s3://bucket/voc2012/manifest.json")
    for payload in read_records("s3://bucket/voc2012/voc-train-00000-of-00008.tfrecord", offset=0): ...

What TensorFlow raises becomes built-in exceptions of one line: FileNotFoundError, PermissionError, ConnectionError
(worth another try), ValueError (damaged, or not what was asked for), OSError (all else).

Facts of tensorflow-io 0.37.1 that shape this module:
- its S3 client reads its settings from the environment, once a process, at the first use of s3://;
- stat() of an S3 file answers "not found" for refused access, too: so files are read, never asked after;
- renaming copies, and takes every name that begins alike with it: so nothing is renamed. One upload is all or nothing;
- a GFile asks for 512 KiB at a time, by two requests: so shards are read by the TFRecord reader, with a large buffer;
- http(s) only reads, needs a server that answers Range requests, does not try again, and stat() loads the whole file.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import importlib.metadata
import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from absl import logging

SCHEMES = ("s3", "gs", "az", "hdfs", "http", "https")
MAX_FAILURES = 4  # tries in a row that bring nothing new
_READ_ONLY = ("http", "https")
_FOLDERS_ARE_MADE = ("hdfs",)  # elsewhere a folder is a part of the names of its files
_READ_BYTES = 8 << 20  # 8 MiB a request
T = TypeVar("T")

# Defaults for what the S3 client of tensorflow-io reads from the environment. Its own are ten attempts a request,
# which take 25 s for a server that refuses, times four for a read; and five minutes of silence.
_S3_DEFAULTS = {
    "AWS_RETRY_MODE": "standard",  # three attempts
    "S3_CONNECT_TIMEOUT_MSEC": "10000",
    "S3_REQUEST_TIMEOUT_MSEC": "60000",  # of silence
}


def is_uri(path: str | Path) -> bool:
    """Returns whether a path is the address of something remote (s3://...)."""
    return "://" in str(path)


def join(uri: str, name: str) -> str:
    """Returns the URI of a file in a folder."""
    return f"{uri.rstrip('/')}/{name}"


def open_file_system(uri: str) -> None:
    """Makes TensorFlow able to read and write what the URI names; touches no network.

    A process that has used s3:// aborts when the interpreter has ended (status 134). This function sees to it that
    the process keeps the status it meant to exit with.

    Raises:
      ValueError: no such scheme, or an endpoint without its http:// or https://.
      ImportError: tensorflow-io is not there, or not for this TensorFlow; the message says what to install.
    """
    scheme = _scheme(uri)
    if scheme not in SCHEMES:
        raise ValueError(f"{uri}: unknown kind of address; it is a local folder, or begins with one of {_schemes()}")
    if scheme == "s3":
        _configure_s3()
    if scheme == "gs":
        _check_registered(uri)
    else:
        _load_tensorflow_io(uri)


def check_writable(uri: str) -> None:
    """Writes a file of one byte into a folder and removes it.

    Raises:
      ValueError: this kind of address can only be read, or there is no such bucket.
      PermissionError, ConnectionError, OSError: it cannot be written.
    """
    if _scheme(uri) in _READ_ONLY:
        raise ValueError(f"{uri}: {_scheme(uri)} addresses can only be read; write to a folder, or to s3://, gs://, ...")
    import tensorflow as tf

    open_file_system(uri)
    probe = join(uri, ".voc_tfdata_can_write")

    def write_and_remove() -> None:
        with _explained(uri):
            if _scheme(uri) in _FOLDERS_ARE_MADE:
                tf.io.gfile.makedirs(uri)
            with tf.io.gfile.GFile(probe, "wb") as file:
                file.write(b"x")
            tf.io.gfile.remove(probe)

    try_again(write_and_remove)


def read_file(uri: str) -> bytes:
    """Returns the bytes of a file.

    Raises:
      FileNotFoundError: it is not there.
      ValueError: nor is its bucket.
      PermissionError, ConnectionError, OSError: it cannot be read.
    """
    import tensorflow as tf

    open_file_system(uri)

    def read() -> bytes:
        parts = []
        with _explained(uri), tf.io.gfile.GFile(uri, "rb") as file:
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
    import tensorflow as tf

    def records_from(start: tf.Tensor) -> tf.data.Dataset:
        records = tf.raw_ops.TFRecordDatasetV2(
            filenames=[uri], compression_type="", buffer_size=_READ_BYTES, byte_offsets=start[None], metadata=""
        )
        return tf.data.experimental.from_variant(records, tf.TensorSpec([], tf.string))

    with _explained(uri):
        # By flat_map: TensorFlow cannot start an iterator over the bare operation with offsets.
        yield from tf.data.Dataset.from_tensors(tf.constant(offset, tf.int64)).flat_map(records_from).as_numpy_iterator()


def write_file(local: Path, uri: str) -> None:
    """Uploads a file. Readers see the old one or the whole new one, never a part of it (on object stores).

    Raises:
      PermissionError, ConnectionError, OSError: it cannot be written.
    """
    import tensorflow as tf

    def write() -> None:
        with _explained(uri):
            tf.io.gfile.copy(str(local), uri, overwrite=True)

    try_again(write)


def remove_file(uri: str) -> None:
    """Removes a file, if it is there."""
    import tensorflow as tf

    def remove() -> None:
        with contextlib.suppress(FileNotFoundError), _explained(uri):
            tf.io.gfile.remove(uri)

    try_again(remove)


def list_folder(uri: str) -> list[str]:
    """Returns the names in a folder; none if it is not there."""
    import tensorflow as tf

    def names() -> list[str]:
        with contextlib.suppress(FileNotFoundError), _explained(uri):
            return sorted(tf.io.gfile.listdir(uri))
        return []

    return try_again(names)


def try_again(action: Callable[[], T], *, wait_s: float = 1.0) -> T:
    """Returns what action returns, after up to 4 tries if it raises ConnectionError; the waits double."""
    for failures in range(1, MAX_FAILURES):
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


@functools.cache
def _load_tensorflow_io(uri: str) -> None:
    try:
        installed = importlib.metadata.version("tensorflow")
    except importlib.metadata.PackageNotFoundError:  # a build of it under another name
        installed = ""
    fits = not installed or tuple(map(int, installed.split(".")[:2])) in ((2, 16), (2, 17))
    if not fits or not importlib.util.find_spec("tensorflow_io"):
        raise ImportError(_what_to_install(uri))
    import tensorflow_io  # noqa: F401  (registers its file systems)

    atexit.register(_keep_exit_status)
    _check_registered(uri)


def _check_registered(uri: str) -> None:
    import tensorflow as tf

    if _scheme(uri) not in tf.io.gfile.get_registered_schemes():
        raise ImportError(_what_to_install(uri))


def _what_to_install(uri: str) -> str:
    def found(name: str) -> str:
        try:
            return f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            return f"no {name}"

    return (
        f"{uri}: {_scheme(uri)} addresses need tensorflow-io 0.37.1 with TensorFlow 2.16 or 2.17; here is "
        f"{found('tensorflow')}, {found('tensorflow-io')}. Install them by: pip install 'voc_tfdata[io]' "
        "(Python 3.10 to 3.12), or copy the records to a local folder"
    )


def _keep_exit_status() -> None:
    """Lets the C library end the process by _exit(status) before it runs the S3 client's destructors, which abort.

    Runs when the interpreter ends, so that it is the last to be registered with the C library, and the first called;
    on_exit (glibc) hands it the status.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "on_exit"):
        libc.fflush(None)
        libc.on_exit(libc._exit, None)


def _configure_s3() -> None:
    """Sets what the S3 client reads from the environment, where the user has not."""
    for name in ("S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):  # the others are what boto3 and aws read
        endpoint = os.environ.get(name)
        if not endpoint:
            continue
        if not endpoint.startswith(("http://", "https://")):
            raise ValueError(f"{name}={endpoint} lacks its scheme; set {name}=http://{endpoint} (or https://{endpoint})")
        os.environ["S3_ENDPOINT"] = endpoint.rstrip("/")
        break
    for name, value in _S3_DEFAULTS.items():
        os.environ.setdefault(name, value)


@contextlib.contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Turns what TensorFlow raises into a built-in exception of one line."""
    from tensorflow import errors

    try:
        yield
    except errors.OpError as err:
        raise _explain(err, uri) from err


def _explain(err: Exception, uri: str) -> Exception:
    from tensorflow import errors

    lines = str(getattr(err, "message", err)).strip().lstrip(": ").splitlines()
    what = lines[0] if lines else type(err).__name__
    if isinstance(err, errors.NotFoundError):
        if _scheme(uri) == "s3" and _is_bucket_missing(uri):
            return ValueError(f"{uri}: there is no bucket {_bucket(uri)!r} at {_endpoint()}; make it, or mend the name")
        return FileNotFoundError(f"{uri} is not there")
    if isinstance(err, (errors.PermissionDeniedError, errors.UnauthenticatedError)):
        return PermissionError(f"{uri}: access refused; {_credentials_hint(uri)}")
    if isinstance(err, (errors.DataLossError, errors.OutOfRangeError)):
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
        at = f" at {_endpoint()}" if _scheme(uri) == "s3" else ""
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
    }.get(_scheme(uri), "ask who runs the server")


def _endpoint() -> str:
    return os.environ.get("S3_ENDPOINT", "AWS")


def _scheme(uri: str) -> str:
    return uri.partition("://")[0]


def _bucket(uri: str) -> str:
    return uri.partition("://")[2].partition("/")[0]


def _schemes() -> str:
    return ", ".join(f"{scheme}://" for scheme in SCHEMES)
