"""Every raw op and private attribute of TensorFlow that the pipeline uses, each with the plain op that replaces it.

    ds = map_inline(ds, load, num_calls=2)               # as ds.map(load, num_parallel_calls=2, deterministic=True)
    payload = read_record_at(path, offset).take(1).get_single_element()
    pixels = map_file(path, shape)                        # uint8, mapped into memory

They are what is fast, and the first thing to break on a new TensorFlow: where one is missing or has changed, the plain
op does the same work more slowly, and one line of the log says so. The results are the same.
"""

from __future__ import annotations

import functools
import math
import os
import struct
from collections.abc import Callable, Sequence
from typing import Any

import google_crc32c
import numpy as np
import tensorflow as tf
from absl import logging
from tensorflow.core.framework.attr_value_pb2 import AttrValue

_CHANGED = (AttributeError, TypeError, ValueError, KeyError)  # what an op that is gone or has other arguments raises


@functools.cache
def _tell(name: str) -> None:
    logging.warning("TensorFlow %s has no %s as this package knows it: a slower way is used", tf.__version__, name)


def map_inline(ds: tf.data.Dataset, function: Callable[..., Any], *, num_calls: int = 1) -> tf.data.Dataset:
    """Returns the data set of function(element), in order, each computed by the thread that asked for it.

    Dataset.map runs its function on an executor that spreads the function's ops over threads. Decoding an image is a
    chain of ops with nothing to spread, but each hand-over wakes a thread. The op below Dataset.map can switch the
    executor off; its Python does not let one ask for that.

    Args:
      ds: its elements are tensors, or tuples of tensors, which become the arguments of `function`.
      function: of TensorFlow ops; returns a tensor or a tuple of tensors. It may hold no control flow (tf.cond,
        tf.while_loop, tf.map_fn), nor sums of three and more tensors of one known shape (a + b + c): the graph
        optimiser makes an accumulator of those, which this executor refuses.
      num_calls: how many elements are worked on at once or wait, finished, to be taken; 1: each is worked on when it
        is asked for, by the thread that asks.
    """
    try:
        return _map_inline(ds, function, num_calls)
    except _CHANGED as err:
        function = tf.autograph.experimental.do_not_convert(function)
        mapped = ds.map(function, num_parallel_calls=num_calls if num_calls > 1 else None, deterministic=True)
        _tell(f"ParallelMapDatasetV2 ({err})")  # after the map, which raises what is wrong with the function itself
        return mapped


def _map_inline(ds: tf.data.Dataset, function: Callable[..., Any], num_calls: int) -> tf.data.Dataset:
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


def read_record_at(path: tf.Tensor, offset: tf.Tensor) -> tf.data.Dataset:
    """Returns a data set that begins with the record at a byte of a TFRecord file: its payload, a string scalar.

    TFRecordDataset can begin at a byte offset; its Python does not let one ask for that. The record's two checksums are
    verified, on any file system that TensorFlow knows.

    Args:
      path: string [1].
      offset: int64 [1], bytes.

    Raises:
      tf.errors.OpError: while iterating: there is no sound record.
    """
    try:
        variant = tf.raw_ops.TFRecordDatasetV2(
            filenames=path,
            compression_type="",
            buffer_size=tf.constant(0, tf.int64),  # 0: read what the record holds, no more
            byte_offsets=offset,
        )
        return tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string))
    except _CHANGED as err:
        _tell(f"TFRecordDatasetV2 ({err})")
        read = tf.numpy_function(_read_frame, [path[0], offset[0]], tf.string)
        return tf.data.Dataset.from_tensors(tf.ensure_shape(read, []))


def _read_frame(path: bytes, offset: int) -> bytes:
    """Returns the payload of the frame at a byte of a TFRecord file; raises ValueError if it is not sound."""

    def masked_crc(data: bytes) -> bytes:
        crc = google_crc32c.value(data)
        return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)

    with open(np.asarray(path).item(), "rb") as file:  # run eagerly, it is an array
        file.seek(offset)
        header = file.read(12)  # uint64 length, masked crc32c
        if masked_crc(header[:8]) != header[8:]:
            raise ValueError(f"corrupted record at {offset}")
        (size,) = struct.unpack("<Q", header[:8])
        payload = file.read(size)
        if len(payload) < size or masked_crc(payload) != file.read(4):
            raise ValueError(f"corrupted record at {offset}")
    return payload


def map_file(path: str | os.PathLike[str], shape: Sequence[int]) -> tf.Tensor:
    """Returns the first bytes of a file as uint8 of a shape, mapped into memory: nothing is read before it is used.

    Use it inside a function of a data set: an element that held it would be saved with the iterator, all the pixels.
    """
    try:
        pixels = tf.raw_ops.ImmutableConst(dtype=tf.uint8, shape=list(shape), memory_region_name=os.fspath(path))
    except _CHANGED as err:
        _tell(f"ImmutableConst ({err})")
        data = tf.strings.substr(tf.io.read_file(os.fspath(path)), 0, math.prod(shape))
        return tf.reshape(tf.io.decode_raw(data, tf.uint8), shape)
    if not tf.executing_eagerly():
        _keep_out_of_constant_folding(pixels)
    return pixels


def _keep_out_of_constant_folding(tensor: tf.Tensor) -> None:
    """Marks the op of a tensor so that TensorFlow's constant folding passes it by.

    It copies what it folds before it looks at the size: all the pixels into memory, at each iteration. It passes by an
    op with this attribute, which, empty, has no other effect (tensorflow/core/common_runtime/constant_folding.cc).
    """
    try:
        tensor.op._set_attr("_scoped_allocator", AttrValue(list=AttrValue.ListValue()))
    except _CHANGED as err:
        _tell(f"Operation._set_attr ({err}); the decoded store is copied into memory")


def check(condition: tf.Tensor, message: Sequence[tf.Tensor | str]) -> list[tf.Operation]:
    """Returns the op that fails unless condition, for tf.control_dependencies; none where it ran eagerly.

    The raw op takes the parts of the message as they are; tf.debugging.Assert would format them for every element that
    is sound.

    Raises:
      tf.errors.InvalidArgumentError: the condition does not hold; eagerly, or when the op runs.
    """
    parts = [tf.convert_to_tensor(part) for part in message]
    try:
        operation = tf.raw_ops.Assert(condition=condition, data=parts)
    except _CHANGED as err:
        _tell(f"Assert ({err})")
        operation = tf.debugging.Assert(condition, parts, summarize=4)
    return [] if operation is None else [operation]


def resize_bilinear(image: tf.Tensor, size: Sequence[int]) -> tf.Tensor:
    """Returns float32 [h, w, C] of an image [H, W, C]: half-pixel centres, no antialias, as cv2.INTER_LINEAR."""
    batch = tf.expand_dims(image, 0)
    try:
        pixels = tf.raw_ops.ResizeBilinear(images=batch, size=list(size), half_pixel_centers=True)
    except _CHANGED as err:
        _tell(f"ResizeBilinear ({err})")
        pixels = tf.image.resize(batch, size, method="bilinear", antialias=False)
    return tf.squeeze(pixels, 0)


def scale_and_translate(
    image: tf.Tensor, size: Sequence[int], *, scale: tf.Tensor, translation: tf.Tensor
) -> tf.Tensor:
    """Returns float32 [h, w, C] of an image [H, W, C], scaled with an antialias triangle and moved by pixels."""
    return tf.squeeze(
        tf.raw_ops.ScaleAndTranslate(
            images=tf.expand_dims(image, 0),
            size=list(size),
            scale=scale,
            translation=translation,
            kernel_type="triangle",
            antialias=True,
        ),
        0,
    )


def random_words(count: int, key: tf.Tensor) -> tf.Tensor:
    """Returns int32 [count] of all bits: the words of tf.random.stateless_uniform by philox, by one op, not twenty.

    Args:
      count: how many.
      key: int64 [2].
    """
    try:
        return tf.raw_ops.StatelessRandomUniformFullInt(shape=[count], seed=key, dtype=tf.int32)
    except _CHANGED as err:
        _tell(f"StatelessRandomUniformFullInt ({err})")
        return tf.random.stateless_uniform([count], key, minval=None, maxval=None, dtype=tf.int32, alg="philox")


def permute(indices: tf.Tensor, key: tf.Tensor, *, size: int, rounds: int) -> tf.Tensor:
    """Returns a permutation of 0..size-1 at `indices` (int64 [n]), keyed by int32 [3]: tf.random's index_shuffle."""
    return tf.raw_ops.RandomIndexShuffle(
        index=indices, seed=key, max_index=tf.constant(size - 1, tf.int64), rounds=rounds
    )
