"""TFRecord frames and their index are those that TensorFlow and DALI write and read."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import tensorflow as tf

from tests.devkit_fixture import difficult, sample, write_devkit
from voc_tfdata.convert.build import build_records
from voc_tfdata.records.examples import decode_example
from voc_tfdata.records.manifest import read_manifest
from voc_tfdata.records.split_source import count_labels, find_source, open_split
from voc_tfdata.records.tfrecord import (
    crc32c_of_file,
    format_index,
    iterate_ids,
    iterate_records,
    shard_name,
)
from voc_tfdata.remote.frames import frame_record

PAYLOADS = [b"", b"a", b"\0" * 1000, bytes(range(256)) * 700]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train of seven images in three shards, val of three in three: see test_shards_are_contiguous_runs."""
    root = tmp_path_factory.mktemp("records")
    samples = {f"im{k}": sample("dog", difficult("cat")) for k in range(10)}
    lists = {"train": [f"im{k}" for k in range(7)], "val": [f"im{k}" for k in range(7, 10)]}
    devkit = write_devkit(root / "VOC", samples, lists)
    build_records(devkit, root / "out", splits=("train", "val"), num_shards=3, num_workers=1)
    return root / "out"


def test_frames_are_those_of_tensorflows_writer(tmp_path: Path) -> None:
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for payload in PAYLOADS:
            writer.write(payload)
    assert (tmp_path / "theirs").read_bytes() == b"".join(map(frame_record, PAYLOADS))


def test_a_frame_is_length_checksum_payload_checksum() -> None:
    # By hand, with the test vector of RFC 3720, B.4: the crc32c of 32 zero bytes is 0x8a9136aa;
    # masked: rotated right by 15 bits, 0x6d551522, plus 0xa282ead8: 0x0fd7fffa
    frame = frame_record(bytes(32))
    assert frame[:8] == struct.pack("<Q", 32) and frame[12:44] == bytes(32)
    assert struct.unpack("<I", frame[44:]) == (0x0FD7FFFA,)


def test_records_are_read_without_tensorflow_as_with_it(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(b"".join(map(frame_record, PAYLOADS)))
    assert list(iterate_records(path)) == PAYLOADS
    assert [r.numpy() for r in tf.data.TFRecordDataset(str(path))] == PAYLOADS
    path.write_bytes(b"")
    assert list(iterate_records(path)) == []


def test_a_cut_or_flipped_frame_is_named_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    frames = [frame_record(b"first"), frame_record(b"second")]
    whole = b"".join(frames)
    for k in range(len(frames[0]) + 1, len(whole)):
        path.write_bytes(whole[:k])
        with pytest.raises(ValueError, match="x.tfrecord, record 1: damaged or cut off"):
            list(iterate_records(path))
    for k in range(len(whole)):
        path.write_bytes(whole[:k] + bytes((whole[k] ^ 1,)) + whole[k + 1 :])
        with pytest.raises(ValueError, match=f"x.tfrecord, record {int(k >= len(frames[0]))}: damaged or cut off"):
            list(iterate_records(path))


def test_an_index_has_offset_and_size_of_each_frame() -> None:
    # frames of 5 and 6 bytes of payload: 12 + 5 + 4 = 21 and 22 bytes
    frames = [frame_record(b"first"), frame_record(b"second")]
    assert format_index([len(f) for f in frames]) == "0 21\n21 22\n"


def test_shards_are_contiguous_runs_of_nearly_equal_length(records: Path) -> None:
    manifest = read_manifest(records)
    train = manifest.splits["train"]
    # 7 images in 3 shards end after 7/3 = 2, 14/3 = 4 and 7
    assert [shard.num_examples for shard in train.shards] == [2, 2, 3]
    assert [shard.file for shard in train.shards] == [f"voc-train-0000{k}-of-00003.tfrecord" for k in range(3)]
    assert shard_name("train", 1, 3) == train.shards[1].file
    written = [
        decode_example(payload)["image/source_id"][0].decode()
        for shard in train.shards
        for payload in iterate_records(records / shard.file)
    ]
    assert tuple(written) == tuple(iterate_ids(records, train))
    assert sorted(written) == [f"im{k}" for k in range(7)] and written != sorted(written)  # shuffled once


def test_the_index_leads_to_every_record(records: Path) -> None:
    index = open_split(find_source(records, "train+val"))
    splits = read_manifest(records).splits
    ids = tuple(iterate_ids(records, splits["train"])) + tuple(iterate_ids(records, splits["val"]))
    assert len(index.paths) == 6 and index.num_examples == len(ids) == 10
    for k, image_id in enumerate(ids):
        with open(index.paths[index.shard[k]], "rb") as file:
            file.seek(index.offsets[k])
            payload = file.read(index.sizes[k])
        assert decode_example(payload)["image/source_id"] == [image_id.encode()]
    lines = (records / "voc-val-00000-of-00003.idx").read_text().splitlines()
    assert lines == [f"0 {(records / 'voc-val-00000-of-00003.tfrecord').stat().st_size}"]


def test_a_plain_tfrecord_dataset_reads_the_shards(records: Path) -> None:
    files = sorted(str(path) for path in records.glob("voc-*.tfrecord"))
    spec = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/class/multi_hot": tf.io.FixedLenFeature([20], tf.int64),
        "image/class/ignore": tf.io.FixedLenFeature([20], tf.int64),
    }
    dataset = tf.data.TFRecordDataset(files).map(lambda record: tf.io.parse_single_example(record, spec))
    fields = list(dataset)
    assert len(fields) == 10
    assert all(tf.io.decode_jpeg(f["image/encoded"]).shape == (24, 32, 3) for f in fields)
    assert sum(f["image/class/multi_hot"].numpy() for f in fields).nonzero()[0].tolist() == [7, 11]  # cat, dog
    assert sum(f["image/class/ignore"].numpy() for f in fields).nonzero()[0].tolist() == [7]


def test_checksums_and_label_counts_are_those_of_the_files(records: Path) -> None:
    manifest = read_manifest(records)
    for shard in manifest.splits["val"].shards:
        assert crc32c_of_file(records / shard.file) == shard.crc32c
        assert (records / shard.file).stat().st_size == shard.num_bytes
    positives, ignores, total = count_labels(find_source(records, "train+val"))
    assert (positives[11], ignores[7], positives.sum(), ignores.sum(), total) == (10, 10, 10, 10, 10)


def test_a_missing_split_or_check_is_refused(records: Path) -> None:
    with pytest.raises(ValueError, match="no split 'trian' in .*; it has: train, val"):
        open_split(find_source(records, "trian"))
    with pytest.raises(ValueError, match="check='no'; it is 'checksums' or 'sizes'"):
        open_split(find_source(records, "train"), check="no")
