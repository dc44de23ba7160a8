"""The checks at the door of the data sets: each error names the argument, what it is and what it may be."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

from voc_tfdata.pipeline import arguments


def test_a_shard_is_a_pair_or_tensorflows_context() -> None:
    assert arguments.read_shard((1, 3), 8) == (1, 3)
    context = tf.distribute.InputContext(num_input_pipelines=4, input_pipeline_id=2, num_replicas_in_sync=4)
    assert arguments.read_shard(context, 8) == (2, 4)


@pytest.mark.parametrize(("shard", "batch_size"), [((3, 3), 8), ((-1, 3), 8), ((0, 9), 8)])
def test_a_shard_that_is_none_is_refused(shard: tuple[int, int], batch_size: int) -> None:
    with pytest.raises(ValueError, match="shard=.*counted from 0|batch_size=8 is over all hosts, and there are 9"):
        arguments.read_shard(shard, batch_size)


@pytest.mark.parametrize("value", [0, -3])
def test_a_number_below_one_is_named(value: int) -> None:
    arguments.check_numbers(batch_size=1, num_threads=None)
    with pytest.raises(ValueError, match=f"image_size={value}; it must be 1 or more"):
        arguments.check_numbers(image_size=value)


@pytest.mark.parametrize("changed", [{"start_step": -1}, {"seed": 2**63}, {"color_jitter": 1.5}])
def test_a_number_out_of_its_range_is_named(changed: dict[str, Any]) -> None:
    numbers: dict[str, Any] = {"start_step": 0, "seed": -(2**63), "color_jitter": 1.0}
    arguments.check_ranges(**numbers)
    (name,) = changed
    with pytest.raises(ValueError, match=name):
        arguments.check_ranges(**(numbers | changed))


@pytest.mark.parametrize("name", arguments.CHOICES)
def test_another_word_is_refused_with_those_there_are(name: str) -> None:
    for value in arguments.CHOICES[name]:
        arguments.check_choices(**{name: value})
    with pytest.raises(ValueError, match=f"{name}='nope'; it is one of: {', '.join(arguments.CHOICES[name])}"):
        arguments.check_choices(**{name: "nope"})
