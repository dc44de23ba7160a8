"""What loss, accuracy and mAP come to without looking at an image: printed beside every result. numpy only.

    counts = counts_as_read(*records.count_labels(manifest, "train"), difficult="ignore")
    trivial_baselines(y_true, counts).constant_prior_loss       # e.g. 0.188

On VOC nine cells of ten are 0, so a model that has learnt nothing reads "92 % binary accuracy".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voc_tfdata.evaluation.average_precision import area, check_definition, mean_of_defined
from voc_tfdata.evaluation.labels import Floats, check_labels
from voc_tfdata.evaluation.metrics import binary_accuracy, binary_cross_entropy


@dataclass(frozen=True)
class LabelCounts:
    """How often a set of labels holds 1 and -1, per class; what is left of num_examples is 0."""

    positives: tuple[int, ...]
    ignored: tuple[int, ...]
    num_examples: int


@dataclass(frozen=True)
class Baselines:
    """What needs no image. NaN where there is nothing to count."""

    constant_prior_loss: float  # binary cross-entropy of predicting the training labels' class frequencies
    all_negative_accuracy: float  # binary accuracy of answering "absent" everywhere
    chance_mAP: float  # mean over the classes that have a positive
    chance_ap: tuple[float, ...]  # expected AP of random scores; NaN where the class has no positive


def counts_as_read(
    positives: npt.ArrayLike, difficult_only: npt.ArrayLike, num_examples: int, *, difficult: str
) -> LabelCounts:
    """Returns the label counts under a reading rule.

    Args:
      positives: [C] images with an object of the class that is not difficult.
      difficult_only: [C] images where the class has difficult objects only.
      num_examples: images in all.
      difficult: "positive", "ignore" or "negative": what the labels of difficult_only are, 1, -1 or 0.

    Raises:
      ValueError: another word for difficult.
    """
    if difficult not in ("positive", "ignore", "negative"):
        raise ValueError(f"difficult={difficult!r}; allowed: positive, ignore, negative")
    ones, ignored = np.asarray(positives), np.asarray(difficult_only)
    if difficult == "positive":
        ones = ones + ignored
    if difficult != "ignore":
        ignored = np.zeros_like(ones)
    return LabelCounts(tuple(ones.tolist()), tuple(ignored.tolist()), int(num_examples))


def trivial_baselines(
    y_true: npt.ArrayLike, train_counts: LabelCounts | None, *, definition: str = "voc2010"
) -> Baselines:
    """Returns what loss, accuracy and mAP come to without looking at an image.

    Args:
      y_true: [N, C] of 1, 0 and -1, the labels evaluated on.
      train_counts: of the labels trained on, -1 counted as in training. A class whose labels are all -1 there is
        predicted as 0.5. None: the constant-prior loss is NaN.
      definition: of the average precision.

    Raises:
      ValueError: bad labels or definition, or counts that contradict themselves or have another number of classes.
    """
    check_definition(definition)
    labels = check_labels(y_true, ndim=2)
    prior_loss = float("nan")
    if train_counts is not None:
        prior = np.broadcast_to(_class_prior(train_counts, labels.shape[1]), labels.shape)
        prior_loss = binary_cross_entropy(labels, prior)
    positives, counted = np.sum(labels == 1, axis=0).tolist(), np.sum(labels != -1, axis=0).tolist()
    chance_ap = tuple(chance_average_precision(n, of, definition) for n, of in zip(positives, counted, strict=True))
    return Baselines(
        constant_prior_loss=prior_loss,
        all_negative_accuracy=binary_accuracy(labels, np.zeros(labels.shape)),
        chance_mAP=mean_of_defined(chance_ap),
        chance_ap=chance_ap,
    )


def chance_average_precision(
    positives: int, counted: int, definition: str = "voc2010", *, trials: int = 100, seed: int = 0
) -> float:
    """Returns the AP that random scores get: the mean over `trials` seeded random rankings without ties.

    Args:
      positives: examples labelled 1; 0 gives NaN.
      counted: examples labelled 1 or 0.
      definition: "voc2007", "voc2010" or "step".
      trials: number of rankings. The mean of 100 is good to about a tenth of the spread of a single one.
      seed: with the two counts, fixes the rankings.

    Raises:
      ValueError: more positives than examples, or an unknown definition.
    """
    check_definition(definition)
    if not 0 <= positives <= counted:
        raise ValueError(f"{positives} positives of {counted} counted examples; allowed: 0 to {counted}")
    if not positives:
        return float("nan")
    random = np.random.default_rng((seed, positives, counted))
    found = np.arange(1, positives + 1)
    areas = []
    for _ in range(trials):  # ranks of the positives alone: precision falls between them, no definition looks there
        ranks = np.sort(random.choice(counted, positives, replace=False)) + 1
        areas.append(area(found, ranks, positives, definition))
    return float(np.mean(areas))


def _class_prior(counts: LabelCounts, num_classes: int) -> Floats:
    positives, ignored = np.asarray(counts.positives, np.int64), np.asarray(counts.ignored, np.int64)
    if positives.shape != (num_classes,) or ignored.shape != (num_classes,):
        raise ValueError(f"train_counts has {positives.size} classes, the labels have {num_classes}")
    counted = counts.num_examples - ignored
    if np.any(positives < 0) or np.any(ignored < 0) or np.any(positives > counted):
        raise ValueError(f"train_counts contradicts itself, positives + ignored exceed num_examples: {counts}")
    return np.where(counted > 0, positives / np.maximum(counted, 1), 0.5)
