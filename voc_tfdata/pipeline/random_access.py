"""Plain TFRecord files read in the graph, without Python: record i of a split -> its bytes, or all of them in order.

    table = record_table(index)                      # from records.open_split
    [payload] = fetch_records(table, i[None])        # string scalars; inside Dataset.map, too
    ds = read_in_order(records_dir, shards)          # streamed

TFRecordDataset can begin at a byte offset: a data set of one record that begins where record i does is a read of that
record, its two checksums verified, on any file system that TensorFlow knows and for any number of shards. It costs
the same as slicing a memory-mapped shard, which verifies nothing and ends the process where a file was cut off.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from voc_tfdata.pipeline import raw_ops
from voc_tfdata.records import tfrecord
from voc_tfdata.records.manifest import Shard
from voc_tfdata.remote.frames import HEADER_BYTES

REMEDY = (
    "is damaged, cut off or gone: copy the files anew or build them again; "
    "all faults of the set are listed by: voc_tfdata inspect --verify DIR"
)


class RecordTable(NamedTuple):
    """Where each record of a split lies, as tensors."""

    paths: tf.Tensor  # string [shards]
    places: tf.Tensor  # int64 [N, 3]: shard, offset of the frame in bytes, number of the record in its shard


def record_table(index: tfrecord.SplitIndex) -> RecordTable:
    """Returns the index of a split as tensors, for functions of Dataset.map to capture."""
    first = np.searchsorted(index.shard, index.shard)  # [N] index of the first record of the same shard
    number = np.arange(len(index.shard)) - first
    places = np.stack([index.shard, index.offsets - HEADER_BYTES, number], axis=1)
    with tf.device("CPU:0"):
        return RecordTable(tf.constant(index.paths), tf.constant(places, tf.int64))


def fetch_records(table: RecordTable, indices: tf.Tensor) -> list[tf.Tensor]:
    """Returns the payloads of some records, eagerly or in a graph.

    Args:
      table: of the split.
      indices: int64 [G], each 0..N-1; G is known.

    Returns:
      G string scalars.

    Raises:
      tf.errors.InvalidArgumentError: a record is damaged, cut off or gone; the message names shard and record.
    """
    shards, offsets, numbers = tf.unstack(tf.gather(table.places, indices), axis=1)
    paths = tf.gather(table.paths, shards)
    payloads, size = [], indices.shape[0]
    for path, offset in zip(tf.split(paths, size), tf.split(offsets, size), strict=True):  # [1] each
        payloads.append(empty_at_error(raw_ops.read_record_at(path, offset), 1).get_single_element()[1])
    return check_records(payloads, paths, numbers)


def read_in_order(records_dir: Path, shards: Sequence[Shard]) -> tf.data.Dataset:
    """Returns the payload (string scalar) of every record of some shards, streamed."""
    paths = tf.constant([str(records_dir / shard.file) for shard in shards])
    counts = tf.constant([shard.num_examples for shard in shards], tf.int64)

    # There is nothing to convert here or in the functions below. Autograph would read their source when they are first
    # used, hours into a run it may be, and fail if the file has been changed meanwhile.
    @tf.autograph.experimental.do_not_convert
    def read_shard(path: tf.Tensor, count: tf.Tensor) -> tf.data.Dataset:
        @tf.autograph.experimental.do_not_convert
        def check(number: tf.Tensor, record: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            return check_records([record[1]], path[None], number[None])[0]

        return empty_at_error(tf.data.TFRecordDataset(path), count).enumerate().map(check)

    return tf.data.Dataset.from_tensor_slices((paths, counts)).flat_map(read_shard)


def empty_at_error(ds: tf.data.Dataset, count: int | tf.Tensor) -> tf.data.Dataset:
    """Returns (number, record) of the first `count` records of `ds`; "" is the first that cannot be read, and the last.

    An error of the reader itself would end the run with "corrupted record at 12", which names no file.
    """
    with tf.init_scope() if isinstance(count, int) else contextlib.nullcontext():  # made once, not for each record
        numbers = tf.data.Dataset.range(count)
        end = tf.data.Dataset.from_tensors((tf.constant(-1, tf.int64), tf.constant("")))
    # ignore_errors tries again and again where there is no file: the range beside it puts an end to that.
    return tf.data.Dataset.zip(numbers, ds).ignore_errors().concatenate(end).take(count)


def check_records(payloads: Sequence[tf.Tensor], paths: tf.Tensor, numbers: tf.Tensor) -> list[tf.Tensor]:
    """Returns the payloads (string scalars), after an assertion that none is "".

    The message names the path (string [G]) and the number (int64 [G]) of the first that is.
    """
    lengths = tf.stack([tf.strings.length(payload) for payload in payloads])
    bad = tf.argmin(lengths)
    message = ["record", tf.gather(numbers, bad), "of", tf.gather(paths, bad), REMEDY]
    with tf.control_dependencies(raw_ops.check(lengths[bad] > 0, message)):
        return [tf.identity(payload) for payload in payloads]
