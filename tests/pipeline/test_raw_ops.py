"""The raw ops: map_inline against Dataset.map, and each op with the plain one that replaces it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from voc_tfdata.pipeline import raw_ops
from voc_tfdata.pipeline.raw_ops import map_inline
from voc_tfdata.remote.frames import frame_record


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


# One test for each raw op and private attribute: what it gives, and that the plain op gives the same where it is gone.


@pytest.fixture(params=["as it is", "gone"])
def raw(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns a function that takes an op out of TensorFlow, in the second run of a test, and checks the log line."""
    raw_ops._tell.cache_clear()

    def take_out(*names: str) -> None:
        if request.param == "gone":
            for name in names:
                monkeypatch.delattr(f"tensorflow.raw_ops.{name}")

    yield take_out
    assert raw_ops._tell.cache_info().currsize == (request.param == "gone")  # one line of the log, or none


def test_map_inline_without_its_op_is_dataset_map(raw: Any) -> None:
    raw("ParallelMapDatasetV2")
    ds = map_inline(tf.data.Dataset.range(5), lambda i: (i * 2, -i), num_calls=3)
    assert [(a.numpy(), b.numpy()) for a, b in ds] == [(2 * i, -i) for i in range(5)]


@pytest.mark.parametrize("eagerly", [True, False])
def test_a_record_is_read_at_its_place(raw: Any, eagerly: bool, tmp_path: Path) -> None:
    raw("TFRecordDatasetV2")
    frames = [frame_record(b"first"), frame_record(b"second")]
    path, place = str(tmp_path / "a.tfrecord"), len(frames[0])
    Path(path).write_bytes(b"".join(frames))

    def read(offset: tf.Tensor) -> tf.Tensor:
        return raw_ops.read_record_at(tf.constant([path]), offset[None]).take(1).get_single_element()

    function = read if eagerly else tf.function(read)
    assert function(tf.constant(place, tf.int64)).numpy() == b"second"
    assert function(tf.constant(0, tf.int64)).numpy() == b"first"
    Path(path).write_bytes(frames[0] + frames[1][:-1] + b"x")
    with pytest.raises((tf.errors.OpError, ValueError), match="corrupted|truncated"):
        function(tf.constant(place, tf.int64))


def test_a_file_is_mapped_as_pixels(raw: Any, tmp_path: Path) -> None:
    raw("ImmutableConst")
    (tmp_path / "store").write_bytes(bytes(range(12)) + b"trailer")
    ds = tf.data.Dataset.range(2).map(lambda i: raw_ops.map_file(tmp_path / "store", [2, 2, 3])[i])
    assert [t.numpy().tolist() for t in ds] == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]


def test_a_mapped_file_without_the_attribute_is_the_same_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw_ops._tell.cache_clear()
    set_attr = tf.Operation._set_attr

    def refuse_ours(operation: tf.Operation, name: str, value: Any) -> None:
        if name == "_scoped_allocator":
            raise AttributeError("'Operation' object has no attribute '_set_attr'")
        set_attr(operation, name, value)

    monkeypatch.setattr(tf.Operation, "_set_attr", refuse_ours)
    (tmp_path / "store").write_bytes(bytes(range(3)))
    ds = tf.data.Dataset.range(1).map(lambda i: raw_ops.map_file(tmp_path / "store", [1, 3])[i])
    assert next(iter(ds)).numpy().tolist() == [0, 1, 2]
    assert raw_ops._tell.cache_info().currsize == 1


@pytest.mark.parametrize("eagerly", [True, False])
def test_a_check_names_what_is_wrong(raw: Any, eagerly: bool) -> None:
    raw("Assert")

    def double(number: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies(raw_ops.check(number < 3, ["number", number, "is too large"])):
            return number * 2

    function = double if eagerly else tf.function(double)
    assert function(tf.constant(2)) == 4
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?s)number.*7.*is too large"):
        function(tf.constant(7))


def test_bilinear_resizing_takes_half_pixel_centres(raw: Any) -> None:
    raw("ResizeBilinear")
    row = tf.constant([[[0.0], [4.0]]])  # [1, 2, 1]
    # Centres of 4 pixels over 2 lie at -0.25, 0.25, 0.75, 1.25: the ends are held, between them 1/4 and 3/4 of the way.
    assert raw_ops.resize_bilinear(row, [1, 4]).numpy().ravel().tolist() == [0.0, 1.0, 3.0, 4.0]


def test_words_are_those_of_philox(raw: Any) -> None:
    raw("StatelessRandomUniformFullInt")
    key = tf.constant([3, 7], tf.int64)
    wanted = tf.random.stateless_uniform([5], key, minval=None, maxval=None, dtype=tf.int32, alg="philox")
    assert raw_ops.random_words(5, key).numpy().tolist() == wanted.numpy().tolist()


def test_ops_without_a_plain_one_are_there() -> None:
    image = tf.constant([[[0.0], [4.0]], [[0.0], [4.0]]])
    one = tf.constant([0.5, 0.5])
    found = raw_ops.scale_and_translate(image, [1, 1], scale=one, translation=tf.zeros([2]))
    assert found.numpy().ravel().tolist() == [2.0]
    shuffled = raw_ops.permute(tf.range(9, dtype=tf.int64), tf.constant([1, 2, 3], tf.uint32), size=9, rounds=4)
    assert sorted(shuffled.numpy().tolist()) == list(range(9))
