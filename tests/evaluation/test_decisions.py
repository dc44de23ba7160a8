"""Intervals, thresholds, calibration and mistakes, by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from voc_tfdata.evaluation.average_precision import mean_average_precision
from voc_tfdata.evaluation.decisions import (
    bootstrap_mAP,
    calibration,
    false_alarms,
    operating_points,
    worst_mistakes,
)

sklearn = pytest.importorskip("sklearn.metrics")


def random_case(seed: int, n: int = 120, c: int = 4) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.choice([1, 0, 0, 0, -1], (n, c))
    return labels, np.round(np.clip(random.normal(0.35 + 0.25 * (labels == 1), 0.2), 0, 1), 2)  # with ties


@pytest.mark.parametrize("definition", ["voc2007", "voc2010", "step"])
def test_the_interval_is_that_of_whole_resampled_evaluations(definition: str) -> None:
    labels, scores = random_case(0)
    random = np.random.default_rng(7)
    names = list("abcd")
    means = []
    for _ in range(200):
        rows = random.integers(0, len(labels), len(labels))
        means.append(mean_average_precision(labels[rows], scores[rows], definition=definition, class_names=names).mAP)
    low, high = bootstrap_mAP(labels, scores, definition=definition, seed=7)
    assert (low, high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=1e-12)
    assert low < mean_average_precision(labels, scores, definition=definition, class_names=names).mAP < high


def test_more_images_make_it_narrower_and_without_a_positive_there_is_none() -> None:
    few, many = (bootstrap_mAP(*random_case(1, n)) for n in (60, 2000))
    assert few[1] - few[0] > 2 * (many[1] - many[0])
    assert np.isnan(bootstrap_mAP(np.zeros((5, 2)), np.ones((5, 2)))).all()
    rare = np.zeros((30, 2), int)
    rare[0] = 1  # many resamplings have no positive at all
    assert np.isfinite(bootstrap_mAP(rare, np.random.default_rng(0).random((30, 2)))).all()


def test_operating_points_are_those_of_scikit_learn() -> None:
    labels, scores = random_case(2)
    for c, point in enumerate(operating_points(labels, scores)):
        counted = labels[:, c] != -1
        y, s = labels[counted, c], scores[counted, c]
        precision, recall, thresholds = sklearn.precision_recall_curve(y, s)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        assert point.best_f1 == pytest.approx(f1.max())
        assert sklearn.f1_score(y, s > point.best_threshold) == pytest.approx(f1.max())
        assert point.precision == pytest.approx(sklearn.precision_score(y, s > 0.5, zero_division=np.nan))
        assert point.recall == pytest.approx(sklearn.recall_score(y, s > 0.5))


def test_a_class_without_positive_or_without_a_prediction_is_undefined() -> None:
    (none, low) = operating_points([[0, 1], [0, 0], [-1, 1]], [[0.2, 0.4], [0.9, 0.1], [0.8, 0.3]])
    assert np.isnan([none.best_threshold, none.best_f1, none.recall]).all() and none.precision == 0
    assert (low.best_threshold, low.best_f1, low.recall) == (pytest.approx(0.2), 1.0, 0.0) and np.isnan(low.precision)


def test_calibration_by_hand() -> None:
    # bin 0.0-0.1: 0.05 twice, none right; 0.8-0.9: 0.8 four times, three right; the cell of -1 is left out
    found = calibration([[0, 0], [1, 1], [1, 0], [-1, -1]], [[0.05, 0.05], [0.8, 0.8], [0.8, 0.8], [0.3, 0.4]])
    assert found.counts == (2, 0, 0, 0, 0, 0, 0, 0, 4, 0)
    assert found.predicted[0] == pytest.approx(0.05) and found.observed[8] == 0.75 and np.isnan(found.observed[1])
    assert found.error == pytest.approx((2 * 0.05 + 4 * 0.05) / 6)
    assert calibration([1, 0], [1.0, 0.0]).error == 0
    assert np.isnan(calibration([-1], [0.5]).error)


def test_false_alarms_are_counted_by_what_the_image_shows() -> None:
    labels = [[1, 0, 0], [1, 0, 1], [0, 0, 1], [1, -1, 0]]
    scores = [[0.9, 0.8, 0.1], [0.2, 0.7, 0.9], [0.6, 0.1, 0.1], [0.9, 0.9, 0.5]]
    assert false_alarms(labels, scores).tolist() == [[0, 2, 0], [0, 0, 0], [1, 1, 0]]
    assert false_alarms(labels, scores, threshold=0.4).tolist() == [[0, 2, 1], [0, 0, 0], [1, 1, 0]]


def test_the_most_confident_mistakes_come_first_each_image_once() -> None:
    labels = [[1, 0], [0, 0], [1, -1], [0, 1]]
    scores = [[0.3, 0.9], [0.95, 0.99], [0.6, 1.0], [0.1, 0.45]]  # 0.9, 0.99, 0.4, 0.55
    assert worst_mistakes(labels, scores, 10) == [1, 0, 3]
    assert worst_mistakes(labels, scores, 1) == [1]
