"""train_dataset, eval_dataset, read_examples: a folder of records as an ordinary tf.data.Dataset.

train_ds = train_dataset("records/voc2012", batch_size=32, image_size=224, seed=0)      # repeats for ever
val_ds = eval_dataset("records/voc2012", "val", batch_size=32, image_size=224)          # finite, in record order
model.fit(train_ds, steps_per_epoch=epoch_steps("records/voc2012", batch_size=32), validation_data=val_ds)
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import tensorflow as tf

from voc_tfdata import fetch, order, records, transforms
from voc_tfdata.manifest import find_split, read_manifest

DIFFICULT = ("positive", "ignore", "negative")


def train_dataset(
    records_dir: str | Path,
    split: str = "train",
    *,
    batch_size: int = 32,
    image_size: int = 224,
    seed: int = 0,
    start_step: int = 0,
    shard: tuple[int, int] | tf.distribute.InputContext = (0, 1),
    augment: str = "none",
    color_jitter: float = 0.0,
    resize: str = "bilinear",
    difficult: str = "positive",
    cache: str = "none",
    cache_dir: str | Path | None = None,
    drop_remainder: bool = False,
    num_threads: int | None = None,
    check: str = "checksums",
) -> tf.data.Dataset:
    """Returns training batches of one split, shuffled and augmented, repeating for ever."""
    index = records.open_split(records_dir, split, check=check)
    num_classes = len(read_manifest(records_dir).classes)
    num_examples = len(index.ids)
    if isinstance(shard, tf.distribute.InputContext):
        shard = (shard.input_pipeline_id, shard.num_input_pipelines)
    share = order.host_share(batch_size, shard)
    threads = num_threads or len(os.sched_getaffinity(0))
    table = fetch.record_table(index)

    def batch_of(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        batch = order.batch_of_step(
            step,
            num_examples=num_examples,
            batch_size=batch_size,
            seed=seed,
            shard=shard,
            drop_remainder=drop_remainder,
        )
        return batch.indices, tf.fill([share], batch.count)

    def load(i: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return *_load(table, i, image_size, resize, difficult, num_classes), count

    def cut(images: tf.Tensor, labels: tf.Tensor, counts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return images[: counts[0]], labels[: counts[0]]

    ds = tf.data.Dataset.counter(start_step)
    ds = ds.map(batch_of).unbatch()
    ds = ds.map(load, num_parallel_calls=threads, deterministic=True)
    ds = ds.batch(share, drop_remainder=True)
    ds = ds.map(cut)
    ds = ds.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    return ds.prefetch(2).with_options(_options(threads))


def eval_dataset(
    records_dir: str | Path,
    split: str,
    *,
    batch_size: int = 32,
    image_size: int = 224,
    resize: str = "bilinear",
    difficult: str = "positive",
    with_ids: bool = False,
    cache: str = "none",
    cache_dir: str | Path | None = None,
    num_threads: int | None = None,
    check: str = "checksums",
) -> tf.data.Dataset:
    """Returns the batches of one split once, in record order, the last partial one included."""
    index = records.open_split(records_dir, split, check=check)
    num_classes = len(read_manifest(records_dir).classes)
    threads = num_threads or len(os.sched_getaffinity(0))
    table = fetch.record_table(index)
    ids = tf.constant(index.ids)

    def load(i: tf.Tensor) -> tuple[tf.Tensor, ...]:
        example = _load(table, i, image_size, resize, difficult, num_classes)
        return (*example, tf.gather(ids, i)) if with_ids else example

    ds = tf.data.Dataset.range(len(index.ids))
    ds = ds.map(load, num_parallel_calls=threads, deterministic=True)
    ds = ds.batch(batch_size)
    return ds.prefetch(2).with_options(_options(threads))


def epoch_steps(
    records_dir: str | Path, split: str = "train", *, batch_size: int, drop_remainder: bool = False
) -> int:
    """Returns the number of batches of one epoch of train_dataset."""
    manifest = read_manifest(records_dir)
    total = sum(manifest.splits[name].num_examples for name in find_split(manifest, split, records_dir))
    return order.steps_in_epoch(total, batch_size, drop_remainder=drop_remainder)


def read_examples(records_dir: str | Path, split: str, *, check: str = "sizes") -> tf.data.Dataset:
    """Returns every record of one split as a dict of parse_example, in record order."""
    from voc_tfdata import examples

    index = records.open_split(records_dir, split, check=check)
    num_classes = len(read_manifest(records_dir).classes)
    ds = tf.data.TFRecordDataset(list(index.paths))
    ds = ds.map(lambda record: examples.parse_example(record, num_classes=num_classes))
    return ds.apply(tf.data.experimental.assert_cardinality(len(index.ids)))


def _load(
    table: Any, i: tf.Tensor, image_size: int, resize: str, difficult: str, num_classes: int
) -> tuple[tf.Tensor, tf.Tensor]:
    fields = tf.io.parse_single_example(
        fetch.fetch_record(table, i),
        {
            "image/encoded": tf.io.FixedLenFeature([], tf.string),
            "image/class/multi_hot": tf.io.FixedLenFeature([num_classes], tf.int64),
            "image/class/ignore": tf.io.FixedLenFeature([num_classes], tf.int64),
        },
    )
    image = transforms.resize_image(tf.io.decode_jpeg(fields["image/encoded"], channels=3), image_size, resize=resize)
    labels, ignore = fields["image/class/multi_hot"], fields["image/class/ignore"]
    if difficult != "positive":
        labels = tf.where(ignore == 1, tf.constant(-1 if difficult == "ignore" else 0, tf.int64), labels)
    return image, tf.cast(labels, tf.float32)


def _options(threads: int) -> tf.data.Options:
    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1
    return options
