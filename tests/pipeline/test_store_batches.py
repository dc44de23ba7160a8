"""Batches cut from a decoded store, on pixels that tell where they come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from voc_tfdata.pipeline import transforms
from voc_tfdata.pipeline.decoded import DecodedStore, StoreKey, open_or_build
from voc_tfdata.pipeline.loading import Delivery, StepPlan
from voc_tfdata.pipeline.store_batches import gather_planned

N, STORED, SIZE, C = 3, 16, 14, 2
ROWS, COLUMNS = np.indices((STORED, STORED))
# Channels: image, row, column. A window shows its own place.
PICTURES = np.stack([np.stack([np.full_like(ROWS, k), ROWS, COLUMNS], axis=-1) for k in range(N)]).astype(np.uint8)
LABELS = np.array([[1, 0], [0, -1], [-1, 1]], np.float32)


def make_store(folder: Path) -> DecodedStore:
    key = StoreKey(
        manifest="m",
        split="train",
        num_examples=N,
        num_classes=C,
        size=(STORED, STORED),
        resize="bilinear",
        mirrored=True,
    )
    return open_or_build(folder, key, lambda: tf.data.Dataset.from_tensors((PICTURES, LABELS)))


def gather(store: DecodedStore, draws: list[list[float]]) -> tuple[np.ndarray, ...]:
    """Returns the batch of images 2, 0, 1 (as many as there are draws) under these draws."""
    count = len(draws)

    def plan(step: tf.Tensor) -> StepPlan:
        padded = tf.constant(draws + draws[:1] * (N - count), tf.float32)
        return StepPlan(tf.constant([2, 0, 1], tf.int64), padded, tf.constant(count, tf.int64))

    ds = gather_planned(
        store,
        tf.data.Dataset.range(1),
        plan,
        Delivery(num_classes=C, image_size=(SIZE, SIZE), augment="crop", difficult="ignore", num_threads=2),
        partial=True,
    )
    return tuple(t.numpy() for t in next(iter(ds)))


def test_windows_are_where_the_draws_say(tmp_path: Path) -> None:
    # 16 - 14 = 2 pixels to spare: 3 places each way; a draw of 0.5 is the middle one, 0.999 the last.
    images, labels, indices = gather(make_store(tmp_path), [[0.9, 0.0, 0.5], [0.9, 0.999, 0.0], [0.9, 0.34, 0.7]])
    assert images.shape == (3, SIZE, SIZE, 3)
    assert indices.tolist() == [2, 0, 1]
    assert images[:, 0, 0].tolist() == [[2, 0, 1], [0, 2, 0], [1, 1, 2]]  # image, top, left
    assert images[:, -1, -1].tolist() == [[2, 13, 14], [0, 15, 13], [1, 14, 15]]
    assert labels.tolist() == [[-1, 1], [1, 0], [0, -1]]


def test_draws_below_a_half_flip_the_picture_before_the_window_is_cut(tmp_path: Path) -> None:
    images, _, _ = gather(make_store(tmp_path), [[0.49, 0.0, 0.0], [0.5, 0.0, 0.0]])
    assert images[0, 0, :, 2].tolist() == list(range(15, 1, -1))  # columns 15, 14 ... 2 of the mirror image
    assert images[1, 0, :, 2].tolist() == list(range(14))


def test_a_partial_batch_has_no_padding(tmp_path: Path) -> None:
    images, labels, indices = gather(make_store(tmp_path), [[0.9, 0.0, 0.0]])
    assert len(images) == len(labels) == 1 and indices.tolist() == [2]


def test_an_empty_part_of_a_batch_is_an_empty_batch(tmp_path: Path) -> None:
    def plan(step: tf.Tensor) -> StepPlan:
        return StepPlan(tf.zeros([2], tf.int64), tf.zeros([2, transforms.NUM_DRAWS]), tf.constant(0, tf.int64))

    ds = gather_planned(
        make_store(tmp_path),
        tf.data.Dataset.range(1),
        plan,
        Delivery(num_classes=C, image_size=(SIZE, SIZE), augment="crop", color_jitter=0.5),
        partial=True,
    )
    images, labels, indices = next(iter(ds))
    assert images.shape == (0, SIZE, SIZE, 3) and labels.shape == (0, C) and indices.shape == (0,)
