"""Loss and accuracy with ignored cells, and the sign of a collapsed network. numpy only.

binary_cross_entropy(y_true, y_score), binary_accuracy(y_true, y_score)      # cells labelled -1 are excluded
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from voc_tfdata.evaluation.labels import Floats, Ints, check_labels_and_scores, check_scores

PROBABILITY_CLIP = 1e-7  # as keras.backend.epsilon(): no logarithm of 0
COLLAPSE_STD = 1e-3  # VGG16 from scratch that learnt the class frequencies only shows about 1e-5
_COLLAPSE_ADVICE = "what helps: --learning_rate=1e-4 --warmup_steps=500, and with vgg16 --batch_norm"
_AS_FREQUENCIES = 1.2  # times the loss that the class frequencies alone give, at most, where they are what was learnt
_DIVERGED = 1.5  # times the loss that the class frequencies alone give
_UNLEARNT = 0.02  # nats about ln 2, which answering 0.5 everywhere gives


def binary_cross_entropy(y_true: npt.ArrayLike, y_prob: npt.ArrayLike) -> float:
    """Returns the mean binary cross-entropy (nats) over all cells not labelled -1; NaN if there is none.

    In float64, with probabilities clipped to [1e-7, 1 - 1e-7] as Keras does, so a certain wrong answer costs 16.1.

    Args:
      y_true: of 1, 0 and -1, any shape.
      y_prob: the same shape, probabilities in 0..1.

    Raises:
      ValueError: shapes differ, or a label or probability is out of its range.
    """
    labels, probabilities = _check_probabilities(y_true, y_prob)
    clipped = np.clip(probabilities, PROBABILITY_CLIP, 1 - PROBABILITY_CLIP)
    losses = -np.log(np.where(labels == 1, clipped, 1 - clipped))
    return _mean_of_counted(losses, labels)


def binary_accuracy(y_true: npt.ArrayLike, y_prob: npt.ArrayLike) -> float:
    """Returns the share of cells not labelled -1 that are right at 0.5 (above is "present", as Keras has it).

    NaN if there is no such cell. Arguments and errors are those of binary_cross_entropy.
    """
    labels, probabilities = _check_probabilities(y_true, y_prob)
    return _mean_of_counted((probabilities > 0.5) == (labels == 1), labels)


def prediction_spread(y_score: npt.ArrayLike) -> float:
    """Returns the standard deviation of the predictions [N, C] over images, of the class where it is largest.

    Raises:
      ValueError: y_score is not [N, C] with N, C >= 1, or holds NaN.
    """
    return float(np.max(np.std(check_scores(y_score, ndim=2), axis=0)))


def is_collapsed(y_score: npt.ArrayLike, *, threshold: float = COLLAPSE_STD) -> bool:
    """Returns whether all images get the same prediction: no class spreads by `threshold` or more over images.

    describe_collapse says what became of such a network. One image alone tells nothing: False.

    Raises:
      ValueError: y_score is not [N, C] with N, C >= 1, or holds NaN.
    """
    scores = np.asarray(y_score)
    return prediction_spread(scores) < threshold and len(scores) > 1


def describe_collapse(loss: float | None, prior_loss: float | None) -> str:
    """Returns what became of a network that predicts the same for every image: told by its loss.

    Args:
      loss: binary cross-entropy, nats.
      prior_loss: that of predicting the class frequencies of the training labels; None where they are not known.
    """
    if loss is not None and abs(loss - np.log(2)) < _UNLEARNT:
        return "unlearnt: the network answers 0.5 everywhere; train it longer, or with a higher --learning_rate"
    if loss is None or prior_loss is None:
        return f"collapsed: the network does not look at the images; {_COLLAPSE_ADVICE}"
    if loss > max(_DIVERGED * prior_loss, np.log(2)):  # worse than answering 0.5 everywhere
        return (
            f"diverged: the loss, {loss:.3g}, is {loss / prior_loss:.1f} times that of the class frequencies alone; "
            "lower --learning_rate, or set --clip_norm=1 or --warmup_steps=500"
        )
    if loss > _AS_FREQUENCIES * prior_loss:
        return (
            f"unlearnt: the loss is {loss:.3g}, and the class frequencies alone give {prior_loss:.3g}; train it "
            "longer, or with a higher --learning_rate"
        )
    return f"collapsed: the network learnt the class frequencies and nothing else; {_COLLAPSE_ADVICE}"


def _mean_of_counted(values: npt.NDArray[Any], labels: Ints) -> float:
    counted = labels != -1
    return float(np.mean(values[counted])) if np.any(counted) else float("nan")


def _check_probabilities(y_true: npt.ArrayLike, y_prob: npt.ArrayLike) -> tuple[Ints, Floats]:
    labels, probabilities = check_labels_and_scores(y_true, y_prob, ndim=np.ndim(y_true))
    outside = np.argwhere((probabilities < 0) | (probabilities > 1))
    if len(outside):
        where = outside[0].tolist()
        raise ValueError(
            f"y_prob has {probabilities[tuple(where)]} at {where}; allowed: 0..1 (apply the sigmoid to logits)"
        )
    return labels, probabilities
