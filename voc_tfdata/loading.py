"""Records -> batches of pictures and labels: fetched, parsed, decoded, resized.

ds = load_in_order(index, batch_size=32, num_classes=20, image_size=224, ...)    # index: from records.open_split
ds = load_planned(steps, plan, index, share=32, ...)                             # plan: step -> Plan
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
from voc_tfdata.records import SplitIndex

# Pictures that may wait, finished: threads go on decoding while the ones before are copied into a batch.
READY = 16

# Pictures that one call loads; in a record of 1 MB they take 6 MB or so when decoded.
_MAX_GROUP = 8
_GROUP_BYTES = 1 << 20


class Plan(NamedTuple):
    """What a step delivers."""

    indices: tf.Tensor  # int64 [P]: the examples; from `count` on they repeat one, to keep the shape
    draws: tf.Tensor  # float32 [P, K]: the random numbers of each
    count: tf.Tensor  # int64 scalar, 0..P


class Examples(NamedTuple):
    """What training needs of some records."""

    jpegs: list[tf.Tensor]  # G string scalars
    heights: tf.Tensor  # int64 [G], pixels
    widths: tf.Tensor  # int64 [G]
    labels: tf.Tensor  # int64 [G, C]: 1 for a class with objects, -1 where all of them are difficult


def load_examples(table: fetch.RecordTable, indices: tf.Tensor, *, num_classes: int) -> Examples:
    """Returns the parts of records (int64 [G]), undecoded."""
    features = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/height": tf.io.FixedLenFeature([], tf.int64),
        "image/width": tf.io.FixedLenFeature([], tf.int64),
        "image/class/multi_hot": tf.io.FixedLenFeature([num_classes], tf.int64),
        "image/class/ignore": tf.io.FixedLenFeature([num_classes], tf.int64),
    }
    # One by one: to parse them together they would be copied into one tensor.
    rows = [tf.io.parse_single_example(payload, features) for payload in fetch.fetch_records(table, indices)]
    jpegs = [row.pop("image/encoded") for row in rows]
    fields = {name: tf.stack([row[name] for row in rows]) for name in rows[0]}
    labels = fields["image/class/multi_hot"] - 2 * fields["image/class/ignore"]
    return Examples(jpegs, fields["image/height"], fields["image/width"], labels)


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
            return fetch.check_records([record[1]], path[None], number[None])[0]

        return fetch.empty_at_error(tf.data.TFRecordDataset(path), count).enumerate().map(check)

    return tf.data.Dataset.from_tensor_slices((paths, counts)).flat_map(read_shard)


def load_in_order(
    index: SplitIndex,
    *,
    batch_size: int,
    num_classes: int,
    image_size: int,
    resize: str,
    difficult: str,
    num_threads: int,
) -> tf.data.Dataset:
    """Returns all batches of a split in record order, the last partial one included; see load_planned.

    Returns:
      Dataset of (images uint8 [B, S, S, 3], labels float32 [B, C], indices int64 [B]), of known length.
    """
    num_examples = index.num_examples
    batch_size = min(batch_size, num_examples)
    steps = tf.data.Dataset.range(-(-num_examples // batch_size))

    def plan(step: tf.Tensor) -> Plan:
        positions = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        count = tf.minimum(num_examples - step * batch_size, batch_size)
        return Plan(tf.minimum(positions, num_examples - 1), tf.zeros([batch_size, 1]), count)

    ds = load_planned(
        steps,
        plan,
        index,
        share=batch_size,
        partial=num_examples % batch_size > 0,
        num_classes=num_classes,
        image_size=image_size,
        resize=resize,
        augment="none",
        color_jitter=0.0,
        difficult=difficult,
        num_threads=num_threads,
    )
    return ds.apply(tf.data.experimental.assert_cardinality(len(steps)))


def load_planned(
    steps: tf.data.Dataset,
    plan: Callable[[tf.Tensor], Plan],
    index: SplitIndex,
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

    A call of the map function loads a group of pictures: it decodes all of them, then it resizes one after the other.
    TensorFlow's CPU allocator is shared by the threads and gives one of them the block that another has just used. A
    picture as float32, which is what is resized, is the largest block: 2.25 MB. Where the other thread's core has
    another cache (other chiplet or socket), writing it takes 0.9 ms instead of 0.05; so it is used a group at a time.

    Args:
      steps: int64 scalars.
      plan: what a step delivers; P is `share`.
      index: of the split.
      share: examples of a full batch.
      partial: whether there are batches of fewer.
      num_classes: length of the label vectors.
      image_size: in pixels.
      resize: see train_dataset, as augment, color_jitter and difficult.
      num_threads: that decode.

    Returns:
      Dataset of (images uint8 [B, S, S, 3], labels float32 [B, C], indices int64 [B]).
    """
    table = fetch.record_table(index)
    group = group_size(share, int(index.sizes.mean()))

    @tf.autograph.experimental.do_not_convert
    def list_groups(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        indices, draws, count = plan(step)
        num_groups = share // group
        return (
            tf.reshape(indices, [num_groups, group]),
            tf.reshape(draws, [num_groups, group, draws.shape[1]]),
            tf.fill([num_groups], count),
        )

    def decode(examples: Examples, draws: tf.Tensor) -> list[tf.Tensor]:
        if augment != "crop":
            return [transforms.decode_jpeg(jpeg) for jpeg in examples.jpegs]
        windows = tf.unstack(transforms.sample_windows(draws, examples.heights, examples.widths))
        return [transforms.decode_window(*parts) for parts in zip(examples.jpegs, windows, strict=True)]

    def finish_image(image: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        image = transforms.resize_image(image, image_size, resize=resize)
        if augment != "none":
            image = transforms.flip_image(image, draws[transforms.FLIP])
        if color_jitter:
            image = transforms.jitter_colors(image, draws[transforms.JITTER], strength=color_jitter)
        return image

    def load_group(indices: tf.Tensor, draws: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, ...]:
        examples = load_examples(table, indices, num_classes=num_classes)
        decoded = decode(examples, draws)
        images: list[tf.Tensor] = []
        for image, row in zip(decoded, tf.unstack(draws), strict=True):
            with tf.control_dependencies(images[-1:] or decoded):
                images.append(finish_image(image, row))
        return tf.stack(images), examples.labels, indices, count

    def finish(images: tf.Tensor, labels: tf.Tensor, indices: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, ...]:
        images = tf.reshape(images, [share, image_size, image_size, 3])
        labels, indices = tf.reshape(labels, [share, num_classes]), tf.reshape(indices, [share])
        if partial:  # cut in the first dimension: nothing is copied
            images, labels, indices = images[: count[0]], labels[: count[0]], indices[: count[0]]
        return images, tf.cast(apply_difficult(labels, difficult), tf.float32), indices

    ds = steps.map(list_groups)
    ds = ds.unbatch()  # here, not later: nothing but indices and their draws has been shuffled
    ds = map_inline(ds, load_group, num_calls=num_threads + READY // group)
    ds = ds.batch(share // group, drop_remainder=True)  # of one shape: an epoch's end does not drain what runs
    return map_inline(ds, finish)


def group_size(share: int, record_bytes: int) -> int:
    """Returns how many pictures a call loads: a divisor of a batch, fewer of large pictures, whose pixels it holds."""
    most = min(max(_GROUP_BYTES // record_bytes, 1), _MAX_GROUP)
    return max(size for size in range(1, most + 1) if share % size == 0)


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
