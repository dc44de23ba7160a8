"""The numbers an epoch is judged by, which way they are better, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from voc_tfdata.evaluation import metrics
from voc_tfdata.evaluation.average_precision import mean_average_precision

if TYPE_CHECKING:
    from voc_tfdata.evaluation.predictions import Predictions

# Name -> whether higher is better.
MONITORS: Mapping[str, bool] = {
    "val_loss": False,
    "val_mAP": True,
    "val_binary_accuracy": True,
    "loss": False,
    "binary_accuracy": True,
}


def is_better(value: float, best: float | None, monitor: str) -> bool:
    """Returns whether a value of the monitor beats the best so far (None: there is none); NaN never does."""
    if math.isnan(value):
        return False
    if best is None:
        return True
    return value > best if MONITORS[monitor] else value < best


def score_epoch(predictions: Predictions, *, definition: str) -> dict[str, float]:
    """Returns val_loss, val_binary_accuracy and val_mAP of a validation pass.

    val_loss is the plain binary cross-entropy, without class weights or label smoothing: it can be set beside the
    baselines and other runs.

    Args:
      predictions: of evaluate.
      definition: of average precision.

    Raises:
      FloatingPointError: the model predicts NaN.
    """
    _, y_true, y_score = predictions
    if any(math.isnan(score) for score in y_score.sum(axis=1).tolist()):
        raise FloatingPointError("the model predicts NaN for images of the validation split")
    names = [str(c) for c in range(y_true.shape[1])]
    mean = mean_average_precision(y_true, y_score, definition=definition, class_names=names)
    return {
        "val_loss": metrics.binary_cross_entropy(y_true, y_score),
        "val_binary_accuracy": metrics.binary_accuracy(y_true, y_score),
        "val_mAP": mean.mAP,
    }


def why_finished(
    *, step: int, total_steps: int, max_steps: int, epochs_without_better: int, patience: int, monitor: str
) -> str:
    """Returns why there is nothing left to train, or "".

    Args:
      step: steps done.
      total_steps: of all epochs.
      max_steps: 0 is no limit.
      epochs_without_better: since the best one.
      patience: so many of them end the training; 0 never does.
      monitor: for the sentence.
    """
    if step >= total_steps:
        return "all epochs are done"
    if max_steps and step >= max_steps:
        return f"--max_steps={max_steps} are done"
    if patience and epochs_without_better >= patience:
        return f"no better {monitor} for {patience} epochs (--patience)"
    return ""
