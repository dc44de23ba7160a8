"""Records -> pictures and labels: fetched, parsed, decoded and resized one by one, then batched.

ds = load_in_order(table, num_classes=20, image_size=224, resize="bilinear", num_threads=2)
ds = load_planned(steps, plan, table, share=32, ...)              # plan: step -> Plan
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from voc_tfdata import fetch, transforms
from voc_tfdata.inline_map import map_inline
from voc_tfdata.manifest import Shard

# Pictures that may wait, finished: threads go on decoding while the ones before are copied into a batch.
READY = 16


class Plan(NamedTuple):
    """What a step delivers."""

    indices: tf.Tensor  # int64 [P]: the examples; from `count` on they repeat one, to keep the shape
    draws: tf.Tensor  # float32 [P, K]: the random numbers of each
    count: tf.Tensor  # int64 scalar, 0..P


class Example(NamedTuple):
    """What training needs of a record."""

    jpeg: tf.Tensor  # string scalar
    height: tf.Tensor  # int64 scalar, pixels
    width: tf.Tensor  # int64 scalar
    labels: tf.Tensor  # int64 [C]: 1 for a class with objects, -1 where all of them are difficult


def load_example(table: fetch.RecordTable, i: tf.Tensor, *, num_classes: int) -> Example:
    """Returns the parts of record i (int64 scalar), undecoded."""
    features = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/height": tf.io.FixedLenFeature([], tf.int64),
        "image/width": tf.io.FixedLenFeature([], tf.int64),
        "image/class/multi_hot": tf.io.FixedLenFeature([num_classes], tf.int64),
        "image/class/ignore": tf.io.FixedLenFeature([num_classes], tf.int64),
    }
    fields = tf.io.parse_single_example(fetch.fetch_record(table, i), features)
    labels = fields["image/class/multi_hot"] - 2 * fields["image/class/ignore"]
    return Example(fields["image/encoded"], fields["image/height"], fields["image/width"], labels)


def apply_difficult(labels: tf.Tensor, difficult: str) -> tf.Tensor:
    """Returns labels in which -1, a class with difficult objects only, is what `difficult` says.

    Args:
      labels: numbers of any shape: 1, 0 or -1.
      difficult: "positive" makes it 1, "negative" 0, "ignore" leaves it.
    """
    if difficult == "positive":
        return tf.abs(labels)
    return tf.maximum(labels, 0) if difficult == "negative" else labels


def count_draws(augment: str, color_jitter: float, cache: str) -> int:
    """Returns how many draws of each example to make: the last that is used, and at least one for unbatch's sake.

    Dataset.unbatch ends the process (TensorFlow 2.17) where an element has no number at all.
    """
    if augment == "crop" and cache == "none":
        return transforms.NUM_DRAWS
    if color_jitter:
        return transforms.JITTER.stop
    return transforms.LEFT + 1 if augment == "crop" else transforms.FLIP + 1


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
            return fetch.check_record(record[1], path, number)

        return fetch.empty_at_error(tf.data.TFRecordDataset(path), count).enumerate().map(check)

    return tf.data.Dataset.from_tensor_slices((paths, counts)).flat_map(read_shard)


def load_in_order(
    table: fetch.RecordTable, *, num_classes: int, image_size: int, resize: str, difficult: str, num_threads: int
) -> tf.data.Dataset:
    """Returns every picture of a split in record order.

    Returns:
      Dataset of (image uint8 [S, S, 3], labels float32 [C], index int64 scalar), of known length.
    """

    def load(i: tf.Tensor) -> tuple[tf.Tensor, ...]:
        example = load_example(table, i, num_classes=num_classes)
        image = transforms.resize_image(transforms.decode_jpeg(example.jpeg), image_size, resize=resize)
        return image, tf.cast(apply_difficult(example.labels, difficult), tf.float32), i

    return map_inline(tf.data.Dataset.range(table.places.shape[0]), load, num_calls=num_threads + READY)


def load_planned(
    steps: tf.data.Dataset,
    plan: Callable[[tf.Tensor], Plan],
    table: fetch.RecordTable,
    *,
    share: int,
    partial: bool,
    num_classes: int,
    image_size: int,
    resize: str,
    augment: str,
    color_jitter: float,
    difficult: str,
    num_threads: int,
) -> tf.data.Dataset:
    """Returns a batch for each step.

    Args:
      steps: int64 scalars.
      plan: what a step delivers; P is `share`.
      table: of the split.
      share: examples of a full batch.
      partial: whether there are batches of fewer.
      num_classes: length of the label vectors.
      image_size: in pixels.
      resize: see train_dataset, as augment, color_jitter and difficult.
      num_threads: that decode.

    Returns:
      Dataset of (images uint8 [B, S, S, 3], labels float32 [B, C], indices int64 [B]).
    """

    @tf.autograph.experimental.do_not_convert
    def list_examples(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        indices, draws, count = plan(step)
        return indices, draws, tf.fill([share], count)

    def load(i: tf.Tensor, draws: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, ...]:
        example = load_example(table, i, num_classes=num_classes)
        if augment == "crop":
            window = transforms.sample_window(draws, example.height, example.width)
            image = transforms.decode_window(example.jpeg, window)
        else:
            image = transforms.decode_jpeg(example.jpeg)
        image = transforms.resize_image(image, image_size, resize=resize)
        if augment != "none":
            image = transforms.flip_image(image, draws[transforms.FLIP])
        if color_jitter:
            image = transforms.jitter_colors(image, draws[transforms.JITTER], strength=color_jitter)
        return image, example.labels, i, count

    def finish(images: tf.Tensor, labels: tf.Tensor, indices: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, ...]:
        if partial:  # cut in the first dimension: nothing is copied
            images, labels, indices = images[: count[0]], labels[: count[0]], indices[: count[0]]
        return images, tf.cast(apply_difficult(labels, difficult), tf.float32), indices

    ds = steps.map(list_examples)
    ds = ds.unbatch()  # here, not later: nothing but an index and its draws has been shuffled
    ds = map_inline(ds, load, num_calls=num_threads + READY)
    ds = ds.batch(share, drop_remainder=True)  # of one shape: an epoch's end does not drain what runs in parallel
    return map_inline(ds, finish)


def set_threads(ds: tf.data.Dataset, num_threads: int) -> tf.data.Dataset:
    """Returns `ds` run by `num_threads` threads of its own.

    Nothing is tuned or rewritten as it runs: what is written here is what is fast, and AUTOTUNE's thread made short
    epochs end in steps of 1.28 s.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    options.threading.private_threadpool_size = num_threads
    options.threading.max_intra_op_parallelism = 1
    # The op that reads a record counts as stateful, which would keep iterators from being saved in checkpoints.
    options.experimental_external_state_policy = tf.data.experimental.ExternalStatePolicy.IGNORE
    return ds.with_options(options)


def count_cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
