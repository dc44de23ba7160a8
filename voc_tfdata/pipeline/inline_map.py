"""Dataset.map whose function runs on the thread that called it, without handing each op to a thread pool.

ds = map_inline(ds, load, num_calls=2)            # as ds.map(load, num_parallel_calls=2, deterministic=True)

Dataset.map runs its function on an executor that spreads the function's ops over threads. Decoding a picture is a
chain of ops with nothing to spread, but each hand-over wakes a thread: of the 70 us that fetching a small record took
so, 56 us were that. The op below Dataset.map can switch it off, its Python does not let one ask for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def map_inline(ds: tf.data.Dataset, function: Callable[..., Any], *, num_calls: int = 1) -> tf.data.Dataset:
    """Returns the data set of function(element), in order.

    Args:
      ds: its elements are tensors, or tuples of tensors, which become the arguments of `function`.
      function: of TensorFlow ops; returns a tensor or a tuple of tensors. It may hold no control flow (tf.cond,
        tf.while_loop, tf.map_fn), nor sums of three and more tensors of one known shape (a + b + c): the graph
        optimiser makes an accumulator of those, which this executor refuses.
      num_calls: how many elements are worked on at once or wait, finished, to be taken; 1: each is worked on when it
        is asked for, by the thread that asks.
    """
    spec = ds.element_spec
    with tf.device("CPU:0"):  # where data sets live: a device scope of the caller is not for them
        # The attribute is what Dataset.map gives its functions, too: it tells the graph optimiser whose they are.
        attributes = {"_tf_data_function": True}
        traced = tf.function(function, autograph=False, experimental_attributes=attributes).get_concrete_function(
            *(spec if isinstance(spec, tuple) else (spec,))
        )
        out_spec = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), traced.structured_outputs)
        flat_spec = tf.nest.flatten(out_spec)
        arguments = {
            "input_dataset": tf.data.experimental.to_variant(ds),
            "other_arguments": traced.captured_inputs,
            "f": traced,
            "output_types": [s.dtype for s in flat_spec],
            "output_shapes": [s.shape for s in flat_spec],
            "use_inter_op_parallelism": False,
            "preserve_cardinality": True,
        }
        if num_calls == 1:
            variant = tf.raw_ops.MapDataset(**arguments)
        else:
            variant = tf.raw_ops.ParallelMapDatasetV2(
                num_parallel_calls=tf.constant(num_calls, tf.int64), deterministic="true", **arguments
            )
        return tf.data.experimental.from_variant(variant, out_spec)
