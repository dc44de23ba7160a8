"""One pass of a model over a data set: ids, labels and probabilities side by side.

dataset = eval_dataset("records/voc2012", "test", image_size=224, difficult="ignore", with_ids=True)
ids, y_true, y_score = evaluate(model, dataset)
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf


class Predictions(NamedTuple):
    """What a model says of every picture of a data set, row by row."""

    ids: list[str]  # [N]
    y_true: npt.NDArray[np.float32]  # [N, C] of 1, 0 and -1
    y_score: npt.NDArray[np.float32]  # [N, C] probabilities


def evaluate(model: keras.Model, dataset: tf.data.Dataset) -> Predictions:
    """Returns the predictions of a model for a finite data set, in its order, from one pass.

    Args:
      model: from uint8 [B, S, S, 3] to probabilities float32 [B, C].
      dataset: of (images, labels float32 [B, C], ids string [B]), as eval_dataset(..., with_ids=True) has it.

    Raises:
      ValueError: the data set is empty or has no ids.
    """
    if len(dataset.element_spec) != 3:
        raise ValueError("evaluate needs the ids of the pictures: eval_dataset(..., with_ids=True)")

    @tf.function(input_signature=[dataset.element_spec[0]], autograph=False)
    def predict(images: tf.Tensor) -> tf.Tensor:
        return model(images, training=False)

    ids: list[str] = []
    labels, scores = [], []
    for images, batch_labels, batch_ids in dataset:
        scores.append(predict(images).numpy())
        labels.append(batch_labels.numpy())
        ids.extend(image_id.decode() for image_id in batch_ids.numpy())
    if not ids:
        raise ValueError("evaluate got an empty data set")
    return Predictions(ids, np.concatenate(labels), np.concatenate(scores))
