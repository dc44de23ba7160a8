"""Random access into TFRecord files: which bytes come back, and which message where there are none."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from voc_tfdata.pipeline.random_access import RecordTable, check_records, empty_at_error, fetch_records, record_table
from voc_tfdata.pipeline.raw_ops import map_inline
from voc_tfdata.records.tfrecord import SplitIndex
from voc_tfdata.remote.frames import FOOTER_BYTES, HEADER_BYTES, frame_record

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
    )


def test_each_record_comes_back_eagerly_and_in_a_map(table: RecordTable) -> None:
    backwards = tf.range(6, -1, -1, dtype=tf.int64)
    assert [payload.numpy() for payload in fetch_records(table, backwards)] == PAYLOADS[::-1]
    ds = tf.data.Dataset.from_tensor_slices(backwards)
    assert list(ds.map(lambda i: fetch_records(table, i[None])[0]).as_numpy_iterator()) == PAYLOADS[::-1]
    pairs = map_inline(ds.take(6).batch(2, drop_remainder=True), lambda i: tuple(fetch_records(table, i)), num_calls=3)
    assert [p for pair in pairs.as_numpy_iterator() for p in pair] == PAYLOADS[:0:-1]


def test_a_table_of_many_shards_takes_no_switch(tmp_path: Path) -> None:
    def count_ops(table: RecordTable) -> int:
        function = tf.function(lambda i: fetch_records(table, i)).get_concrete_function(tf.TensorSpec([2], tf.int64))
        return len(function.graph.get_operations())

    table = record_table(write_shards(tmp_path, 1))
    assert table.places.numpy()[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert count_ops(table) == count_ops(record_table(write_shards(tmp_path, 7)))


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
    wanted = r"record\] \[1\] \[of\] \[.*shard \[4\].*--verify"
    for indices in ([5], [0, 5], [5, 3, 1]):
        bad = tf.constant(indices, tf.int64)
        with pytest.raises(tf.errors.InvalidArgumentError, match=wanted):
            fetch_records(table, bad)
        with pytest.raises(tf.errors.InvalidArgumentError, match=wanted):
            next(iter(tf.data.Dataset.from_tensors(bad).map(lambda i: fetch_records(table, i))))
    sound = [0, 1, 2] if damage == "gone" else [0, 1, 2, 4]  # 4 lies before it in its file
    assert [p.numpy() for p in fetch_records(table, tf.constant(sound, tf.int64))] == [PAYLOADS[i] for i in sound]


def test_streams_stop_at_the_first_error(tmp_path: Path) -> None:
    good = tf.data.Dataset.from_tensor_slices([b"a", b"b", b"c"])
    assert [r.numpy() for _, r in empty_at_error(good, 3)] == [b"a", b"b", b"c"]
    assert [r.numpy() for _, r in empty_at_error(good, 4)] == [b"a", b"b", b"c", b""]  # cut off: one is missing
    no_file = tf.data.TFRecordDataset(str(tmp_path / "gone"))
    assert [r.numpy() for _, r in empty_at_error(no_file, 2)] == [b""]


def test_the_overhead_of_a_frame_is_what_the_format_says() -> None:
    assert len(frame_record(b"abc")) == HEADER_BYTES + 3 + FOOTER_BYTES == 19


def test_the_first_of_several_bad_records_is_named() -> None:
    good, bad, paths, numbers = (
        tf.constant("abc"),
        tf.constant(""),
        tf.constant(["f", "g", "h"]),
        tf.constant([3, 4, 5]),
    )
    assert [p.numpy() for p in check_records([good, good, good], paths, numbers)] == [b"abc"] * 3
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"record\] \[4\] \[of\] \[g"):
        check_records([good, bad, bad], paths, numbers)
