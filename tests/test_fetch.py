"""Random access into TFRecord files: which bytes come back, and which message where there are none."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from voc_tfdata.fetch import RecordTable, check_record, empty_at_error, fetch_record, record_table
from voc_tfdata.inline_map import map_inline
from voc_tfdata.records import FOOTER_BYTES, HEADER_BYTES, SplitIndex, frame_record

PAYLOADS = [bytes([k]) * size for k, size in enumerate([1, 5, 127, 128, 70_000, 3, 16_384])]  # of two shards: 4 and 3
PER_SHARD = 4


@pytest.fixture
def table(tmp_path: Path) -> RecordTable:
    return record_table(write_shards(tmp_path, PER_SHARD))


def write_shards(folder: Path, per_shard: int) -> SplitIndex:
    paths, shard, offsets = [], [], []
    for start in range(0, len(PAYLOADS), per_shard):
        frames = [frame_record(p) for p in PAYLOADS[start : start + per_shard]]
        paths.append(str(folder / f"shard [{start}].tfrecord"))  # a name that a file pattern would not find
        Path(paths[-1]).write_bytes(b"".join(frames))
        ends = np.cumsum([len(f) for f in frames])
        offsets += [HEADER_BYTES, *(ends[:-1] + HEADER_BYTES)]
        shard += [len(paths) - 1] * len(frames)
    return SplitIndex(
        paths=tuple(paths),
        shard=np.array(shard),
        offsets=np.array(offsets),
        sizes=np.array([len(p) for p in PAYLOADS]),
        num_bytes=tuple(os.path.getsize(p) for p in paths),
    )


def test_each_record_comes_back_eagerly_and_in_a_map(table: RecordTable) -> None:
    assert [fetch_record(table, tf.constant(i, tf.int64)).numpy() for i in range(7)] == PAYLOADS
    backwards = tf.data.Dataset.range(6, -1, -1)
    assert list(backwards.map(lambda i: fetch_record(table, i)).as_numpy_iterator()) == PAYLOADS[::-1]
    inline = map_inline(backwards, lambda i: fetch_record(table, i), num_calls=3)
    assert list(inline.as_numpy_iterator()) == PAYLOADS[::-1]


def test_a_table_of_many_shards_takes_no_switch(tmp_path: Path) -> None:
    table = record_table(write_shards(tmp_path, 1))
    assert table.places.numpy()[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]
    function = tf.function(lambda i: fetch_record(table, i)).get_concrete_function(tf.TensorSpec([], tf.int64))
    few = record_table(write_shards(tmp_path, 7))
    again = tf.function(lambda i: fetch_record(few, i)).get_concrete_function(tf.TensorSpec([], tf.int64))
    assert len(function.graph.get_operations()) == len(again.graph.get_operations())


@pytest.mark.parametrize("damage", ["payload", "length", "cut", "gone"])
def test_a_record_that_cannot_be_read_is_named(table: RecordTable, damage: str) -> None:
    # Record 5 is the second of the second shard: 16 + 70,000 bytes come before it.
    path = Path(table.paths.numpy()[1].decode())
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        os.truncate(path, 70_016 + 14)
    else:
        data = bytearray(path.read_bytes())
        data[70_016 + (12 if damage == "payload" else 0)] ^= 1
        path.write_bytes(data)
    bad = tf.constant(5, tf.int64)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"record\] \[1\] \[of\] \[.*shard \[4\].*--verify"):
        fetch_record(table, bad)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"record\] \[1\] \[of\] \[.*shard \[4\].*--verify"):
        next(iter(tf.data.Dataset.from_tensors(bad).map(lambda i: fetch_record(table, i))))
    if damage != "gone":
        assert fetch_record(table, tf.constant(4, tf.int64)).numpy() == PAYLOADS[4]  # the one before it is sound
    assert fetch_record(table, tf.constant(0, tf.int64)).numpy() == PAYLOADS[0]


def test_streams_stop_at_the_first_error(tmp_path: Path) -> None:
    good = tf.data.Dataset.from_tensor_slices([b"a", b"b", b"c"])
    assert [r.numpy() for _, r in empty_at_error(good, 3)] == [b"a", b"b", b"c"]
    assert [r.numpy() for _, r in empty_at_error(good, 4)] == [b"a", b"b", b"c", b""]  # cut off: one is missing
    no_file = tf.data.TFRecordDataset(str(tmp_path / "gone"))
    assert [r.numpy() for _, r in empty_at_error(no_file, 2)] == [b""]


def test_the_overhead_of_a_frame_is_what_the_format_says() -> None:
    assert len(frame_record(b"abc")) == HEADER_BYTES + 3 + FOOTER_BYTES == 19
    assert check_record(tf.constant("abc"), tf.constant("f"), tf.constant(0)).numpy() == b"abc"
