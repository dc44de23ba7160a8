"""Addresses (URIs) of records, and the file systems that TensorFlow needs for them: its own and tensorflow-io's.

    if is_uri(path):
        open_file_system(path)                    # once; says what to install where it cannot be done

tensorflow-io 0.37.1 is imported here and nowhere else. What it reads from the environment is set here, too.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import importlib.metadata
import importlib.util
import os
from pathlib import Path

SCHEMES = ("s3", "gs", "az", "hdfs", "http", "https")

# Defaults for what the S3 client of tensorflow-io reads from the environment, once a process. Its own are ten attempts
# a request, which take 25 s for a server that refuses, times four for a read; and five minutes of silence.
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


def scheme_of(uri: str) -> str:
    """Returns e.g. s3."""
    return uri.partition("://")[0]


def open_file_system(uri: str) -> None:
    """Makes TensorFlow able to read and write what the URI names; touches no network.

    A process that has used s3:// aborts when the interpreter has ended (status 134). This function sees to it that
    the process keeps the status it meant to exit with.

    Raises:
      ValueError: no such scheme, or an endpoint without its http:// or https://.
      ImportError: tensorflow-io is not there, or not for this TensorFlow; the message says what to install.
    """
    scheme = scheme_of(uri)
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise ValueError(f"{uri}: unknown kind of address; it is a local folder, or begins with one of {known}")
    if scheme == "s3":
        _configure_s3()
    if scheme == "gs":
        _check_registered(uri)
    else:
        _load_tensorflow_io(uri)


def _load_tensorflow_io(uri: str) -> None:
    try:
        installed = importlib.metadata.version("tensorflow")
    except importlib.metadata.PackageNotFoundError:  # a build of it under another name
        installed = ""
    fits = not installed or tuple(map(int, installed.split(".")[:2])) in ((2, 16), (2, 17))
    if not fits or not importlib.util.find_spec("tensorflow_io"):
        raise ImportError(_what_to_install(uri))
    _import_tensorflow_io()
    _check_registered(uri)


@functools.cache
def _import_tensorflow_io() -> None:
    import tensorflow_io  # noqa: F401  (registers its file systems)

    atexit.register(_keep_exit_status)


def _check_registered(uri: str) -> None:
    import tensorflow as tf

    if scheme_of(uri) not in tf.io.gfile.get_registered_schemes():
        raise ImportError(_what_to_install(uri))


def _what_to_install(uri: str) -> str:
    def found(name: str) -> str:
        try:
            return f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            return f"no {name}"

    return (
        f"{uri}: {scheme_of(uri)} addresses need tensorflow-io 0.37.1 with TensorFlow 2.16 or 2.17; here is "
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
            raise ValueError(
                f"{name}={endpoint} lacks its scheme; set {name}=http://{endpoint} (or https://{endpoint})"
            )
        os.environ["S3_ENDPOINT"] = endpoint.rstrip("/")
        break
    for name, value in _S3_DEFAULTS.items():
        os.environ.setdefault(name, value)
