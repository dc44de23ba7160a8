"""Random access into plain TFRecord files, in the graph, without Python: record i of a split -> its bytes.

    table = record_table(index)                      # from records.open_split
    payload = fetch_record(table, i)                 # string scalar; inside Dataset.map, too

TFRecordDataset can begin at a byte offset: a data set of one record that begins where record i does is a read of that
record, its two checksums verified, on any file system that TensorFlow knows and for any number of shards. It costs
the same as slicing a memory-mapped shard, which verifies nothing and ends the process where a file was cut off.
"""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from voc_tfdata import records

REMEDY = (
    "is damaged, cut off or gone: copy the files anew or build them again; "
    "all faults of the set are listed by: python tools/inspect_records.py --verify DIR"
)


class RecordTable(NamedTuple):
    """Where each record of a split lies, as tensors."""

    paths: tf.Tensor  # string [shards]
    places: tf.Tensor  # int64 [N, 3]: shard, offset of the frame in bytes, number of the record in its shard


def record_table(index: records.SplitIndex) -> RecordTable:
    """Returns the index of a split as tensors, for functions of Dataset.map to capture."""
    first = np.searchsorted(index.shard, index.shard)  # [N] index of the first record of the same shard
    number = np.arange(len(index.shard)) - first
    places = np.stack([index.shard, index.offsets - records.HEADER_BYTES, number], axis=1)
    with tf.device("CPU:0"):
        return RecordTable(tf.constant(index.paths), tf.constant(places, tf.int64))


def fetch_record(table: RecordTable, i: tf.Tensor) -> tf.Tensor:
    """Returns the payload of record i, eagerly or in a graph.

    Args:
      table: of the split.
      i: int64 scalar, 0..N-1.

    Returns:
      string scalar.

    Raises:
      tf.errors.InvalidArgumentError: the record is damaged, cut off or gone; the message names shard and record.
    """
    shard, offset, number = tf.unstack(tf.gather(table.places, i))
    path = tf.gather(table.paths, shard)
    variant = tf.raw_ops.TFRecordDatasetV2(
        filenames=path[None],
        compression_type="",
        buffer_size=tf.constant(0, tf.int64),  # 0: read what the record holds, no more
        byte_offsets=offset[None],
    )
    from_here = tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string))
    _, payload = empty_at_error(from_here, 1).get_single_element()
    return check_record(payload, path, number)


def empty_at_error(ds: tf.data.Dataset, count: int | tf.Tensor) -> tf.data.Dataset:
    """Returns (number, record) of the first `count` records of `ds`; "" is the first that cannot be read, and the last.

    An error of the reader itself would end the run with "corrupted record at 12", which names no file.
    """
    with tf.init_scope() if isinstance(count, int) else contextlib.nullcontext():  # made once, not for each record
        numbers = tf.data.Dataset.range(count)
        end = tf.data.Dataset.from_tensors((tf.constant(-1, tf.int64), tf.constant("")))
    # ignore_errors tries again and again where there is no file: the range beside it puts an end to that.
    return tf.data.Dataset.zip(numbers, ds).ignore_errors().concatenate(end).take(count)


def check_record(payload: tf.Tensor, path: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """Returns the payload, after an assertion that it is not ""; the message names shard and record."""
    # The raw op, with the parts of the message as they are: tf.debugging.Assert and tf.strings.format would do work
    # for every record that is sound.
    check = tf.raw_ops.Assert(
        condition=tf.strings.length(payload) > 0, data=[tf.constant("record"), number, "of", path, REMEDY]
    )
    with tf.control_dependencies([] if check is None else [check]):  # None: run eagerly, it is done
        return tf.identity(payload)
