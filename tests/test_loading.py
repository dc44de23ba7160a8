"""What becomes of a record on its way into a batch, beyond what the data sets' own tests show."""

from __future__ import annotations

import pytest
import tensorflow as tf

from voc_tfdata.loading import apply_difficult, count_cores, group_size, set_threads


@pytest.mark.parametrize(
    "difficult, wanted", [("positive", [1, 0, 1]), ("ignore", [1, 0, -1]), ("negative", [1, 0, 0])]
)
def test_a_class_of_difficult_objects_only_is_what_was_asked_for(difficult: str, wanted: list[int]) -> None:
    labels = tf.constant([[1, 0, -1]], tf.int8)  # objects, none, difficult ones only
    found = apply_difficult(labels, difficult)
    assert found.numpy().tolist() == [wanted] and found.dtype == tf.int8


def test_threads_are_set_and_nothing_is_tuned() -> None:
    options = set_threads(tf.data.Dataset.range(3), 5).options()
    assert options.threading.private_threadpool_size == 5
    assert options.autotune.enabled is False
    assert count_cores() >= 1


@pytest.mark.parametrize(
    "share, record_bytes, wanted",
    [(32, 91_000, 8), (30, 91_000, 6), (11, 91_000, 1), (1, 91_000, 1), (32, 300_000, 2), (32, 5_000_000, 1)],
)
def test_pictures_are_loaded_in_groups_that_divide_a_batch(share: int, record_bytes: int, wanted: int) -> None:
    assert group_size(share, record_bytes) == wanted
