"""map_inline against Dataset.map."""

from __future__ import annotations

import threading

import pytest
import tensorflow as tf

from voc_tfdata.pipeline.inline_map import map_inline


@pytest.mark.parametrize("num_calls", [1, 4])
def test_it_gives_what_dataset_map_gives_in_order(num_calls: int) -> None:
    ds = tf.data.Dataset.range(100)
    found = map_inline(ds, lambda i: (i * i, tf.fill([2], i)), num_calls=num_calls)
    wanted = ds.map(lambda i: (i * i, tf.fill([2], i)))
    assert [(a.numpy(), b.numpy().tolist()) for a, b in found] == [(a.numpy(), b.numpy().tolist()) for a, b in wanted]
    assert found.element_spec == wanted.element_spec
    assert len(found) == 100


def test_tuples_become_arguments_and_captured_tensors_are_seen() -> None:
    table = tf.constant([10, 20, 30])
    ds = tf.data.Dataset.from_tensor_slices(([0, 1, 2], [5, 6, 7]))
    found = map_inline(ds, lambda i, x: tf.gather(table, i) + x, num_calls=2)
    assert list(found.as_numpy_iterator()) == [15, 26, 37]


def test_an_endless_data_set_stays_endless() -> None:
    ds = map_inline(tf.data.Dataset.counter(), lambda i: i + 1, num_calls=2)
    assert ds.cardinality() == tf.data.INFINITE_CARDINALITY
    assert list(ds.take(3).as_numpy_iterator()) == [1, 2, 3]


def test_it_works_inside_another_data_set_and_inside_a_function() -> None:
    def count_to(n: tf.Tensor) -> tf.data.Dataset:
        return map_inline(tf.data.Dataset.range(n), lambda i: i + n, num_calls=2)

    assert list(tf.data.Dataset.range(1, 4).flat_map(count_to).as_numpy_iterator()) == [1, 2, 3, 3, 4, 5]

    @tf.function
    def total() -> tf.Tensor:
        return map_inline(tf.data.Dataset.range(4), lambda i: i * 2, num_calls=2).reduce(
            tf.constant(0, tf.int64), lambda a, b: a + b
        )

    assert total() == 12


def test_errors_of_the_function_come_when_their_element_does() -> None:
    ds = map_inline(tf.data.Dataset.from_tensor_slices(["1", "x"]), tf.strings.to_number, num_calls=2)
    batches = iter(ds)
    assert next(batches) == 1
    with pytest.raises(tf.errors.InvalidArgumentError, match="StringToNumberOp"):
        next(batches)


def test_a_single_call_runs_on_the_thread_that_asks() -> None:
    # tf.numpy_function runs on the thread of its op: the asking one, and no other.
    def name(_: tf.Tensor) -> tf.Tensor:
        return tf.numpy_function(lambda: threading.get_ident(), [], tf.int64)

    asked = {int(i) for i in map_inline(tf.data.Dataset.range(20), name)}
    assert len(asked) == 1
