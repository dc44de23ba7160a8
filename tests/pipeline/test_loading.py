"""What becomes of a record on its way into a batch, beyond what the data sets' own tests show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from tests.devkit_fixture import draw_noise, encode, sample, write_devkit
from voc_tfdata.convert.build import build_records
from voc_tfdata.pipeline import loading
from voc_tfdata.pipeline.dataset import eval_dataset
from voc_tfdata.pipeline.loading import apply_difficult, group_rows, set_threads
from voc_tfdata.pipeline.raw_ops import map_inline


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


@pytest.mark.parametrize(
    "share, record_bytes, number, size",
    [
        (32, 91_000, 4, 8),
        (30, 91_000, 4, 8),
        (11, 91_000, 2, 6),
        (1, 91_000, 1, 1),
        (32, 300_000, 11, 3),
        (32, 5_000_000, 32, 1),
    ],
)
def test_a_batch_is_divided_into_groups_of_about_one_size(
    share: int, record_bytes: int, number: int, size: int
) -> None:
    assert group_rows(share, record_bytes) == (number, size)
    assert share <= number * size < share + number


def test_a_group_is_decoded_before_it_is_resized_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = {f"im{k}": sample("dog", picture=encode(draw_noise(20, 20, seed=k), "JPEG")) for k in range(4)}
    build_records(
        write_devkit(tmp_path / "VOC", samples),
        tmp_path / "records",
        split_ratios="train=1",
        num_shards=1,
        num_workers=1,
    )
    graphs = []

    def spy(ds: tf.data.Dataset, function: Callable[..., Any], **options: Any) -> tf.data.Dataset:
        specs = ds.element_spec if isinstance(ds.element_spec, tuple) else (ds.element_spec,)
        graphs.append(tf.function(function, autograph=False).get_concrete_function(*specs).graph)
        return map_inline(ds, function, **options)

    monkeypatch.setattr(loading, "map_inline", spy)
    eval_dataset(tmp_path / "records", "train", batch_size=4, image_size=8)
    ops = graphs[0].get_operations()
    decodes = {op.name for op in ops if op.type == "DecodeJpeg"}
    casts = [op for op in ops if op.type == "Cast" and op.inputs[0].dtype == tf.uint8]
    resizes = [op for op in ops if op.type == "ResizeBilinear"]
    assert len(decodes) == len(casts) == len(resizes) == 4
    for k, cast in enumerate(casts):
        before = ancestors(cast)
        assert decodes <= before
        assert {op.name for op in resizes} & before == {op.name for op in resizes[:k]}


def ancestors(op: tf.Operation) -> set[str]:
    """Returns the names of all ops that must run before one."""
    found: set[str] = set()
    waiting = [op]
    while waiting:
        op = waiting.pop()
        for other in [*(tensor.op for tensor in op.inputs), *op.control_inputs]:
            if other.name not in found:
                found.add(other.name)
                waiting.append(other)
    return found
