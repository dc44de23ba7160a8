"""VOC's average precision with ignored cells, in three definitions. numpy only.

    result = mean_average_precision(y_true, y_score)     # labels [N, 20] of 1, 0, -1; scores [N, 20]
    result.mAP, result.definition, result.undefined      # 0.43, "voc2010", ("bottle",)

A label is 1 (present), 0 (absent) or -1 (present only as 'difficult': the cell is excluded). Three definitions of
average precision are in use, so whoever prints one names it:

- voc2007: mean of the highest precision at recall >= 0, 0.1, ..., 1. Everingham et al., "The PASCAL Visual Object
  Classes (VOC) Challenge", IJCV 88 (2010); VOCevalcls.m of the VOC2007 development kit.
- voc2010: area under the precision-recall curve after precision is made non-increasing, every recall counts.
  VOC2010 development kit, section 3.4.1, and VOCap.m there.
- step: sum of precision times the rise in recall, nothing interpolated: sklearn.metrics.average_precision_score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voc_tfdata.classes import VOC_CLASSES, check_class_names
from voc_tfdata.evaluation.labels import Floats, Ints, check_labels_and_scores

DEFINITIONS = ("voc2007", "voc2010", "step")


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
    labels, scores = check_labels_and_scores(y_true, y_score, ndim=1)
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
    labels, scores = check_labels_and_scores(y_true, y_score, ndim=2)
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
    labels, scores = check_labels_and_scores(y_true, y_score, ndim=1)
    found, retrieved = _operating_points(labels, scores)
    if not found.size or not found[-1]:
        return np.empty(0), np.empty(0)
    return found / retrieved, found / found[-1]


def check_definition(definition: str) -> None:
    """Raises ValueError unless the definition is one of DEFINITIONS."""
    if definition not in DEFINITIONS:
        raise ValueError(f"definition={definition!r} of average precision; allowed: {', '.join(DEFINITIONS)}")


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
