"""Average precision against values worked out by hand, a slow implementation in fractions, and scikit-learn."""

import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from voc_tfdata.classes import VOC_CLASSES
from voc_tfdata.evaluation import metrics
from voc_tfdata.evaluation.average_precision import average_precision, mean_average_precision, precision_recall

DEFINITIONS = ("voc2007", "voc2010", "step")


def slow_average_precision(y_true, y_score, definition):
    """The definitions word for word: a threshold at every score, all in fractions. None without a positive."""
    pairs = [(label, score) for label, score in zip(y_true, y_score, strict=True) if label != -1]
    positives = sum(label for label, _ in pairs)
    if positives == 0:
        return None
    curve = []  # (recall, precision), recall rising
    for threshold in sorted({score for _, score in pairs}, reverse=True):
        kept = [label for label, score in pairs if score >= threshold]
        curve.append((Fraction(sum(kept), positives), Fraction(sum(kept), len(kept))))

    def highest_from(recall):
        return max(p for r, p in curve if r >= recall)

    if definition == "voc2007":
        return sum(highest_from(Fraction(k, 10)) for k in range(11)) / 11
    area, reached = Fraction(0), Fraction(0)
    for recall, precision in curve:
        area += (recall - reached) * (precision if definition == "step" else highest_from(recall))
        reached = recall
    return area


def random_case(seed):
    """Labels of 1, 0 and -1 with scores of few or many different values, so that ties are common."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 45))
    shares = rng.dirichlet((1.0, 1.5, 0.4))
    labels = rng.choice((1, 0, -1), size=n, p=shares)
    scores = rng.integers(0, int(rng.choice((2, 4, 12, 1000))), size=n) / 7 - 1
    return labels, scores


# Ranking 0 1 1 0 1: precision at the three positives 1/2, 2/3, 3/5, recall 1/3, 2/3, 1.
#   step: (1/2 + 2/3 + 3/5) / 3 = 53/90
#   voc2010: highest from there on 2/3, 2/3, 3/5: (2/3 + 2/3 + 3/5) / 3 = 29/45
#   voc2007: recall 0 to 0.6 are seven times 2/3, 0.7 to 1 four times 3/5: (14/3 + 12/5) / 11 = 106/165
# Ranking 0 0 1 1: precision 1/3, 2/4. step (1/3 + 1/2) / 2 = 5/12; the others are 1/2 everywhere.
@pytest.mark.parametrize(
    ("y_true", "y_score", "voc2007", "voc2010", "step"),
    [
        ([0, 1, 1, 0, 1], [0.9, 0.8, 0.7, 0.6, 0.5], 106 / 165, 29 / 45, 53 / 90),
        ([1, 1, 0, 0], [0.9, 0.8, 0.2, 0.1], 1, 1, 1),
        ([0, 0, 1, 1], [0.9, 0.8, 0.2, 0.1], 1 / 2, 1 / 2, 5 / 12),
        ([1, 0, 0, 1], [0.5, 0.5, 0.5, 0.5], 1 / 2, 1 / 2, 1 / 2),  # all tied: one point, precision 2/4
    ],
)
def test_each_definition_gives_the_value_worked_out_by_hand(y_true, y_score, voc2007, voc2010, step):
    found = [average_precision(y_true, y_score, definition) for definition in DEFINITIONS]
    assert found == pytest.approx([voc2007, voc2010, step], abs=1e-12)
    assert average_precision(y_true, y_score) == pytest.approx(voc2010)  # the default


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_a_thousand_random_cases_with_ties_and_ignores_agree_with_the_slow_implementation(definition):
    undefined = 0
    for seed in range(1000):
        labels, scores = random_case(seed)
        expected = slow_average_precision(labels.tolist(), scores.tolist(), definition)
        found = average_precision(labels, scores, definition)
        if expected is None:
            undefined += 1
            assert math.isnan(found)
        else:
            assert found == pytest.approx(float(expected), abs=1e-12), (seed, labels, scores)
    assert 0 < undefined < 500


def test_step_agrees_with_scikit_learn():
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    compared = 0
    for seed in range(300):
        labels, scores = random_case(seed)
        kept = labels != -1
        if np.any(labels == 1):
            compared += 1
            expected = sklearn_metrics.average_precision_score(labels[kept], scores[kept])
            assert average_precision(labels, scores, "step") == pytest.approx(expected, abs=1e-12)
    assert compared > 200


@pytest.mark.parametrize("k", [3, 6, 7])
def test_recall_thresholds_that_floats_miss_are_met(k):
    # k positives, then 10 negatives, then the other 10 - k positives. Precision is 1 up to recall k/10 and at most
    # 10/20 after it, so k + 1 thresholds (0 to k/10) count 1 and the other 10 - k count 1/2.
    y_true = [1] * k + [0] * 10 + [1] * (10 - k)
    y_score = np.arange(20, 0, -1)
    exact = (k + 1 + (10 - k) / 2) / 11
    assert average_precision(y_true, y_score, "voc2007") == pytest.approx(exact, abs=1e-12)
    # np.arange(0, 1.1, 0.1)[k] is a little above k/10: comparing floats, threshold k counts 1/2 as well.
    assert np.arange(0, 1.1, 0.1)[k] > k / 10


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_the_order_of_rows_with_equal_scores_does_not_matter(definition):
    y_true = np.array([1, 0, 0, 1, -1, 1, 0, 0])
    y_score = np.array([0.5, 0.5, 0.5, 0.5, 0.5, 0.2, 0.2, 0.9])
    rng = np.random.default_rng(0)
    orders = [rng.permutation(8) for _ in range(50)]
    assert len({average_precision(y_true[o], y_score[o], definition) for o in orders}) == 1


def test_ignored_examples_are_left_out_and_not_counted_as_negatives():
    # The -1 on top is no false positive: the only positive is first, AP 1. As a negative it would be 1/2.
    assert average_precision([-1, 1, 0], [0.9, 0.8, 0.1]) == 1
    assert average_precision([0, 1, 0], [0.9, 0.8, 0.1]) == 1 / 2


@pytest.mark.parametrize("y_true", [[0, 0], [-1, -1], [0, -1], []])
@pytest.mark.parametrize("definition", DEFINITIONS)
def test_a_class_without_positive_is_undefined(y_true, definition):
    assert math.isnan(average_precision(y_true, [0.3] * len(y_true), definition))


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.float32])
def test_labels_of_any_dtype_and_scores_of_any_real_range_are_taken(dtype):
    y_true = np.array([0, 1, 1, 0, 1]).astype(dtype)
    y_score = np.array([50, 3, 0.5, -1, -np.inf], dtype=np.float16)
    assert average_precision(y_true, y_score) == pytest.approx(29 / 45)


def test_classes_without_a_positive_are_named_and_left_out_of_the_mean():
    # Class 0 ranks 1 0 1 0: precision 1, 2/3, AP 5/6. Class 2 ranks 0 1 0 0: AP 1/2. Class 1 has no positive.
    y_true = [[1, 0, 0], [0, 0, 1], [1, 0, 0], [0, -1, 0]]
    y_score = [[0.9, 0.2, 0.1], [0.8, 0.7, 0.3], [0.7, 0.1, 0.2], [0.1, 0.9, 0.4]]
    result = mean_average_precision(y_true, y_score, class_names=("cat", "bus", "dog"))
    assert result.mAP == pytest.approx((5 / 6 + 1 / 2) / 2)
    assert result.ap[0] == pytest.approx(5 / 6) and math.isnan(result.ap[1]) and result.ap[2] == 1 / 2
    assert (result.positives, result.ignored) == ((2, 0, 1), (0, 1, 0))
    assert (result.undefined, result.definition) == (("bus",), "voc2010")


def test_difficult_only_pairs_are_no_negatives_of_the_mean():
    # Images da (cat; dog only difficult), db (dog), dc (person only difficult); classes cat, dog, person.
    # dog: da ignored, db found first: 1. As a negative, da (0.9) would push db to precision 1/2. person: undefined.
    y_true = [[1, -1, 0], [0, 1, 0], [0, 0, -1]]
    y_score = [[0.9, 0.9, 0.1], [0.2, 0.8, 0.3], [0.1, 0.4, 0.7]]
    result = mean_average_precision(y_true, y_score, class_names=("cat", "dog", "person"))
    assert result.mAP == 1 and result.undefined == ("person",)


def test_the_mean_is_undefined_and_not_zero_where_no_class_has_a_positive():
    result = mean_average_precision([[0, -1]], [[0.5, 0.5]], class_names=("cat", "dog"))
    assert math.isnan(result.mAP) and result.undefined == ("cat", "dog")


def test_the_twenty_classes_are_the_default_names():
    y_true = np.eye(20)
    assert mean_average_precision(y_true, y_true).class_names == VOC_CLASSES
    assert mean_average_precision(y_true, y_true).mAP == 1


def test_precision_and_recall_have_one_point_a_score():
    # 0.9: 1 of 1 found; 0.5 (tied): 2 of 3; 0.1: 2 of 4. Both positives are found at the second point.
    precision, recall = precision_recall([1, 0, 1, 0, -1], [0.9, 0.5, 0.5, 0.1, 0.95])
    assert precision.tolist() == [1, 2 / 3, 2 / 4] and recall.tolist() == [1 / 2, 1, 1]
    assert precision_recall([0, -1], [0.3, 0.2])[0].size == 0


def test_cross_entropy_is_the_mean_over_cells_that_are_not_ignored():
    # -ln 0.8 (present), -ln(1 - 0.4) (absent); the third cell is ignored.
    expected = -(math.log(0.8) + math.log(0.6)) / 2
    assert metrics.binary_cross_entropy([[1, 0, -1]], [[0.8, 0.4, 0.99]]) == pytest.approx(expected, abs=1e-15)


def test_a_certain_wrong_answer_costs_a_finite_loss():
    # clipped to 1 - 1e-7: -ln(1e-7) = 16.118095651
    assert metrics.binary_cross_entropy([0], [1.0]) == pytest.approx(16.118095651, abs=1e-6)
    assert metrics.binary_cross_entropy([1], np.zeros(1, np.float32)) == pytest.approx(16.118095651, abs=1e-6)


def test_accuracy_counts_above_one_half_as_present_and_leaves_ignored_cells_out():
    # right, wrong, right (0.5 is not above), ignored: 2 of 3
    assert metrics.binary_accuracy([1, 0, 0, -1], [0.7, 0.6, 0.5, 0.9]) == pytest.approx(2 / 3)


def test_loss_and_accuracy_of_ignored_cells_alone_are_undefined():
    assert math.isnan(metrics.binary_cross_entropy([[-1]], [[0.5]]))
    assert math.isnan(metrics.binary_accuracy([[-1]], [[0.5]]))


def test_a_network_that_predicts_the_same_for_every_picture_is_collapsed():
    prior = np.tile(np.linspace(0.02, 0.4, 20), (50, 1))
    noise = np.random.default_rng(0).normal(size=prior.shape)
    assert metrics.is_collapsed(prior + 1e-5 * noise)
    assert not metrics.is_collapsed(prior + 1e-2 * noise)
    one_class_differs = prior.copy()
    one_class_differs[::2, 7] += 0.02  # half of the images: standard deviation 0.01
    assert not metrics.is_collapsed(one_class_differs)
    assert metrics.prediction_spread(one_class_differs) == pytest.approx(0.01)


def test_an_unlearnt_a_collapsed_and_a_diverged_network_are_told_apart():
    assert metrics.describe_collapse(0.693, 0.2).startswith("unlearnt: the network answers 0.5")
    assert metrics.describe_collapse(0.22, 0.2).startswith("collapsed: the network learnt the class frequencies")
    assert metrics.describe_collapse(2.1, 0.2).startswith("diverged: the loss, 2.1, is 10.5 times that of the class")
    assert metrics.describe_collapse(0.6678, 0.341).startswith("unlearnt: the loss is 0.668, and the class frequencies")
    assert metrics.describe_collapse(2.1, None).startswith("collapsed: the network does not look at the images")
    for loss in (0.22, 2.1):
        assert "--learning_rate" in metrics.describe_collapse(loss, 0.2)


def test_one_picture_cannot_tell_a_collapse():
    assert not metrics.is_collapsed(np.full((1, 20), 0.1))


@pytest.mark.parametrize(
    ("y_true", "y_score", "message"),
    [
        ([1, 2], [0.1, 0.2], r"y_true has 2 at \[1\]; allowed: 1 \(present\), 0 \(absent\), -1"),
        ([1, 255], [0.1, 0.2], r"y_true has 255"),
        ([1, math.nan], [0.1, 0.2], r"y_true has nan"),
        ([1, 0], [0.1, math.nan], r"y_score has 1 NaN, the first at \[1\]"),
        ([1, 0], [0.1, 0.2, 0.3], r"y_true has shape \(2,\), y_score \(3,\)"),
        ([[1, 0]], [[0.1, 0.2]], r"y_true has shape \(1, 2\); expected \[N\]"),
    ],
)
def test_wrong_labels_or_scores_are_refused(y_true, y_score, message):
    with pytest.raises(ValueError, match=message):
        average_precision(y_true, y_score)


def test_an_unknown_definition_is_refused_with_the_allowed_ones():
    for call in (average_precision, mean_average_precision):
        with pytest.raises(ValueError, match="'voc2012'.*voc2007, voc2010, step"):
            call([1], [0.5], definition="voc2012")


@pytest.mark.parametrize(
    ("names", "message"),
    [(("cat",), "1 class names for 2 columns"), (("cat", "cat"), "'cat' twice")],
)
def test_class_names_that_do_not_fit_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        mean_average_precision([[1, 0]], [[0.5, 0.5]], class_names=names)


def test_no_example_at_all_is_an_error():
    with pytest.raises(ValueError, match="no example"):
        mean_average_precision(np.zeros((0, 20)), np.zeros((0, 20)))


def test_logits_are_refused_where_probabilities_are_needed():
    for function in (metrics.binary_cross_entropy, metrics.binary_accuracy):
        with pytest.raises(ValueError, match=r"y_prob has 3.0 at \[0, 1\]; allowed: 0..1 .*sigmoid"):
            function([[1, 0]], [[0.5, 3.0]])


def test_importing_evaluation_loads_neither_tensorflow_nor_pyplot():
    code = (
        "import sys, voc_tfdata.evaluation.metrics, voc_tfdata.evaluation.report; "
        "print([m for m in ('tensorflow', 'keras', 'matplotlib.pyplot') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
