"""Keras losses and metrics for multi-hot labels in which -1 stands for "not counted" (difficult="ignore").

model.compile("adam", loss=MaskedBinaryCrossentropy(positive_weights=positive_weights("records/voc2012")),
              metrics=[MaskedBinaryAccuracy()])

Keras' own binary_crossentropy takes -1 for a label and learns from it; its class_weight goes by the argmax of a label
vector, which means nothing where several classes are 1: positive_weights is what is meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from voc_tfdata.evaluation.baselines import counts_as_read
from voc_tfdata.records.split_source import Records, count_labels, find_source
from voc_tfdata.training.losses import weight_positives


def positive_weights(
    records_dir: Records, split: str = "train", *, difficult: str = "positive"
) -> npt.NDArray[np.float32]:
    """Returns for each class how many 0 labels there are for a 1 label; with it, both weigh the same in the loss.

    Args:
      records_dir: as train_dataset takes it.
      split: that is trained on.
      difficult: as train_dataset is told.

    Returns:
      float32 [C]; 1 where a class has no 1 or no 0.

    Raises:
      FileNotFoundError, ValueError: see train_dataset.
    """
    return weight_positives(counts_as_read(*count_labels(find_source(records_dir, split)), difficult=difficult))


@keras.saving.register_keras_serializable("voc_tfdata")
class MaskedBinaryCrossentropy(keras.losses.Loss):
    """Mean binary cross-entropy, in nats, over the cells of a batch that are not labelled -1.

    Args:
      positive_weights: [C] factors on the loss of the cells labelled 1; None is 1.
      label_smoothing: s turns 1 into 1 - s/2 and 0 into s/2.
      from_logits: whether y_pred are logits, which is more exact, or probabilities.

    Called with y_true [B, C] of 1, 0 and -1 and y_pred [B, C]. For the whole batch, as `voc_tfdata train` computes it:
    an image with more cells that count weighs more.
    """

    def __init__(
        self,
        positive_weights: Sequence[float] | npt.NDArray[np.floating] | None = None,
        label_smoothing: float = 0.0,
        from_logits: bool = False,
        name: str = "masked_binary_crossentropy",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.positive_weights = None if positive_weights is None else [float(w) for w in positive_weights]
        self.label_smoothing = label_smoothing
        self.from_logits = from_logits

    def call(self, y_true: Any, y_pred: Any) -> Any:
        ops = keras.ops
        y_pred = ops.convert_to_tensor(y_pred)
        y_true = ops.cast(y_true, y_pred.dtype)
        counted = ops.cast(y_true >= 0, y_pred.dtype)
        targets = ops.maximum(y_true, 0) * (1 - self.label_smoothing) + self.label_smoothing / 2
        weights = 1.0 if self.positive_weights is None else ops.convert_to_tensor(self.positive_weights, y_pred.dtype)
        if self.from_logits:
            cells = weights * targets * ops.softplus(-y_pred) + (1 - targets) * ops.softplus(y_pred)
        else:
            y_pred = ops.clip(y_pred, keras.config.epsilon(), 1 - keras.config.epsilon())
            cells = -weights * targets * ops.log(y_pred) - (1 - targets) * ops.log(1 - y_pred)
        # Keras takes the mean over the images: times the cells that an image counts on average.
        share = ops.maximum(ops.mean(ops.sum(counted, axis=-1)), keras.config.epsilon())
        return ops.sum(cells * counted, axis=-1) / share

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "positive_weights": self.positive_weights,
            "label_smoothing": self.label_smoothing,
            "from_logits": self.from_logits,
        }


@keras.saving.register_keras_serializable("voc_tfdata")
class MaskedBinaryAccuracy(keras.metrics.Metric):
    """Share of the cells not labelled -1 that are right at a threshold.

    Keras' "accuracy" is categorical accuracy for several outputs. Binary accuracy, too, says little of a multi-label
    network, as most cells are 0 anyway: see voc_tfdata.mean_average_precision.

    Args:
      threshold: of y_pred.
    """

    def __init__(self, threshold: float = 0.5, name: str = "masked_binary_accuracy", **options: Any) -> None:
        super().__init__(name=name, **options)
        self.threshold = threshold
        self.right = self.add_weight(shape=(), initializer="zeros", name="right")
        self.counted = self.add_weight(shape=(), initializer="zeros", name="counted")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        ops = keras.ops
        if sample_weight is not None:
            raise ValueError("MaskedBinaryAccuracy has no sample weights; label the cells that are not to count -1")
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        counted = y_true >= 0
        right = ops.logical_and(ops.equal(y_pred > self.threshold, y_true > 0.5), counted)
        self.right.assign_add(ops.sum(ops.cast(right, self.right.dtype)))
        self.counted.assign_add(ops.sum(ops.cast(counted, self.counted.dtype)))

    def result(self) -> Any:
        return keras.ops.divide_no_nan(self.right, self.counted)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"threshold": self.threshold}
