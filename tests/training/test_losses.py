import math

import numpy as np
import pytest
import tensorflow as tf

from voc_tfdata.evaluation.baselines import LabelCounts
from voc_tfdata.training.losses import class_frequencies, count_right, cross_entropy_sums, weight_positives

COUNTS = LabelCounts(positives=(2, 0, 10), ignored=(3, 10, 0), num_examples=10)


def test_ignored_cells_neither_count_nor_cost() -> None:
    labels = tf.constant([[1.0, 0.0], [-1.0, 1.0]])
    logits = tf.constant([[0.0, 0.0], [30.0, 0.0]])
    loss, counted = cross_entropy_sums(labels, logits)
    assert counted.numpy() == 3
    assert loss.numpy() == pytest.approx(3 * math.log(2))  # probability 0.5 costs ln 2, whatever the label


def test_ignored_cells_have_no_gradient() -> None:
    logits = tf.Variable([[0.0, 5.0]])
    with tf.GradientTape() as tape:
        loss, _ = cross_entropy_sums(tf.constant([[1.0, -1.0]]), logits)
    # d/dx of -ln sigmoid(x) at 0 is sigmoid(0) - 1 = -0.5
    np.testing.assert_allclose(tape.gradient(loss, logits), [[-0.5, 0.0]])


def test_loss_and_gradient_are_exact_at_logits_of_50() -> None:
    logits = tf.Variable([[50.0, -50.0, 50.0, -50.0]])
    with tf.GradientTape() as tape:
        loss, _ = cross_entropy_sums(tf.constant([[0.0, 1.0, 1.0, 0.0]]), logits)
    # wrong by 50: ln(1 + e^50) = 50; right by 50: e^-50 = 2e-22. On probabilities it would be cut off at 16.1 each.
    assert loss.numpy() == pytest.approx(100.0)
    np.testing.assert_allclose(tape.gradient(loss, logits), [[1.0, -1.0, 0.0, 0.0]], atol=1e-6)


def test_label_smoothing_moves_both_labels() -> None:
    # s = 0.2: 1 becomes 0.9, 0 becomes 0.1. Right by 1 costs ln(1 + e^-1) = 0.31326, wrong by 1 ln(1 + e) = 1.31326
    loss, _ = cross_entropy_sums(tf.constant([[1.0, 0.0]]), tf.constant([[1.0, -1.0]]), label_smoothing=0.2)
    assert loss.numpy() == pytest.approx(2 * (0.9 * 0.31326 + 0.1 * 1.31326), rel=1e-4)


def test_positive_weight_multiplies_the_loss_of_ones_only() -> None:
    weight = np.array([3.0, 3.0], np.float32)
    loss, counted = cross_entropy_sums(tf.constant([[1.0, 0.0]]), tf.zeros([1, 2]), positive_weight=weight)
    assert loss.numpy() == pytest.approx(4 * math.log(2)) and counted.numpy() == 2


def test_right_cells_are_counted_without_the_ignored() -> None:
    labels = tf.constant([[1.0, 0.0, -1.0, -1.0], [1.0, 0.0, 0.0, 0.0]])
    logits = tf.constant([[2.0, -2.0, 2.0, -2.0], [-2.0, 2.0, 0.0, 0.0]])
    assert count_right(labels, logits).numpy() == 4  # the first two, and both 0 at probability 0.5: "above" is present


def test_positives_are_weighed_by_the_zeros_they_stand_against() -> None:
    # 10 images: 2 ones, 3 ignored, 5 zeros; nothing counted; no zeros
    assert weight_positives(COUNTS).tolist() == [2.5, 1.0, 1.0]


def test_class_frequencies_leave_out_the_ignored() -> None:
    np.testing.assert_allclose(class_frequencies(COUNTS), [2 / 7, 0.0, 1.0])
