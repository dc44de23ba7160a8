"""Records streamed from real servers on the loopback interface, without a mirror."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import voc_tfdata
from tests.loopback import S3, run_http, start_again_when_dead
from voc_tfdata.records.manifest import Shard, read_manifest
from voc_tfdata.records.streaming import read_frames, stream_records
from voc_tfdata.records.tfrecord import iterate_records


@pytest.fixture
def uri(s3: S3, noisy_records: Path) -> str:
    return s3.put_folder(noisy_records, "bucket/streamed")


def shards_of(folder: Path, split: str) -> list[Shard]:
    return list(read_manifest(folder).splits[split].shards)


def test_frames_are_the_bytes_of_the_shard(s3: S3, uri: str, noisy_records: Path) -> None:
    shard = shards_of(noisy_records, "train")[1]
    assert b"".join(read_frames(uri, shard)) == (noisy_records / shard.file).read_bytes()


def test_records_come_in_order_shard_after_shard(s3: S3, uri: str, noisy_records: Path) -> None:
    shards = shards_of(noisy_records, "train")
    expected = [payload for shard in shards for payload in iterate_records(noisy_records / shard.file)]
    assert list(stream_records(uri, shards).as_numpy_iterator()) == expected
    assert list(stream_records(uri, shards).take(1).as_numpy_iterator()) == expected[:1]


@pytest.mark.parametrize("address", ["s3", "http"])
def test_read_examples_streams_what_it_reads_locally(
    s3: S3, uri: str, noisy_records: Path, tmp_path: Path, address: str
) -> None:
    with run_http(tmp_path, noisy_records) as web:
        folder = f"{uri}/" if address == "s3" else web.url
        streamed = voc_tfdata.read_examples(folder, "train+val")
        local = voc_tfdata.read_examples(noisy_records, "train+val")
        assert len(streamed) == len(local) == 20
        for ours, theirs in zip(streamed, local, strict=True):
            assert ours["image/source_id"] == theirs["image/source_id"]
            assert ours["image/encoded"] == theirs["image/encoded"]
            tf.debugging.assert_equal(ours["image/class/multi_hot"], theirs["image/class/multi_hot"])
    assert list(tmp_path.iterdir()) == [tmp_path / "http.log"]  # nothing was kept


def test_a_connection_that_breaks_is_taken_up_at_the_same_record(s3: S3, noisy_records: Path, tmp_path: Path) -> None:
    shards = shards_of(noisy_records, "train")
    with run_http(tmp_path, noisy_records, f"--die_after={shards[0].num_bytes + shards[1].num_bytes // 2}") as web:
        thread = start_again_when_dead(web)
        records = list(stream_records(web.url, shards, retry_wait_s=0.5).as_numpy_iterator())
        thread.join()
    assert records == [payload for shard in shards for payload in iterate_records(noisy_records / shard.file)]


def test_a_damaged_shard_is_named_while_iterating(s3: S3, uri: str, noisy_records: Path) -> None:
    shards = shards_of(noisy_records, "val")
    data = (noisy_records / shards[0].file).read_bytes()
    s3.ask("PUT", f"bucket/streamed/{shards[0].file}", data[:-10])
    with pytest.raises(tf.errors.OpError, match=rf"ValueError: {uri}/{shards[0].file}( is|.*:) damaged or cut off"):
        list(stream_records(uri, shards, retry_wait_s=0.01))


def test_the_manifest_alone_answers_what_needs_no_record(s3: S3, uri: str, noisy_records: Path) -> None:
    before = len(s3.requests())
    assert voc_tfdata.read_manifest(uri) == voc_tfdata.read_manifest(noisy_records)
    assert voc_tfdata.epoch_steps(uri, "train", batch_size=5) == 4  # 16 examples
    assert {line.split()[1] for line in s3.requests()[before:]} == {"manifest.json"}
    with pytest.raises(FileNotFoundError, match="^no s3://bucket/none/manifest.json: not a .complete. data set; run"):
        voc_tfdata.read_manifest("s3://bucket/none")


def test_data_sets_of_a_uri_are_those_of_the_local_folder(
    s3: S3, uri: str, noisy_records: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"batch_size": 6, "image_size": 32, "with_ids": True}
    for make in (
        lambda where, **more: voc_tfdata.eval_dataset(where, "val", **options, **more),
        lambda where, **more: voc_tfdata.train_dataset(where, "train", seed=3, **options, **more).take(4),
    ):
        remote, local = make(uri, cache_dir=tmp_path), make(noisy_records)
        for ours, theirs in zip(remote, local, strict=True):
            for one, other in zip(ours, theirs, strict=True):
                tf.debugging.assert_equal(one, other)
        with pytest.raises(ValueError, match=f"^{uri} is remote: give cache_dir="):
            make(uri)
    assert voc_tfdata.verify_records(uri, cache_dir=tmp_path) == []
