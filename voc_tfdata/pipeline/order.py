"""The whole of shuffling, sharding and resuming: (seed, epoch, step, host) -> example indices, as pure functions.

    batch = batch_of_step(step, num_examples=5717, batch_size=32, seed=0)
    batch.indices, batch.count                                   # what step `step` delivers
    draws = uniform_draws(batch.indices, batch.epoch, num_draws=3, seed=0)   # in [0, 1), its augmentation

Nothing here has a state: a training position is one integer, the global step. All functions take and return
tensors, eagerly or in a graph, and give the same numbers on every TensorFlow that this package supports.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from voc_tfdata.pipeline import raw_ops

_WORDS = (3, 1, 3, 3)  # of an epoch: key of the first cipher, rotation, key of the second; key of the draws
_ROUNDS = 8  # of the cipher; TensorFlow's index_shuffle has 4, its least


class Batch(NamedTuple):
    """What one host delivers at one step."""

    epoch: tf.Tensor  # int64 scalar
    indices: tf.Tensor  # int64 [P], P the largest share of a host; from `count` on they repeat the first
    count: tf.Tensor  # int64 scalar, 0..P: how many of them are delivered


def steps_in_epoch(num_examples: int, batch_size: int, *, drop_remainder: bool = False) -> int:
    """Returns the number of global batches of one epoch.

    Raises:
      ValueError: drop_remainder leaves none, as the split is smaller than a batch.
    """
    if drop_remainder and num_examples < batch_size:
        raise ValueError(
            f"batch_size={batch_size} with drop_remainder=True leaves no batch of {num_examples} examples; "
            "take a smaller batch_size or drop_remainder=False"
        )
    return num_examples // batch_size if drop_remainder else -(-num_examples // batch_size)


def host_share(batch_size: int, shard: tuple[int, int]) -> int:
    """Returns how many examples of a full global batch host shard[0] of shard[1] delivers."""
    host, num_hosts = shard
    return (batch_size + num_hosts - 1 - host) // num_hosts


def batch_of_step(
    step: tf.Tensor,
    *,
    num_examples: int,
    batch_size: int,
    seed: int,
    shard: tuple[int, int] = (0, 1),
    drop_remainder: bool = False,
) -> Batch:
    """Returns the examples that one host delivers at a global step.

    An epoch is a permutation of all examples, cut into global batches of `batch_size`; the last one is shorter, or
    dropped. Each host takes a contiguous part of the global batch: the parts differ by at most one example.

    Args:
      step: int64 scalar >= 0, counted over all epochs.
      num_examples: of the split.
      batch_size: of the global batch, over all hosts.
      seed: any int64.
      shard: (host, number of hosts).
      drop_remainder: whether an epoch leaves out its last partial batch.
    """
    host, num_hosts = shard
    step = tf.convert_to_tensor(step, tf.int64)
    steps = steps_in_epoch(num_examples, batch_size, drop_remainder=drop_remainder)
    epoch, batch = step // steps, step % steps
    first = batch * batch_size
    in_batch = tf.minimum(tf.constant(batch_size, tf.int64), num_examples - first)
    start = first + host * (in_batch // num_hosts) + tf.minimum(tf.constant(host, tf.int64), in_batch % num_hosts)
    count = (in_batch + num_hosts - 1 - host) // num_hosts
    row = tf.range(host_share(batch_size, shard), dtype=tf.int64)
    positions = tf.minimum(start + tf.where(row < count, row, 0), num_examples - 1)
    return Batch(epoch, shuffle_positions(positions, epoch, num_examples=num_examples, seed=seed), count)


def shuffle_positions(positions: tf.Tensor, epoch: tf.Tensor, *, num_examples: int, seed: int) -> tf.Tensor:
    """Returns the example index at each position of an epoch: a permutation of 0..num_examples-1.

    tf.random.experimental.index_shuffle is a block cipher over 0..num_examples-1: it costs no memory, but it is weak
    where it is small. Of each word of its key it takes as many bits as half a block has, so that under 65,536 examples
    seeds 0 and 256 give the same order and epochs repeat after 256; consecutive epochs of 11,540 examples have a rank
    correlation of 0.15. So its key comes from a generator, and it is applied twice with a rotation in between, at 8
    rounds. Over 3,000 epochs, the places of an example and the distances of neighbours are then distributed as those
    of numpy's permutations are.

    Args:
      positions: int64 [n], 0..num_examples-1.
      epoch: int64 scalar.
      num_examples: of the split.
      seed: any int64.
    """
    first_key, rotation, second_key, _ = _epoch_words(seed, epoch)
    positions = _encipher(positions, first_key, num_examples)
    positions = (positions + tf.cast(rotation & 0x7FFFFFFF, tf.int64)) % num_examples
    return _encipher(positions, second_key, num_examples)


def uniform_draws(indices: tf.Tensor, epoch: tf.Tensor, *, num_draws: int, seed: int) -> tf.Tensor:
    """Returns random numbers that depend on nothing but (seed, epoch, index) and their place in the row.

    Args:
      indices: int64 [n] example indices, below 2**27.
      epoch: int64 scalar.
      num_draws: how many numbers an example needs, 1 to 32.
      seed: any int64.

    Returns:
      float32 [n, num_draws] in [0, 1).
    """
    counters = indices[:, None] + tf.range(num_draws, dtype=tf.int64) * 2**27
    *_, key = _epoch_words(seed, epoch)
    words = _encipher(tf.reshape(counters, [-1]), key, 2**32)
    # 24 bits: all that float32 holds below 1, so that no number is rounded up to it.
    draws = tf.cast(words // 2**8, tf.float32) * 2.0**-24
    return tf.reshape(draws, [-1, num_draws])


def _epoch_words(seed: int, epoch: tf.Tensor) -> list[tf.Tensor]:
    """Returns int32 vectors of _WORDS numbers each."""
    key = tf.stack([tf.constant(seed, tf.int64), tf.convert_to_tensor(epoch, tf.int64)])
    return tf.split(raw_ops.random_words(sum(_WORDS), key), _WORDS)


def _encipher(numbers: tf.Tensor, key: tf.Tensor, size: int) -> tf.Tensor:
    """Returns a permutation of 0..size-1 at `numbers`."""
    return raw_ops.permute(numbers, key, size=size, rounds=_ROUNDS)
