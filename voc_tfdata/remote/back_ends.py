"""Who reads and writes an address: TensorFlow with tensorflow-io where that loads and works, else fsspec's packages.

back_end = find_back_end("s3://bucket/voc2012")        # says what to install where there is none
back_end.read("s3://bucket/voc2012/manifest.json")
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from voc_tfdata.remote.addresses import check_address, scheme_of

# What fsspec needs for a scheme, and the extra of this package that installs it.
_PACKAGES = {
    "s3": ("s3fs", "s3"),
    "gs": ("gcsfs", "gcs"),
    "az": ("adlfs", "azure"),
    "hdfs": ("pyarrow", ""),
    "http": ("aiohttp", ""),
    "https": ("aiohttp", ""),
}


class BackEnd(Protocol):
    """One attempt at a time.

    All raise FileNotFoundError, PermissionError, ConnectionError (worth another try), ValueError (damaged, or not what
    was asked for), or OSError (all else), with a message of one line that begins with the address.
    """

    def read(self, uri: str) -> bytes:
        """Returns the bytes of a file."""

    def read_records(self, uri: str, offset: int) -> Iterator[bytes]:
        """Yields the payloads of a TFRecord file, from the record at a byte offset on."""

    def write(self, local: Path, uri: str) -> None:
        """Uploads a file; readers see the old one or the new one (on object stores)."""

    def remove(self, uri: str) -> None:
        """Removes a file. One that is not there may be an error."""

    def make_folder(self, uri: str) -> None:
        """Makes a folder with its parents."""


def find_back_end(uri: str) -> BackEnd:
    """Returns what serves an address; touches no network.

    Raises:
      ValueError: see check_address.
      ImportError: nothing that could is installed; the message says what to install.
    """
    check_address(uri)
    if _tensorflow_can(scheme_of(uri)):
        from voc_tfdata.remote import tensorflow_files

        if tensorflow_files.load(scheme_of(uri)):
            return tensorflow_files
    if not importlib.util.find_spec(_PACKAGES[scheme_of(uri)][0]):
        raise ImportError(_what_to_install(uri))
    from voc_tfdata.remote import fsspec_files

    return fsspec_files


def _tensorflow_can(scheme: str) -> bool:
    """Returns whether TensorFlow is to serve the scheme: by a tensorflow-io that fits, gs:// by itself.

    gs:// where gcsfs is not installed: TensorFlow's own can be pointed at no emulator, and so was never tried. Never
    az://: tensorflow-io 0.37.1 uploads no empty file, calls a missing or refused file an internal error, and raises
    what is no tf.errors.OpError where no server answers.
    """
    if scheme == "az":
        return False
    if scheme == "gs":
        return importlib.util.find_spec("gcsfs") is None
    try:
        installed = importlib.metadata.version("tensorflow")
    except importlib.metadata.PackageNotFoundError:  # a build of it under another name
        installed = ""
    fits = not installed or tuple(map(int, installed.split(".")[:2])) in ((2, 16), (2, 17))
    return fits and importlib.util.find_spec("tensorflow_io") is not None


def _what_to_install(uri: str) -> str:
    def found(name: str) -> str:
        try:
            return f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            return f"no {name}"

    package, extra = _PACKAGES[scheme_of(uri)]
    command = f"pip install 'voc_tfdata[{extra}]'" if extra else f"pip install {package}"
    io_can = scheme_of(uri) not in ("az", "gs") and sys.version_info < (3, 13)
    old = " (or 'voc_tfdata[io]', tensorflow-io with TensorFlow 2.17)" if io_can else ""
    return (
        f"{uri}: {scheme_of(uri)} addresses need {package}; here is {found('tensorflow')}, {found('tensorflow-io')}, "
        f"{found(package)}. Install it by: {command}{old}, or copy the records to a local folder"
    )
