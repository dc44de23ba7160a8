"""Shards read over a network: record by record, tried again where a connection breaks, checked to the end.

for frame in read_frames("s3://bucket/voc2012", shard): ...       # framed as in the file
ds = stream_records("s3://bucket/voc2012", shards)                # the payloads, as a tf.data.Dataset
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import google_crc32c
from absl import logging

from voc_tfdata.records.manifest import Shard
from voc_tfdata.remote.addresses import join
from voc_tfdata.remote.files import MAX_FAILURES, read_records
from voc_tfdata.remote.frames import FOOTER_BYTES, HEADER_BYTES, frame_record

if TYPE_CHECKING:
    import tensorflow as tf

REMEDY = "Build the records there again, or copy them anew"


def read_frames(
    uri: str, shard: Shard, *, retry_wait_s: float = 1.0, stop: threading.Event | None = None
) -> Iterator[bytes]:
    """Yields the framed records of a shard, going on at the same record where the connection broke.

    Args:
      uri: of the folder.
      shard: as the manifest has it.
      retry_wait_s: wait after the first failure; doubles with each further one in a row, up to the fourth.
      stop: when it is set, there are no more frames.

    Raises:
      ValueError: the shard is damaged, cut off, or of another data set.
      ConnectionError: four tries in a row brought nothing.
      FileNotFoundError, PermissionError, OSError: it cannot be read.
    """
    path, stop = join(uri, shard.file), stop or threading.Event()
    checksum = google_crc32c.Checksum()
    have = failures = 0
    while have < shard.num_bytes:
        before = have
        try:
            for payload in read_records(path, have):
                frame = frame_record(payload)
                checksum.update(frame)
                have += len(frame)
                yield frame
                if stop.is_set():
                    return
                if have >= shard.num_bytes:
                    break
            else:
                raise ValueError(f"{path} is cut off: it has {have:,} bytes, the manifest says {shard.num_bytes:,}")
        except FileNotFoundError as err:
            raise FileNotFoundError(f"{err}, though the manifest names it. {REMEDY}") from err
        except (ConnectionError, ValueError) as err:  # what looks like damage may be of the way
            failures = 1 if have > before else failures + 1
            if failures == MAX_FAILURES:
                remedy = "" if isinstance(err, ConnectionError) else f". {REMEDY}"
                raise type(err)(f"{err} (tried {failures} times){remedy}") from err
            wait_s = retry_wait_s * 2 ** (failures - 1)
            logging.warning("%s; trying again in %.0f s, from byte %d on", err, wait_s, have)
            if stop.wait(wait_s):
                return
    found = checksum.hexdigest().decode()
    if found != shard.crc32c:
        raise ValueError(
            f"{path} is damaged or of another data set (crc32c {found}, manifest {shard.crc32c}). {REMEDY}"
        )


def stream_records(uri: str, shards: Sequence[Shard], *, retry_wait_s: float = 1.0) -> tf.data.Dataset:
    """Returns the payloads of shards, in order, as a Dataset of string scalars.

    By Python rather than by TFRecordDataset, whose errors name no file, and which does not try again over http. While
    iterating, what read_frames raises comes as a tf.errors.OpError with its message.
    """
    import tensorflow as tf

    def payloads() -> Iterator[bytes]:
        for shard in shards:
            for frame in read_frames(uri, shard, retry_wait_s=retry_wait_s):
                yield frame[HEADER_BYTES:-FOOTER_BYTES]

    return tf.data.Dataset.from_generator(payloads, output_signature=tf.TensorSpec([], tf.string))
