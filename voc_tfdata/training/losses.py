"""Binary cross-entropy and accuracy that leave out cells labelled -1 ("difficult": neither present nor absent).

    loss, counted = cross_entropy_sums(labels, logits)
    loss / counted                                        # the mean over the counted cells of the batch

Keras' metrics=["accuracy"] is categorical accuracy for 20 outputs (the share of images whose highest score is the
right one) and its losses take -1 for a label; neither is meant here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from voc_tfdata.evaluation.baselines import LabelCounts


def cross_entropy_sums(
    labels: tf.Tensor,
    logits: tf.Tensor,
    *,
    positive_weight: npt.NDArray[np.float32] | None = None,
    label_smoothing: float = 0.0,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (sum of the cross-entropy in nats, number of cells) over the cells not labelled -1.

    Computed on logits, so neither loss nor gradient is cut off where the sigmoid saturates.

    Args:
      labels: float32 [B, C] of 1, 0 and -1.
      logits: float32 [B, C].
      positive_weight: [C] factors on the loss of the cells labelled 1; None is 1.
      label_smoothing: s turns 1 into 1 - s/2 and 0 into s/2.

    Returns:
      Two float32 scalars.
    """
    counted = labels >= 0
    targets = tf.where(counted, labels, 0.0) * (1 - label_smoothing) + label_smoothing / 2
    weight = tf.ones(labels.shape[-1]) if positive_weight is None else tf.constant(positive_weight, tf.float32)
    # -ln sigmoid(x) = softplus(-x). tf.nn.weighted_cross_entropy_with_logits has the gradient of 0 wrong at x = 0.
    losses = weight * targets * tf.nn.softplus(-logits) + (1 - targets) * tf.nn.softplus(logits)  # [B, C]
    losses = tf.where(counted, losses, 0.0)
    return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(counted, tf.float32))


def count_right(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns how many cells not labelled -1 are right at probability 0.5, a float32 scalar.

    Args:
      labels: float32 [B, C] of 1, 0 and -1.
      logits: float32 [B, C]; above 0 is "present".
    """
    right = tf.equal(logits > 0, labels > 0.5) & (labels >= 0)
    return tf.reduce_sum(tf.cast(right, tf.float32))


def weight_positives(counts: LabelCounts) -> npt.NDArray[np.float32]:
    """Returns for each class how many 0 labels there are for a 1 label; with it, both weigh the same in the loss.

    Args:
      counts: of the labels trained on.

    Returns:
      float32 [C]; 1 where a class has no 1 or no 0.
    """
    positives = np.asarray(counts.positives)
    negatives = counts.num_examples - np.asarray(counts.ignored) - positives
    defined = (positives > 0) & (negatives > 0)
    return np.where(defined, negatives / np.maximum(positives, 1), 1).astype(np.float32)


def class_frequencies(counts: LabelCounts) -> npt.NDArray[np.float64]:
    """Returns [C] the share of 1 among the labels that are 1 or 0; 0 where a class has neither."""
    return np.asarray(counts.positives) / np.maximum(counts.num_examples - np.asarray(counts.ignored), 1)
