"""Checks of the arguments of the public data set functions: each names the argument, what it is and what it may be."""

from __future__ import annotations

import operator
from typing import Any

import tensorflow as tf

CHOICES = {
    "resize": ("bilinear", "antialias", "pad"),
    "difficult": ("positive", "ignore", "negative"),
    "augment": ("none", "flip", "crop"),
    "cache": ("none", "decoded"),
}


def read_shard(shard: tuple[int, int] | tf.distribute.InputContext, batch_size: int) -> tuple[int, int]:
    """Returns (host, number of hosts).

    Raises:
      TypeError: it is no pair of whole numbers.
      ValueError: there is no such host, or a global batch has not one example for each.
    """
    if isinstance(shard, tf.distribute.InputContext):
        shard = (shard.input_pipeline_id, shard.num_input_pipelines)
    if not isinstance(shard, (tuple, list)) or len(shard) != 2:
        raise TypeError(f"shard={shard!r}; it is (host, number of hosts), or a tf.distribute.InputContext")
    host, num_hosts = shard
    check_whole(shard_host=host, shard_hosts=num_hosts, batch_size=batch_size)
    if not 0 <= host < num_hosts:
        raise ValueError(f"shard={shard}; it is (host, number of hosts), hosts counted from 0")
    if num_hosts > batch_size:
        raise ValueError(
            f"batch_size={batch_size} is over all hosts, and there are {num_hosts}: give each at least one"
        )
    return host, num_hosts


def check_whole(**numbers: Any) -> None:
    """Raises TypeError for what is no whole number."""
    for name, number in numbers.items():
        try:
            operator.index(number)  # NumPy's whole numbers have one, too
        except TypeError:
            raise TypeError(
                f"{name}={number!r} is of type {type(number).__name__}; it must be a whole number"
            ) from None


def check_numbers(**numbers: int | None) -> None:
    """Raises TypeError for what is no whole number, ValueError for one below 1; None passes where it has a meaning."""
    check_whole(**{name: n for name, n in numbers.items() if n is not None or name == "batch_size"})
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise ValueError(f"{name}={number}; it must be 1 or more")


def check_ranges(*, start_step: int, seed: int, color_jitter: float) -> None:
    """Raises TypeError for what is no such number, ValueError for a number out of its range."""
    check_whole(start_step=start_step, seed=seed)
    if isinstance(color_jitter, str) or not hasattr(color_jitter, "__float__"):
        raise TypeError(f"color_jitter={color_jitter!r} is of type {type(color_jitter).__name__}; it must be a number")
    if start_step < 0:
        raise ValueError(f"start_step={start_step}; it must be 0 or more")
    if not -(2**63) <= seed < 2**63:
        raise ValueError(f"seed={seed}; it must fit 64 bits")
    if not 0 <= color_jitter <= 1:
        raise ValueError(f"color_jitter={color_jitter}; it must be 0 to 1")


def check_choices(**chosen: str) -> None:
    """Raises ValueError for a value that is not among the CHOICES of its name."""
    for name, value in chosen.items():
        if value not in CHOICES[name]:
            raise ValueError(f"{name}={value!r}; it is one of: {', '.join(CHOICES[name])}")
