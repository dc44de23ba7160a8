"""The decoded store: the images of a split as uint8 pixels in one flat file, memory-mapped by the pipelines.

    store = open_or_build(cache_dir, key, load)          # load() gives (images, labels) in record order
    ds = map_store(store, lambda pixels: ...)            # pixels: uint8 [rows, H, W, 3], nothing of it read yet

The file: pixels uint8 [N, H, W, 3], or [N, 2, H, W, 3] with the mirror image of each image behind it; labels int8
[N, C], -1 for a class with difficult objects only; and a trailer of 4 KiB, JSON padded with blanks, that says what all
that is. The pixels come first, so that their mapping begins at the file's first byte.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from absl import logging
from tqdm import tqdm

from voc_tfdata.files import check_free_disk, format_bytes, locked, writing_whole
from voc_tfdata.image_size import simplest
from voc_tfdata.pipeline import raw_ops

_FORMAT = 1
_TRAILER_BYTES = 4096


@dataclass(frozen=True)
class StoreKey:
    """All that the content of a store depends on."""

    manifest: str  # checksum of the data set's manifest
    split: str
    num_examples: int
    num_classes: int
    size: tuple[int, int]  # height and width of the stored images, pixels
    resize: str
    mirrored: bool  # whether each image is followed by its mirror image

    @property
    def num_pictures(self) -> int:
        """How many images the file holds."""
        return self.num_examples * (2 if self.mirrored else 1)

    @property
    def num_bytes(self) -> int:
        """Of the whole file."""
        return self.pixel_bytes + self.num_examples * self.num_classes + _TRAILER_BYTES

    @property
    def pixel_bytes(self) -> int:
        """Of the images, which come first."""
        return self.num_pictures * math.prod(self.size) * 3

    @property
    def file_name(self) -> str:
        """Tells stores of one folder apart."""
        digest = hashlib.sha256(_trailer(self)).hexdigest()[:12]
        size = "x".join(map(str, dict.fromkeys(self.size)))  # once for a square
        return f"voc-{self.split}-{size}-{self.resize}{'-mirrored' if self.mirrored else ''}-{digest}.decoded"


@dataclass(frozen=True)
class DecodedStore:
    """A complete store."""

    path: Path
    key: StoreKey
    labels: npt.NDArray[np.int8]  # [N, C]: 1, 0 or -1


def open_or_build(cache_dir: Path, key: StoreKey, load: Callable[[], tf.data.Dataset]) -> DecodedStore:
    """Returns the store of `key` in cache_dir, built if it is not there or is not what it should be.

    It is written under a temporary name and renamed, by one process at a time: the others wait and then use it.

    Args:
      cache_dir: folder; made if it is not there.
      key: what the store is to hold.
      load: returns all batches of (images uint8 [B, H, W, 3], labels [B, C] of 1, 0 and -1) in record order.

    Raises:
      OSError: cache_dir cannot be written, or the disk has no room.
    """
    path = cache_dir / key.file_name
    if (store := open_store(path, key)) is not None:
        return store
    with _one_builder(cache_dir):
        if (store := open_store(path, key)) is not None:  # another process has built it meanwhile
            return store
        if path.exists():
            logging.warning("%s is damaged, cut off or of another data set: it is built again", path)
            path.unlink()
        remedy = "make room, name a folder on another disk by cache_dir=, or leave it out by cache='none'"
        check_free_disk(cache_dir, key.num_bytes, what=f"the decoded store of {key.split}", remedy=remedy)
        _build(path, key, load())
    store = open_store(path, key)
    if store is None:
        raise OSError(f"{path} changed while it was built; try again, with a cache_dir of its own")
    return store


def open_store(path: Path, key: StoreKey) -> DecodedStore | None:
    """Returns the store at `path`, or None if there is none or it is not the whole and only the one of `key`."""
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size != key.num_bytes:
                return None
            file.seek(key.pixel_bytes)
            labels = np.frombuffer(file.read(key.num_examples * key.num_classes), np.int8)
            if file.read() != _trailer(key):
                return None
    except (FileNotFoundError, NotADirectoryError):
        return None
    return DecodedStore(path, key, labels.reshape(key.num_examples, key.num_classes))


def map_store(store: DecodedStore, make_dataset: Callable[[tf.Tensor], tf.data.Dataset]) -> tf.data.Dataset:
    """Returns make_dataset(pixels), where pixels are the mapped images, uint8 [num_pictures, H, W, 3].

    The file is mapped when an iteration begins, and once: mapping it for each batch takes 1.4 times as long, as every
    page that a batch touches is new to it. Python never holds the pixels.
    """
    shape = [store.key.num_pictures, *store.key.size, 3]

    @tf.autograph.experimental.do_not_convert
    def map_file(_: tf.Tensor) -> tf.data.Dataset:
        # Inside, not as an element of the outer data set: a saved iterator would hold that, all the pixels.
        pixels = raw_ops.map_file(store.path, shape)
        return make_dataset(pixels)

    return tf.data.Dataset.from_tensors(0).flat_map(map_file)


def _build(path: Path, key: StoreKey, ds: tf.data.Dataset) -> None:
    start, labels = time.monotonic(), []
    try:
        with (
            writing_whole(path) as temporary,
            open(temporary, "wb") as file,
            tqdm(total=key.num_examples, desc=f"decoding {key.split}", unit=" images", disable=None) as bar,
        ):
            for images, batch_labels in ds.as_numpy_iterator():
                if key.mirrored:
                    images = np.stack([images, images[:, :, ::-1]], axis=1)
                file.write(images.tobytes())
                labels.append(batch_labels.astype(np.int8))
                bar.update(len(images))
            file.write(np.concatenate(labels).tobytes())
            file.write(_trailer(key))
    except OSError as err:
        raise OSError(
            f"cannot write the decoded store {path} ({format_bytes(key.num_bytes)}): {err.strerror or err}"
        ) from err
    seconds = time.monotonic() - start
    rate = key.num_examples / seconds
    logging.info(
        "decoded store: %d images, %s, %.0f images/s: %s", key.num_examples, format_bytes(key.num_bytes), rate, path
    )


@contextlib.contextmanager
def _one_builder(cache_dir: Path) -> Iterator[None]:
    """Keeps other builders out of cache_dir, and removes what killed ones left there."""
    waits = f"another process writes a decoded store in {cache_dir}: waiting for it"
    with contextlib.ExitStack() as stack:
        try:
            cache_dir.mkdir(parents=True, exist_ok=True)
            held = stack.enter_context(locked(cache_dir, wait=waits))
        except OSError as err:
            raise OSError(
                f"cannot make the decoded store's folder {cache_dir} ({err.strerror}); name another by cache_dir="
            ) from err
        if held:  # without locks two builders do the work twice, no worse
            for leftover in cache_dir.glob(".voc-*.tmp.decoded"):
                leftover.unlink(missing_ok=True)
        yield


def _trailer(key: StoreKey) -> bytes:
    fields = asdict(key) | {"size": simplest(*key.size)}
    text = json.dumps({"voc_tfdata decoded store": _FORMAT, **fields}, ensure_ascii=True)
    return text.encode().ljust(_TRAILER_BYTES - 1) + b"\n"
