"""The trivial baselines against values worked out by hand and by trying every ranking."""

import itertools
import math

import numpy as np
import pytest

from voc_tfdata.evaluation import baselines
from voc_tfdata.evaluation.average_precision import DEFINITIONS, average_precision

COUNTS = baselines.LabelCounts(positives=(1, 1), ignored=(0, 2), num_examples=4)


def test_constant_prior_loss_predicts_the_class_frequencies_of_the_training_labels():
    # Training frequencies: 1 of 4, and 1 of the 4 - 2 that count. Cells that count: 1 at 1/4, 0 at 1/2, 0 at 1/4.
    found = baselines.trivial_baselines([[1, 0], [0, -1]], COUNTS)
    expected = -(math.log(1 / 4) + math.log(1 / 2) + math.log(3 / 4)) / 3
    assert found.constant_prior_loss == pytest.approx(expected, abs=1e-12)


def test_all_negative_accuracy_leaves_ignored_cells_out():
    assert baselines.trivial_baselines([[1, 0], [0, -1]], COUNTS).all_negative_accuracy == pytest.approx(2 / 3)


def test_a_class_that_training_ignored_throughout_is_predicted_as_one_half():
    counts = baselines.LabelCounts(positives=(0,), ignored=(7,), num_examples=7)
    assert baselines.trivial_baselines([[1], [0]], counts).constant_prior_loss == pytest.approx(math.log(2))


def test_without_training_counts_the_prior_loss_alone_is_undefined():
    found = baselines.trivial_baselines([[1], [0]], None)
    assert math.isnan(found.constant_prior_loss) and found.all_negative_accuracy == 1 / 2


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_chance_is_the_mean_ap_over_all_rankings(definition):
    # 2 positives among 5: the mean over all 10 ways to place them; 5,000 rankings come within 0.01 of it.
    placings = [np.isin(np.arange(5), pair) for pair in itertools.combinations(range(5), 2)]
    exact = np.mean([average_precision(placing, -np.arange(5.0), definition) for placing in placings])
    found = baselines.chance_average_precision(2, 5, definition, trials=5_000)
    assert found == pytest.approx(exact, abs=0.01)


def test_chance_is_repeatable_and_follows_the_seed():
    first = baselines.chance_average_precision(5, 100)
    assert baselines.chance_average_precision(5, 100) == first
    assert baselines.chance_average_precision(5, 100, seed=1) != first


def test_chance_of_a_class_of_positives_alone_is_one_and_without_positives_undefined():
    assert baselines.chance_average_precision(4, 4) == 1
    found = baselines.trivial_baselines([[1, 0], [1, 0], [-1, -1]], None)
    assert found.chance_ap[0] == 1 and math.isnan(found.chance_ap[1]) and found.chance_mAP == 1


@pytest.mark.parametrize(
    ("difficult", "positives", "ignored"),
    [("positive", (5, 4), (0, 0)), ("ignore", (3, 4), (2, 0)), ("negative", (3, 4), (0, 0))],
)
def test_difficult_only_pictures_are_counted_as_they_are_read(difficult, positives, ignored):
    found = baselines.counts_as_read(np.array([3, 4]), np.array([2, 0]), 10, difficult=difficult)
    assert found == baselines.LabelCounts(positives, ignored, 10)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (baselines.LabelCounts((1,), (0,), 4), "1 classes, the labels have 2"),
        (baselines.LabelCounts((3, 1), (2, 0), 4), "contradicts itself"),
        (baselines.LabelCounts((-1, 1), (0, 0), 4), "contradicts itself"),
    ],
)
def test_counts_that_do_not_fit_are_refused(counts, message):
    with pytest.raises(ValueError, match=message):
        baselines.trivial_baselines([[1, 0]], counts)


def test_bad_arguments_are_refused_with_the_allowed_values():
    with pytest.raises(ValueError, match="'ignored'; allowed: positive, ignore, negative"):
        baselines.counts_as_read([1], [1], 2, difficult="ignored")
    with pytest.raises(ValueError, match="5 positives of 4"):
        baselines.chance_average_precision(5, 4)
    with pytest.raises(ValueError, match="voc2007, voc2010, step"):
        baselines.trivial_baselines([[1]], None, definition="coco")
