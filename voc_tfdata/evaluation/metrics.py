"""VOC's average precision, loss and accuracy with ignored cells, and the sign of a collapsed network. numpy only.

    result = mean_average_precision(y_true, y_score)     # labels [N, 20] of 1, 0, -1; scores [N, 20]
    result.mAP, result.definition, result.undefined      # 0.43, "voc2010", ("bottle",)

A label is 1 (present), 0 (absent) or -1 (present only as 'difficult': the cell counts for nothing). Three definitions
of average precision are in use, so whoever prints one names it:

- voc2007: mean of the highest precision at recall >= 0, 0.1, ..., 1. Everingham et al., "The PASCAL Visual Object
  Classes (VOC) Challenge", IJCV 88 (2010); VOCevalcls.m of the VOC2007 development kit.
- voc2010: area under the precision-recall curve after precision is made non-increasing, every recall counts.
  VOC2010 development kit, section 3.4.1, and VOCap.m there.
- step: sum of precision times the rise in recall, nothing interpolated: sklearn.metrics.average_precision_score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from voc_tfdata.classes import VOC_CLASSES, check_class_names

DEFINITIONS = ("voc2007", "voc2010", "step")
PROBABILITY_CLIP = 1e-7  # as keras.backend.epsilon(): no logarithm of 0
COLLAPSE_STD = 1e-3  # VGG16 from scratch that learnt the class frequencies only shows about 1e-5
COLLAPSE_ADVICE = (
    "Flags that help: --batch_norm --learning_rate=1e-4 --warmup_steps=500 (or --flagfile=flags/voc_scratch.flags)."
)

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class MeanAveragePrecision:
    """AP of every class and their mean. All tuples are in the order of class_names."""

    definition: str  # one of DEFINITIONS
    class_names: tuple[str, ...]
    ap: tuple[float, ...]  # 0..1; NaN where the class has no positive
    positives: tuple[int, ...]  # cells labelled 1
    ignored: tuple[int, ...]  # cells labelled -1
    mAP: float  # mean over the classes that have a positive; NaN if none has
    undefined: tuple[str, ...]  # names of the classes without a positive


def average_precision(y_true: npt.ArrayLike, y_score: npt.ArrayLike, definition: str = "voc2010") -> float:
    """Returns the average precision of one class, 0..1, or NaN if no label is 1.

    Examples with equal scores enter the ranking together, as in scikit-learn: precision and recall are taken only
    after the last of them, so the order of the rows cannot matter. (The development kit sorts ties as they come.)
    Recall thresholds of voc2007 are compared in integers, 10 * found >= k * positives: in floating point 3 * 0.1,
    6 * 0.1 and 7 * 0.1 lie above 3/10, 6/10 and 7/10, and the curve's own point at that recall would be missed.

    Args:
      y_true: [N] of 1, 0 and -1; examples labelled -1 are left out.
      y_score: [N] real numbers, higher means more likely present.
      definition: "voc2007", "voc2010" or "step"; see the module's text.

    Raises:
      ValueError: shapes differ or are not [N], a label is none of 1, 0, -1, a score is NaN, or the definition is
        unknown.
    """
    check_definition(definition)
    labels, scores = _check_labels_and_scores(y_true, y_score, ndim=1)
    found, retrieved = _operating_points(labels, scores)
    return area(found, retrieved, int(np.sum(labels == 1)), definition)


def mean_average_precision(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    definition: str = "voc2010",
    class_names: Sequence[str] = VOC_CLASSES,
) -> MeanAveragePrecision:
    """Returns the AP of every class and its mean over the classes that have a positive.

    Args:
      y_true: [N, C] of 1, 0 and -1; cells labelled -1 are left out.
      y_score: [N, C] real numbers, higher means more likely present.
      definition: "voc2007", "voc2010" or "step".
      class_names: C different names, in the order of the columns.

    Raises:
      ValueError: as average_precision, or no example, or class_names do not fit.
    """
    check_definition(definition)
    labels, scores = _check_labels_and_scores(y_true, y_score, ndim=2)
    names = check_class_names(class_names, labels.shape[1])
    ap = tuple(average_precision(labels[:, c], scores[:, c], definition=definition) for c in range(labels.shape[1]))
    positives = np.sum(labels == 1, axis=0).tolist()
    return MeanAveragePrecision(
        definition=definition,
        class_names=names,
        ap=ap,
        positives=tuple(positives),
        ignored=tuple(np.sum(labels == -1, axis=0).tolist()),
        mAP=mean_of_defined(ap),
        undefined=tuple(name for name, n in zip(names, positives, strict=True) if n == 0),
    )


def precision_recall(y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Returns (precision [T], recall [T]) of one class, one point for each different score, recall rising.

    Both are empty if no label is 1. Arguments and errors are those of average_precision.
    """
    labels, scores = _check_labels_and_scores(y_true, y_score, ndim=1)
    found, retrieved = _operating_points(labels, scores)
    if not found.size or not found[-1]:
        return np.empty(0), np.empty(0)
    return found / retrieved, found / found[-1]


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
    """Returns the standard deviation of the predictions [N, C] over pictures, of the class where it is largest.

    Raises:
      ValueError: y_score is not [N, C] with N, C >= 1, or holds NaN.
    """
    return float(np.max(np.std(_check_scores(y_score, ndim=2), axis=0)))


def is_collapsed(y_score: npt.ArrayLike, *, threshold: float = COLLAPSE_STD) -> bool:
    """Returns whether all pictures get the same prediction: no class spreads by `threshold` or more over pictures.

    That is a network which learnt the class frequencies and nothing else. One picture alone tells nothing: False.

    Raises:
      ValueError: y_score is not [N, C] with N, C >= 1, or holds NaN.
    """
    scores = np.asarray(y_score)
    return prediction_spread(scores) < threshold and len(scores) > 1


def check_definition(definition: str) -> None:
    """Raises ValueError unless the definition is one of DEFINITIONS."""
    if definition not in DEFINITIONS:
        raise ValueError(f"definition={definition!r} of average precision; allowed: {', '.join(DEFINITIONS)}")


def check_labels(y_true: npt.ArrayLike, *, ndim: int) -> Ints:
    """Returns labels as integers; raises ValueError unless they are ndim-dimensional and all 1, 0 or -1."""
    labels = np.asarray(y_true)
    _check_shape("y_true", labels, ndim)
    wrong = np.argwhere(~np.isin(labels, (1, 0, -1)))
    if len(wrong):
        where = wrong[0].tolist()
        raise ValueError(
            f"y_true has {labels[tuple(where)]} at {where}; allowed: 1 (present), 0 (absent), -1 (left out)"
        )
    return labels.astype(np.int64)


def area(found: Ints, retrieved: Ints, positives: int, definition: str) -> float:
    """Returns the AP of a curve given by its points [T], as _operating_points has them; NaN without positives.

    Points that find nothing new may be left out: no definition looks at them.
    """
    if not positives:
        return float("nan")
    precision = found / retrieved
    if definition != "step":
        precision = np.maximum.accumulate(precision[::-1])[::-1]  # the highest at this recall or beyond
    if definition == "voc2007":
        first = np.searchsorted(10 * found, positives * np.arange(11))  # integers: 10 * found >= k * positives
        return float(np.mean(precision[first]))
    return float(np.sum(np.diff(found, prepend=0) * precision) / positives)


def mean_of_defined(ap: Sequence[float]) -> float:
    """Returns the mean of those that are not NaN; NaN if all are."""
    defined = [value for value in ap if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


def _operating_points(labels: Ints, scores: Floats) -> tuple[Ints, Ints]:
    """Returns (positives found [T], examples retrieved [T]) down to each different score, highest first."""
    labels, scores = labels[labels != -1], scores[labels != -1]
    order = np.argsort(-scores, kind="stable")
    labels, scores = labels[order], scores[order]
    last_of_tie = np.flatnonzero(np.append(scores[1:] != scores[:-1], scores.size > 0))
    return np.cumsum(labels)[last_of_tie], last_of_tie + 1


def _mean_of_counted(values: npt.NDArray[Any], labels: Ints) -> float:
    counted = labels != -1
    return float(np.mean(values[counted])) if np.any(counted) else float("nan")


def _check_labels_and_scores(y_true: npt.ArrayLike, y_score: npt.ArrayLike, *, ndim: int) -> tuple[Ints, Floats]:
    labels, scores = check_labels(y_true, ndim=ndim), _check_scores(y_score, ndim=ndim)
    if labels.shape != scores.shape:
        raise ValueError(f"y_true has shape {labels.shape}, y_score {scores.shape}; they must be the same")
    return labels, scores


def _check_probabilities(y_true: npt.ArrayLike, y_prob: npt.ArrayLike) -> tuple[Ints, Floats]:
    labels, probabilities = _check_labels_and_scores(y_true, y_prob, ndim=np.ndim(y_true))
    outside = np.argwhere((probabilities < 0) | (probabilities > 1))
    if len(outside):
        where = outside[0].tolist()
        raise ValueError(
            f"y_prob has {probabilities[tuple(where)]} at {where}; allowed: 0..1 (apply the sigmoid to logits)"
        )
    return labels, probabilities


def _check_scores(y_score: npt.ArrayLike, *, ndim: int) -> Floats:
    scores = np.asarray(y_score).astype(np.float64)
    _check_shape("y_score", scores, ndim)
    nans = np.argwhere(np.isnan(scores))
    if len(nans):
        raise ValueError(f"y_score has {len(nans)} NaN, the first at {nans[0].tolist()}: the model diverged")
    return scores


def _check_shape(name: str, array: npt.NDArray[Any], ndim: int) -> None:
    if array.ndim != ndim:
        expected = "[N]" if ndim == 1 else "[N, C]"
        raise ValueError(f"{name} has shape {array.shape}; expected {expected}")
    if ndim == 2 and not array.size:
        raise ValueError(f"{name} has shape {array.shape}: there is no example (or no class) to evaluate")
