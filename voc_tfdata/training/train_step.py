"""One optimizer step on one batch, on one device or on several."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from voc_tfdata.model.vgg16 import with_logits
from voc_tfdata.training.losses import count_right, cross_entropy_sums


def make_train_step(
    model: keras.Model,
    optimizer: keras.Optimizer,
    strategy: tf.distribute.Strategy,
    *,
    positive_weight: npt.NDArray[np.float32] | None = None,
    label_smoothing: float = 0.0,
    jit_compile: bool = False,
    variables: Sequence[keras.Variable] | None = None,
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns a function that updates the model on a batch.

    The loss of a batch is the sum over the counted cells of the whole batch, divided by their number: how the batch
    is split over devices does not change it. What the layers of a network of one's own add to it (kernel_regularizer,
    add_loss) is added here. The loss that is returned is the plain cross-entropy, without that, class weights and
    smoothing: it can be set beside val_loss and the class frequencies.

    Args:
      model: of build_model, made under the strategy.
      optimizer: made and built under the strategy; its learning rate is set from outside.
      strategy: of choose_strategy.
      positive_weight: see cross_entropy_sums.
      label_smoothing: see cross_entropy_sums.
      jit_compile: whether XLA compiles the step.
      variables: what the step updates, of those that the optimizer was built with; by default all.

    Returns:
      Function of (images uint8 [B, H, W, 3], labels float32 [B, C] of 1, 0, -1), or their per-replica values, that
      returns float32 [4]: sum of the plain loss, cells that are right, cells counted (all before the update), images.
    """
    to_logits = with_logits(model)
    scale_loss = optimizer.scale_loss if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) else tf.identity
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    trained = list(model.trainable_variables if variables is None else variables)
    replicas = strategy.num_replicas_in_sync
    clip_norm = inner.global_clipnorm
    if clip_norm and replicas > 1:
        inner.global_clipnorm = clip_norm / replicas  # see below

    def update(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        replica = tf.distribute.get_replica_context()
        with tf.GradientTape() as tape:
            logits = tf.cast(to_logits(images, training=True), tf.float32)  # those of a user's network may be bfloat16
            loss, counted = cross_entropy_sums(
                labels, logits, positive_weight=positive_weight, label_smoothing=label_smoothing
            )
            counted_everywhere = replica.all_reduce(tf.distribute.ReduceOp.SUM, counted)
            share = loss / tf.maximum(counted_everywhere, 1.0)  # of the batch's loss
            for penalty in to_logits.losses:
                share += tf.cast(penalty, tf.float32) / replicas
            share = scale_loss(share)
        gradients = tape.gradient(share, trained)
        if clip_norm and replicas > 1:
            # Keras clips on each replica before it adds up, so each gets the mean gradient and a share of the limit:
            # what it adds up is the gradient of the whole batch, clipped at the limit.
            gradients = replica.all_reduce(tf.distribute.ReduceOp.MEAN, gradients)
        optimizer.apply(gradients, trained)
        pictures = tf.cast(tf.shape(labels)[0], tf.float32)
        plain, _ = cross_entropy_sums(labels, logits)
        return tf.stack([plain, count_right(labels, logits), counted, pictures])

    # One trace for whole and partial batches. Per-replica values have no such signature: two traces there.
    signature = [
        tf.TensorSpec([None, *model.input_shape[1:]], tf.uint8),
        tf.TensorSpec([None, model.output_shape[-1]], tf.float32),
    ]

    @tf.function(
        input_signature=signature if replicas == 1 else None,
        jit_compile=jit_compile,
        reduce_retracing=replicas > 1,
        autograph=False,  # there is nothing to convert, and looking for it takes seconds
    )
    def train_step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        sums = strategy.run(update, args=(images, labels))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)

    return train_step
