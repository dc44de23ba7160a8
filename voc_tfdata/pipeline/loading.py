"""Records -> batches of images and labels: fetched, parsed, decoded, resized.

delivery = Delivery(num_classes=20, image_size=(224, 224))
ds = load_in_order(index, delivery, batch_size=32)                               # index: from records.open_split
ds = load_planned(steps, plan, index, delivery, share=32, partial=True)          # plan: step -> StepPlan
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from voc_tfdata.pipeline import random_access, transforms
from voc_tfdata.pipeline.raw_ops import map_inline
from voc_tfdata.records.examples import label_features, read_labels
from voc_tfdata.records.tfrecord import SplitIndex

# Images that may wait, finished: threads go on decoding while the ones before are copied into a batch.
READY = 16

# Images that one call loads, at most, and what their records may hold together on average: 6 MiB or so when decoded.
_MAX_GROUP = 8
_GROUP_BYTES = 1 << 20


@dataclass(frozen=True)
class Delivery:
    """What becomes of an example on its way into a batch; see train_dataset for all but num_classes."""

    num_classes: int  # length of the label vectors
    image_size: tuple[int, int]  # height and width, pixels
    resize: str = "bilinear"
    augment: str = "none"
    color_jitter: float = 0.0
    difficult: str = "positive"
    num_threads: int = 1  # that decode
    label_names: tuple[str, ...] = ()  # of SplitSource


class StepPlan(NamedTuple):
    """What a step delivers."""

    indices: tf.Tensor  # int64 [P]: the examples; from `count` on anything, to keep the shape
    draws: tf.Tensor  # float32 [P, K]: the random numbers of each
    count: tf.Tensor  # int64 scalar, 0..P


class Examples(NamedTuple):
    """What training needs of some records."""

    jpegs: list[tf.Tensor]  # G string scalars
    heights: tf.Tensor  # int64 [G], pixels
    widths: tf.Tensor  # int64 [G]
    labels: tf.Tensor  # int64 [G, C]: 1 for a class with objects, -1 where all of them are difficult


def load_examples(table: random_access.RecordTable, indices: tf.Tensor, delivery: Delivery) -> Examples:
    """Returns the parts of records (int64 [G]), undecoded."""
    features = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/height": tf.io.FixedLenFeature([], tf.int64),
        "image/width": tf.io.FixedLenFeature([], tf.int64),
        **label_features(delivery.num_classes, delivery.label_names),
    }
    # One by one: to parse them together they would be copied into one tensor.
    rows = [tf.io.parse_single_example(payload, features) for payload in random_access.fetch_records(table, indices)]
    jpegs = [row.pop("image/encoded") for row in rows]
    heights, widths = (tf.stack([row.pop(f"image/{side}") for row in rows]) for side in ("height", "width"))
    if delivery.label_names:  # objects: another number in each record
        labels = tf.stack([read_labels(row, delivery.label_names) for row in rows])
    else:
        labels = read_labels({name: tf.stack([row[name] for row in rows]) for name in rows[0]}, ())
    return Examples(jpegs, heights, widths, labels)


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


def load_in_order(index: SplitIndex, delivery: Delivery, *, batch_size: int) -> tf.data.Dataset:
    """Returns all batches of a split in record order, the last partial one included; see load_planned.

    Returns:
      Dataset of (images uint8 [B, H, W, 3], labels float32 [B, C], indices int64 [B]), of known length.

    Raises:
      tf.errors.InvalidArgumentError: see load_planned.
    """
    num_examples = index.num_examples
    batch_size = min(batch_size, num_examples)
    groups = group_rows(batch_size, int(index.sizes.mean()))

    @tf.autograph.experimental.do_not_convert
    def list_group(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        step, group = number // groups.number, number % groups.number
        count = tf.minimum(num_examples - step * batch_size, batch_size)
        rows = group * groups.size + tf.range(groups.size, dtype=tf.int64)
        indices = tf.where(rows < count, step * batch_size + rows, index.sizes.argmin())
        return indices, tf.zeros([groups.size, 1]), count

    num_steps = -(-num_examples // batch_size)
    ds = tf.data.Dataset.range(num_steps * groups.number).map(list_group)
    return _load_groups(ds, groups, index, delivery, share=batch_size, partial=num_examples % batch_size > 0)


def load_planned(
    steps: tf.data.Dataset,
    plan: Callable[[tf.Tensor], StepPlan],
    index: SplitIndex,
    delivery: Delivery,
    *,
    share: int,
    partial: bool,
) -> tf.data.Dataset:
    """Returns a batch for each step.

    Args:
      steps: int64 scalars.
      plan: what a step delivers; P is `share`.
      index: of the split.
      delivery: what becomes of each example.
      share: examples of a full batch.
      partial: whether there are batches of fewer.

    Returns:
      Dataset of (images uint8 [B, H, W, 3], labels float32 [B, C], indices int64 [B]).

    Raises:
      tf.errors.InvalidArgumentError: while iterating: a record is damaged or gone; the message names shard and record.
    """
    groups = group_rows(share, int(index.sizes.mean()))
    padding = groups.number * groups.size - share

    @tf.autograph.experimental.do_not_convert
    def list_groups(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        indices, draws, count = plan(step)
        indices, draws = tf.pad(indices, [[0, padding]]), tf.pad(draws, [[0, padding], [0, 0]])
        indices = tf.where(tf.range(share + padding, dtype=tf.int64) < count, indices, index.sizes.argmin())
        return (
            tf.reshape(indices, [groups.number, groups.size]),
            tf.reshape(draws, [groups.number, groups.size, draws.shape[1]]),
            tf.fill([groups.number], count),
        )

    ds = steps.map(list_groups).unbatch()  # here, not later: nothing but indices and draws has been shuffled
    return _load_groups(ds, groups, index, delivery, share=share, partial=partial)


class Groups(NamedTuple):
    """How the rows of a batch are divided: into `number` groups of `size`; what is more than the batch is cut off."""

    number: int
    size: int


def group_rows(share: int, record_bytes: int) -> Groups:
    """Returns the groups of a batch of `share` examples whose records have `record_bytes` on average."""
    most = min(max(_GROUP_BYTES // record_bytes, 1), _MAX_GROUP)
    number = -(-share // most)
    return Groups(number, -(-share // number))


def _load_groups(
    ds: tf.data.Dataset,
    groups: Groups,
    index: SplitIndex,
    delivery: Delivery,
    *,
    share: int,
    partial: bool,
) -> tf.data.Dataset:
    """Returns batches of groups: (indices int64 [G], draws float32 [G, K], count of the batch), in order.

    A call of the map function loads a group of images: it decodes all of them, then it resizes one after the other.
    TensorFlow's CPU allocator is shared by the threads and gives one of them the block that another has just used. A
    image as float32, which is what is resized, is the largest block: 2.25 MB for 500 x 375. Where the other thread's
    core has another cache (other chiplet or socket), writing it takes 0.9 ms instead of 0.05; so a thread uses it for
    a whole group. Rows from `count` on are those of the smallest record, as they are cut off again.
    """
    table = random_access.record_table(index)

    def decode(examples: Examples, draws: tf.Tensor) -> list[tf.Tensor]:
        if delivery.augment != "crop":
            return [transforms.decode_jpeg(jpeg) for jpeg in examples.jpegs]
        windows = tf.unstack(transforms.sample_windows(draws, examples.heights, examples.widths))
        return [transforms.decode_window(*parts) for parts in zip(examples.jpegs, windows, strict=True)]

    def finish_image(image: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        image = transforms.resize_image(image, delivery.image_size, resize=delivery.resize)
        if delivery.augment != "none":
            image = transforms.flip_image(image, draws[transforms.FLIP])
        if delivery.color_jitter:
            image = transforms.jitter_colors(image, draws[transforms.JITTER], strength=delivery.color_jitter)
        return image

    def load_group(indices: tf.Tensor, draws: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, ...]:
        examples = load_examples(table, indices, delivery)
        decoded = decode(examples, draws)
        images: list[tf.Tensor] = []
        for image, row in zip(decoded, tf.unstack(draws), strict=True):
            with tf.control_dependencies(images[-1:] or decoded):
                images.append(finish_image(image, row))
        return tf.stack(images), examples.labels, indices, count

    def finish(images: tf.Tensor, labels: tf.Tensor, indices: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, ...]:
        end = count[0] if partial else share  # cut in the first dimension: nothing is copied
        images = tf.reshape(images, [-1, *delivery.image_size, 3])[:end]
        labels, indices = tf.reshape(labels, [-1, delivery.num_classes])[:end], tf.reshape(indices, [-1])[:end]
        return images, tf.cast(apply_difficult(labels, delivery.difficult), tf.float32), indices

    ds = map_inline(ds, load_group, num_calls=delivery.num_threads + READY // groups.size)
    ds = ds.batch(groups.number, drop_remainder=True)  # of one shape: an epoch's end does not drain what runs
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
