"""One pass of a model over a data set: ids, labels and probabilities side by side.

dataset = eval_dataset("records/voc2012", "test", image_size=224, difficult="ignore", with_ids=True)
ids, y_true, y_score = evaluate(model, dataset)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf


class Predictions(NamedTuple):
    """What a model says of every image of a data set, row by row."""

    ids: list[str]  # [N]
    y_true: npt.NDArray[np.float32]  # [N, C] of 1, 0 and -1
    y_score: npt.NDArray[np.float32]  # [N, C] probabilities


def evaluate(model: keras.Model, dataset: tf.data.Dataset) -> Predictions:
    """Returns the predictions of a model for a finite data set, in its order, from one pass.

    Args:
      model: from uint8 [B, H, W, 3] to probabilities float32 [B, C].
      dataset: of (images, labels float32 [B, C], ids string [B]), as eval_dataset(..., with_ids=True) has it.

    Raises:
      ValueError: the data set is empty, has no ids, or other classes than the model has outputs.
    """
    return collect_predictions(make_predictor(model), dataset)


def make_predictor(model: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function of uint8 images [B, H, W, 3] that is traced once, however often it is used."""
    signature = [tf.TensorSpec([None, *model.input_shape[1:]], tf.uint8)]

    @tf.function(input_signature=signature, autograph=False)
    def predict(images: tf.Tensor) -> tf.Tensor:
        return tf.cast(model(images, training=False), tf.float32)

    return predict


def collect_predictions(predict: Callable[[tf.Tensor], tf.Tensor], dataset: tf.data.Dataset) -> Predictions:
    """Returns what a function of make_predictor says of a data set; see evaluate."""
    if len(dataset.element_spec) != 3:
        raise ValueError("evaluate needs the ids of the images: eval_dataset(..., with_ids=True)")
    ids: list[str] = []
    labels, scores = [], []
    for images, batch_labels, batch_ids in dataset:
        scores.append(predict(images).numpy())
        labels.append(batch_labels.numpy())
        if labels[0].shape[1] != scores[0].shape[1]:
            outputs, classes = scores[0].shape[1], labels[0].shape[1]
            raise ValueError(f"the model has {outputs} outputs, the data set {classes} classes")
        ids.extend(image_id.decode() for image_id in batch_ids.numpy())
    if not ids:
        raise ValueError("evaluate got an empty data set")
    return Predictions(ids, np.concatenate(labels), np.concatenate(scores))
