"""This package's store of pixels, read inside a tf.function, fifty batches a call: as Keras' steps_per_execution does.

Beside ours.py, which takes every batch by Python's next(): that alone costs a quarter of the time a batch takes here.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from benchmarks.ours import open_dataset
from benchmarks.peers.measure import measure

_STEPS_A_CALL = 50


def make(args: argparse.Namespace) -> Callable[[], int]:
    ds, steps = open_dataset(args)  # before tensorflow is imported: it sets its log level
    import tensorflow as tf

    batches = iter(ds)

    @tf.function
    def read(num_steps: tf.Tensor) -> tf.Tensor:
        images = 0
        for _ in tf.range(num_steps):
            images += tf.shape(next(batches)[0])[0]
        return images

    calls = [min(_STEPS_A_CALL, steps - start) for start in range(0, steps, _STEPS_A_CALL)]
    return lambda: sum(int(read(tf.constant(num_steps))) for num_steps in calls)


if __name__ == "__main__":
    measure(make, {"store": "voc_tfdata, in a tf.function"}, packages=("voc_tfdata", "tensorflow", "numpy"))
