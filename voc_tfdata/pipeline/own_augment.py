"""A user's own augmentation: a function of an image and a seed, applied to the images of each batch.

load = augmenting(load, plan, delivery, function)                # load: steps -> batches
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import tensorflow as tf

from voc_tfdata.pipeline.loading import Delivery, StepPlan

NUM_DRAWS = 2  # of each example: 24 random bits a word of the seed
Augment = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def augmenting(
    load: Callable[[tf.data.Dataset], tf.data.Dataset],
    plan: Callable[[tf.Tensor], StepPlan],
    delivery: Delivery,
    function: Augment,
) -> Callable[[tf.data.Dataset], tf.data.Dataset]:
    """Returns a function from steps to batches like `load`, whose images went through `function`, in order.

    By an ordinary map: a function of the user's may hold control flow, which map_inline cannot run.

    Args:
      load: steps (int64 scalars) to batches (images, labels, indices).
      plan: what a step delivers; the last draws of its examples become their seeds.
      delivery: what an image is.
      function: of (image uint8 [H, W, 3], seed int32 [2]) that returns such an image.

    Raises:
      TypeError: the function takes something else.
      ValueError: the function returns something else.
    """
    try:
        inspect.signature(function).bind(None, None)
    except TypeError as err:
        raise TypeError("augment: the function must take (image, seed)") from err
    spec = tf.TensorSpec([*delivery.image_size, 3], tf.uint8)

    def draw_seeds(step: tf.Tensor) -> tf.Tensor:
        _, draws, count = plan(step)
        return tf.cast(draws[:count, -NUM_DRAWS:] * 2.0**24, tf.int32)

    # Traced here: what a function raises while tf.map_fn traces it leaves TensorFlow's variable scope changed.
    augment = tf.function(function).get_concrete_function(spec, tf.TensorSpec([2], tf.int32))
    made = tf.nest.map_structure(tf.convert_to_tensor, augment.structured_outputs)
    if not isinstance(made, tf.Tensor) or made.dtype != spec.dtype or not made.shape.is_compatible_with(spec.shape):
        what = f"{made.dtype.name} {made.shape}" if isinstance(made, tf.Tensor) else type(made).__name__
        raise ValueError(f"augment: the function returns {what}; it must return uint8 {spec.shape}")

    def augment_batch(batch: tuple[tf.Tensor, ...], seeds: tf.Tensor) -> tuple[tf.Tensor, ...]:
        images, labels, indices = batch
        images = tf.map_fn(lambda pair: augment(*pair), (images, seeds), fn_output_signature=spec)
        return images, labels, indices

    def load_augmented(steps: tf.data.Dataset) -> tf.data.Dataset:
        seeds = steps.map(tf.autograph.experimental.do_not_convert(draw_seeds))
        batches = tf.data.Dataset.zip((load(steps), seeds))
        return batches.map(augment_batch, num_parallel_calls=delivery.num_threads, deterministic=True)

    return load_augmented
