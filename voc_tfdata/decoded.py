"""The store of decoded pictures: one flat uint8 file, written at the first use, memory-mapped ever after.

    store = open_store(path, key={...}, num_examples=N, ..., make_batches=...)     # builds it if it is not there
    held = tf.data.Dataset.from_tensors(0).map(lambda _: map_pictures(store))      # mapped once, by whoever reads
    ds = held.flat_map(lambda pictures: rows.map(lambda r: tf.gather(pictures, r)))

The file: pixels [copies * N, S, S, 3] (with mirrored=True a second copy follows, each picture mirrored: a flip is then
the choice of a row, where reversing pixels would cost more than reading them), label codes uint8 [N, C], a JSON text
that says what it is, and the length of that text in 8 bytes. The pixels come first because a mapping begins at 0.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from absl import logging
from tqdm import tqdm

ABSENT, PRESENT, DIFFICULT_ONLY = 0, 1, 2  # label codes
_FORMAT = 1


@dataclass(frozen=True)
class Store:
    """A complete store on disk."""

    path: str
    num_examples: int
    size: int  # side of the pictures, pixels
    mirrored: bool
    labels: npt.NDArray[np.uint8]  # [N, C] label codes


def open_store(
    path: str | Path,
    *,
    key: Mapping[str, Any],
    num_examples: int,
    num_classes: int,
    size: int,
    mirrored: bool,
    make_batches: Callable[[], tf.data.Dataset],
) -> Store:
    """Returns the store at `path`, after building it if it is not there, cut off, or of something else.

    Two processes may ask at once: one builds, the other waits for it. A run that is killed leaves no file of this name.

    Args:
      path: of the file; its folder is made.
      key: JSON values that decide the content: a store of another key is built anew.
      num_examples: N.
      num_classes: C.
      size: S, the side of the pictures in pixels.
      mirrored: whether the mirrored copy is wanted.
      make_batches: gives all pictures in record order: (uint8 [B, S, S, 3], label codes uint8 [B, C]).

    Raises:
      OSError: the folder cannot be written, or its disk has too little room; the message states how much is needed.
    """
    path = Path(path)
    header = {"format": _FORMAT, "N": num_examples, "C": num_classes, "S": size, "mirrored": mirrored, **key}
    store = _read_store(path, header)
    if store is not None:
        return store
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            store = _read_store(path, header)  # another process may have built it meanwhile
            if store is None:
                _build(path, header, make_batches)
                store = _read_store(path, header)
    except OSError as err:
        raise OSError(err.errno, f"{err.strerror}; a store of decoded pictures cannot be made here", str(path)) from err
    if store is None:
        raise OSError(errno.EIO, "is not what was just written; is the disk sound?", str(path))
    return store


def map_pictures(store: Store) -> tf.Tensor:
    """Returns the pictures as one memory-mapped tensor, uint8 [N or 2 N, S, S, 3]; it costs page cache, not memory.

    The second half, of a mirrored store, holds the pictures of the first mirrored, in the same order.
    """
    rows = store.num_examples * (2 if store.mirrored else 1)
    shape = [rows, store.size, store.size, 3]
    return tf.raw_ops.ImmutableConst(dtype=tf.uint8, shape=shape, memory_region_name=store.path)


def crop_pictures(pictures: tf.Tensor, rows: tf.Tensor, tops: tf.Tensor, lefts: tf.Tensor, size: int) -> tf.Tensor:
    """Returns one window of each picture, uint8 [B, size, size, 3].

    Args:
      pictures: of map_pictures.
      rows: int64 [B], B known in advance.
      tops: int64 [B] upper edges of the windows, pixels.
      lefts: int64 [B] left edges.
      size: side of the windows, pixels.
    """
    corners = tf.stack([rows, tops, lefts, tf.zeros_like(rows)], axis=1)  # [B, 4]
    # A slice each, unrolled: one copy a picture. tf.map_fn and gathering runs of pixels took longer.
    windows = [tf.slice(pictures, corner, [1, size, size, 3]) for corner in tf.unstack(corners)]
    return tf.concat(windows, axis=0)


def _read_store(path: Path, header: Mapping[str, Any]) -> Store | None:
    """Returns the store, None where there is none or the file is something else."""
    rows, size = header["N"] * (2 if header["mirrored"] else 1), header["S"]
    pixels, labels = rows * size * size * 3, header["N"] * header["C"]
    text = _header_bytes(header)
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == pixels + labels + len(text):
                file.seek(pixels)
                codes = np.frombuffer(file.read(labels), np.uint8).reshape(header["N"], header["C"])
                if file.read() == text:
                    return Store(str(path.absolute()), header["N"], size, header["mirrored"], codes)
    except (FileNotFoundError, NotADirectoryError):
        return None
    logging.info("%s is cut off or of other records; it is built anew", path)
    return None


def _build(path: Path, header: Mapping[str, Any], make_batches: Callable[[], tf.data.Dataset]) -> None:
    num_examples, picture_bytes = header["N"], header["S"] * header["S"] * 3
    copies = 2 if header["mirrored"] else 1
    text = _header_bytes(header)
    total = num_examples * (copies * picture_bytes + header["C"]) + len(text)
    free = shutil.disk_usage(path.parent).free
    if total > free:
        reason = f"{_size(total)} are needed for {num_examples:,} pictures, {_size(free)} are free"
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({reason})", str(path))
    logging.info("writing %s: %d pictures, %s", path, num_examples, _size(total))
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    progress = tqdm(total=num_examples, unit=" pictures", disable=not sys.stderr.isatty(), dynamic_ncols=True)
    try:
        with open(temporary, "wb") as file, progress:
            os.posix_fallocate(file.fileno(), 0, total)  # a disk that fills up meanwhile is told now
            done = 0
            for images, codes in make_batches():
                pictures = images.numpy()
                places = [(done * picture_bytes, pictures)]
                if copies == 2:
                    places.append(((num_examples + done) * picture_bytes, pictures[:, :, ::-1]))
                places.append((copies * num_examples * picture_bytes + done * header["C"], codes.numpy()))
                for place, values in places:
                    file.seek(place)
                    file.write(np.ascontiguousarray(values).tobytes())
                done += len(pictures)
                progress.update(len(pictures))
            file.seek(total - len(text))
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def _header_bytes(header: Mapping[str, Any]) -> bytes:
    text = json.dumps(header, sort_keys=True).encode()
    return text + struct.pack("<Q", len(text))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lets one process at a time build; the kernel drops the lock with the process."""
    lock_path = path.with_name(path.name + ".lock")
    with open(lock_path, "w") as lock:
        with contextlib.suppress(OSError):  # a file system without locks: both build, the last rename stays
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                logging.info("another process is writing %s; waiting for it", path)
                fcntl.flock(lock, fcntl.LOCK_EX)
        for left in path.parent.glob(f"{path.name}.*.part"):
            left.unlink(missing_ok=True)  # of a run that was killed: who holds the lock writes alone
        yield


def _size(num_bytes: int) -> str:
    return f"{num_bytes / (1 << 30):.2f} GiB" if num_bytes >= 1 << 30 else f"{num_bytes / (1 << 20):.1f} MiB"
