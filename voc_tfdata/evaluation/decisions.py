"""What a reader needs to act on an evaluation: how sure mAP is, where to put thresholds, what is taken for what.

interval = bootstrap_mAP(y_true, y_score)                 # (0.61, 0.74)
table = operating_points(y_true, y_score)                 # of each class: best threshold, F1, precision and recall
curve = calibration(y_true, y_score)                      # whether 0.8 means right in 8 of 10
confused = false_alarms(y_true, y_score)                  # [C, C]

numpy only. Cells labelled -1 are left out everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voc_tfdata.evaluation.average_precision import area, check_definition, mean_of_defined
from voc_tfdata.evaluation.labels import Floats, Ints, check_labels_and_scores

_TRIALS = 200
_LEVEL = 0.95
_BINS = 10


@dataclass(frozen=True)
class OperatingPoint:
    """Of one class. NaN where it is not defined."""

    best_threshold: float  # "present" is above it: the one with the highest F1, found on these very labels
    best_f1: float  # at it
    precision: float  # at 0.5; NaN if nothing is above
    recall: float  # at 0.5; NaN without a positive
    calibration_error: float  # of this class alone, see Calibration


@dataclass(frozen=True)
class Calibration:
    """Predicted against true shares, over ten bins of probability; of all classes, or of one."""

    predicted: tuple[float, ...]  # mean probability in each bin; NaN in an empty one
    observed: tuple[float, ...]  # share of labels that are 1
    counts: tuple[int, ...]  # cells
    error: float  # expected calibration error: mean |predicted - observed|, weighted by counts


def bootstrap_mAP(
    y_true: npt.ArrayLike, y_score: npt.ArrayLike, *, definition: str = "voc2010", seed: int = 0
) -> tuple[float, float]:
    """Returns the 95 % interval of mAP over 200 resamplings of the images, with replacement (percentile bootstrap).

    It tells how far mAP would move with another test split of this size. A class that a resampling leaves without a
    positive is not in that one's mean. (NaN, NaN) if no class has a positive.

    Args:
      y_true: [N, C] of 1, 0 and -1.
      y_score: [N, C] real numbers.
      definition: of average precision.
      seed: fixes the resamplings.

    Raises:
      ValueError: as mean_average_precision.
    """
    check_definition(definition)
    labels, scores = check_labels_and_scores(y_true, y_score, ndim=2)
    orders = [_ranking(labels[:, c], scores[:, c]) for c in range(labels.shape[1])]
    random = np.random.default_rng(seed)
    means = []
    for _ in range(_TRIALS):
        weights = np.bincount(random.integers(0, len(labels), len(labels)), minlength=len(labels))
        means.append(mean_of_defined([_resampled_ap(weights, *order, definition) for order in orders]))
    if np.isnan(means).all():
        return float("nan"), float("nan")
    low, high = np.nanquantile(means, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)


def _ranking(labels: Ints, scores: Floats) -> tuple[Ints, Ints, Ints]:
    """Returns (rows that count, highest score first; their labels; the last place of each different score)."""
    rows = np.flatnonzero(labels != -1)
    rows = rows[np.argsort(-scores[rows], kind="stable")]
    ranked = scores[rows]
    return rows, labels[rows], np.flatnonzero(np.append(ranked[1:] != ranked[:-1], ranked.size > 0))


def _resampled_ap(weights: Ints, rows: Ints, labels: Ints, last_of_tie: Ints, definition: str) -> float:
    """Returns the AP where row i comes weights[i] times."""
    times = weights[rows]
    found, retrieved = np.cumsum(times * labels)[last_of_tie], np.cumsum(times)[last_of_tie]
    some = retrieved > 0
    return area(found[some], retrieved[some], int(found[-1]) if found.size else 0, definition)


def operating_points(y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> tuple[OperatingPoint, ...]:
    """Returns the operating point of each class.

    Args:
      y_true: [N, C] of 1, 0 and -1.
      y_score: [N, C] probabilities.

    Raises:
      ValueError: bad labels or scores.
    """
    labels, scores = check_labels_and_scores(y_true, y_score, ndim=2)
    return tuple(_operating_point(labels[:, c], scores[:, c]) for c in range(labels.shape[1]))


def _operating_point(labels: Ints, scores: Floats) -> OperatingPoint:
    rows, ranked_labels, last_of_tie = _ranking(labels, scores)
    ranked = scores[rows]
    positives = int(ranked_labels.sum())
    threshold = f1 = float("nan")
    if positives:
        found = np.cumsum(ranked_labels)[last_of_tie]
        f1s = 2 * found / (last_of_tie + 1 + positives)
        best = int(np.argmax(f1s))
        f1, place = float(f1s[best]), int(last_of_tie[best])
        below = float(ranked[place + 1]) if place + 1 < len(ranked) else 0.0
        threshold = (float(ranked[place]) + below) / 2  # in the middle between the last that is in and the next
    above = ranked > 0.5
    right = int(ranked_labels[above].sum())
    return OperatingPoint(
        best_threshold=threshold,
        best_f1=f1,
        precision=right / int(above.sum()) if above.any() else float("nan"),
        recall=right / positives if positives else float("nan"),
        calibration_error=calibration(labels, scores).error,
    )


def calibration(y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> Calibration:
    """Returns how predicted probabilities compare with what is true, over ten bins of equal width.

    Guo et al. 2017, On Calibration of Modern Neural Networks, section 2 (for one class against the rest).

    Args:
      y_true: of 1, 0 and -1, any shape.
      y_score: the same shape, probabilities.

    Raises:
      ValueError: bad labels or scores.
    """
    labels, scores = check_labels_and_scores(y_true, y_score, ndim=np.ndim(y_true))
    counted = labels != -1
    labels, scores = labels[counted], scores[counted]
    bins = np.clip((scores * _BINS).astype(int), 0, _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    with np.errstate(invalid="ignore"):
        predicted = np.bincount(bins, scores, _BINS) / counts
        observed = np.bincount(bins, labels, _BINS) / counts
    gaps = np.abs(predicted - observed)[counts > 0]
    error = float(np.average(gaps, weights=counts[counts > 0])) if counts.any() else float("nan")
    return Calibration(tuple(predicted.tolist()), tuple(observed.tolist()), tuple(counts.tolist()), error)


def false_alarms(y_true: npt.ArrayLike, y_score: npt.ArrayLike, *, threshold: float = 0.5) -> Ints:
    """Returns [C, C]: in how many images that show class i class j was predicted, though it is not there.

    What is taken for what, as far as several labels an image tell: the row of an image's own classes, the column of
    what was seen in it instead or besides.

    Args:
      y_true: [N, C] of 1, 0 and -1.
      y_score: [N, C] probabilities.
      threshold: a class is predicted above it.

    Raises:
      ValueError: bad labels or scores.
    """
    labels, scores = check_labels_and_scores(y_true, y_score, ndim=2)
    wrong = (scores > threshold) & (labels == 0)
    return (labels == 1).astype(np.int64).T @ wrong.astype(np.int64)


def worst_mistakes(y_true: npt.ArrayLike, y_score: npt.ArrayLike, count: int) -> list[int]:
    """Returns the rows of the most confident mistakes, gravest first, each row once: at most `count`.

    The probability of a label that is 0, or one less that of a label that is 1; only where it is above 0.5.
    """
    labels, scores = check_labels_and_scores(y_true, y_score, ndim=2)
    miss = np.where(labels == -1, 0.0, np.abs(labels - scores)).max(axis=1)
    rows = np.argsort(-miss, kind="stable")
    return [int(row) for row in rows[:count] if miss[row] > 0.5]
