"""Batches from the decoded store: gathered from the mapped pixels, a batch at a time.

store = open_split_store(source, delivery, cache_dir=None, check="checksums")      # source: of records.find_source
ds = gather_planned(store, steps, plan, delivery, partial=True)                    # plan: step -> StepPlan
ds = gather_in_order(store, delivery, batch_size=32)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial as partial_function
from pathlib import Path

import numpy as np
import tensorflow as tf

from voc_tfdata.pipeline import transforms
from voc_tfdata.pipeline.decoded import DecodedStore, StoreKey, map_store, open_or_build
from voc_tfdata.pipeline.loading import Delivery, StepPlan, apply_difficult, load_in_order, set_threads
from voc_tfdata.pipeline.raw_ops import map_inline
from voc_tfdata.records.split_source import SplitSource, open_split

# Batches gathered at once. Memory is the limit of it, and more batches take more memory.
_MAX_CALLS = 4
_WRITE_BATCH = 64  # images decoded between two writes


def open_split_store(
    source: SplitSource, delivery: Delivery, *, cache_dir: str | Path | None, check: str
) -> DecodedStore:
    """Returns the decoded store of a split, built if need be; see train_dataset for cache_dir and check.

    The records are opened only to build it: a store names the manifest that it was built under.
    """
    key = StoreKey(
        manifest=source.checksum,
        split=source.name,
        num_examples=source.num_examples,
        num_classes=delivery.num_classes,
        size=_stored_size(delivery.image_size, delivery.augment),
        resize=delivery.resize,
        mirrored=delivery.augment != "none",
    )

    def load() -> tf.data.Dataset:
        plain = replace(delivery, image_size=key.size, augment="none", color_jitter=0.0, difficult="ignore")
        ds = load_in_order(open_split(source, check=check), plain, batch_size=_WRITE_BATCH)
        ds = map_inline(ds, lambda images, labels, indices: (images, labels))
        return set_threads(ds.prefetch(2), delivery.num_threads)

    return open_or_build(Path(cache_dir or Path(source.parts[0][0]) / "decoded"), key, load)


def _stored_size(image_size: tuple[int, int], augment: str) -> tuple[int, int]:
    """Returns height and width of the stored images: for windows 8/7 of the image's, 256 for 224 (VGG, ResNet)."""
    height, width = image_size
    return (-(-height * 8 // 7), -(-width * 8 // 7)) if augment == "crop" else image_size


def gather_planned(
    store: DecodedStore,
    steps: tf.data.Dataset,
    plan: Callable[[tf.Tensor], StepPlan],
    delivery: Delivery,
    *,
    partial: bool,
) -> tf.data.Dataset:
    """Returns a batch for each step, as loading.load_planned does; see there."""
    labels = _label_table(store, delivery.difficult)

    def gather(pixels: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        indices, draws, count = plan(step)
        if partial:
            indices, draws = indices[:count], draws[:count]
        rows = indices
        if store.key.mirrored:
            rows = 2 * indices + tf.cast(draws[:, transforms.FLIP] < 0.5, tf.int64)
        if delivery.augment == "crop":
            images = _cut_windows(pixels, rows, draws, store.key.size, delivery.image_size)
        else:
            images = tf.gather(pixels, rows)
        if delivery.color_jitter:
            images = transforms.jitter_colors(images, draws[:, transforms.JITTER], strength=delivery.color_jitter)
        return images, tf.cast(tf.gather(labels, indices), tf.float32), indices

    def map_steps(pixels: tf.Tensor) -> tf.data.Dataset:
        function = tf.autograph.experimental.do_not_convert(partial_function(gather, pixels))
        return steps.map(function, num_parallel_calls=num_calls, deterministic=True)

    num_calls = min(delivery.num_threads, _MAX_CALLS)
    return map_store(store, map_steps)


def gather_in_order(store: DecodedStore, delivery: Delivery, *, batch_size: int) -> tf.data.Dataset:
    """Returns (images, labels, indices) of all batches in record order, the last partial one included."""
    labels = _label_table(store, delivery.difficult)
    num_examples = store.key.num_examples
    num_steps = -(-num_examples // batch_size)
    steps = tf.data.Dataset.range(num_steps)

    def gather(pixels: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        first = step * batch_size
        indices = tf.range(first, tf.minimum(first + batch_size, num_examples))
        return tf.gather(pixels, indices), tf.cast(tf.gather(labels, indices), tf.float32), indices

    def map_steps(pixels: tf.Tensor) -> tf.data.Dataset:
        function = tf.autograph.experimental.do_not_convert(partial_function(gather, pixels))
        return steps.map(function, num_parallel_calls=num_calls, deterministic=True)

    num_calls = min(delivery.num_threads, _MAX_CALLS)
    ds = map_store(store, map_steps)
    return ds.apply(tf.data.experimental.assert_cardinality(num_steps))


def _label_table(store: DecodedStore, difficult: str) -> tf.Tensor:
    """Returns int8 [N, C]."""
    with tf.device("CPU:0"):
        return apply_difficult(tf.constant(store.labels), difficult)


def _cut_windows(
    pixels: tf.Tensor, rows: tf.Tensor, draws: tf.Tensor, stored: tuple[int, int], image_size: tuple[int, int]
) -> tf.Tensor:
    """Returns uint8 [B, H, W, 3]: a window of each row, at a place that is uniform over all there are."""
    places = np.subtract(stored, image_size) + 1  # int64 [2]
    corners = tf.cast(draws[:, transforms.TOP : transforms.LEFT + 1] * places.astype(np.float32), tf.int64)  # [B, 2]
    begins = tf.concat([rows[:, None], tf.minimum(corners, places - 1), tf.zeros_like(rows)[:, None]], axis=1)
    size = [1, *image_size, 3]
    # A loop over slices: as fast as all of them side by side in the graph, whatever the batch, and as the coarser
    # windows that one gather could take.
    return tf.map_fn(
        lambda begin: tf.slice(pixels, begin, size)[0],
        begins,
        fn_output_signature=tf.TensorSpec(size[1:], tf.uint8),
        parallel_iterations=1,
    )
