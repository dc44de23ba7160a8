"""The numbers of one evaluation, the warnings and the text table."""

import json
import math

import numpy as np
import pytest

from voc_tfdata.evaluation import summary
from voc_tfdata.evaluation.baselines import LabelCounts

NAMES = ("cat", "bus", "dog")
# AP of cat 5/6 (ranking 1 0 1 0), of dog 1/2 (ranking 0 1 0 0); bus has no positive and one ignored cell.
Y_TRUE = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 0], [0, -1, 0]])
Y_SCORE = np.array([[0.9, 0.2, 0.1], [0.8, 0.7, 0.3], [0.7, 0.1, 0.2], [0.1, 0.9, 0.4]])
COUNTS = LabelCounts(positives=(2, 0, 1), ignored=(0, 1, 0), num_examples=4)


def test_the_summary_holds_the_numbers_worked_out_by_hand():
    found = summary.summarize_predictions(Y_TRUE, Y_SCORE, NAMES, train_counts=COUNTS)
    assert found["protocol"] == "voc2010" and found["split"] == "test" and found["num_examples"] == 4
    assert found["mAP"] == pytest.approx(2 / 3)
    assert found["ap"] == {"cat": pytest.approx(5 / 6), "bus": None, "dog": 1 / 2}
    assert found["positives"] == {"cat": 2, "bus": 0, "dog": 1}
    assert found["ignored"] == {"cat": 0, "bus": 1, "dog": 0}
    assert found["undefined_classes"] == ["bus"]
    # Right at 0.5 of 11 counted cells: cat 3 (0.8 is wrong), bus 2 (0.7 is wrong), dog 3 (0.3 is wrong): 8.
    assert found["binary_accuracy"] == pytest.approx(8 / 11)
    present, absent = (0.9, 0.3, 0.7), (0.2, 0.1, 0.8, 0.7, 0.1, 0.2, 0.1, 0.4)
    loss = -(sum(math.log(p) for p in present) + sum(math.log(1 - p) for p in absent)) / 11
    assert found["loss"] == pytest.approx(loss)
    # Frequencies 1/2 (4 cells), 0 clipped to 1e-7 (3 cells), 1/4 (1 present, 3 absent).
    prior_loss = -(4 * math.log(1 / 2) + 3 * math.log(1 - 1e-7) + math.log(1 / 4) + 3 * math.log(3 / 4)) / 11
    assert found["baselines"]["constant_prior_loss"] == pytest.approx(prior_loss)
    assert found["baselines"]["all_negative_binary_accuracy"] == pytest.approx(8 / 11)  # 3 of 11 are present
    chance = found["chance_ap"]
    assert chance["bus"] is None
    assert found["baselines"]["chance_mAP"] == pytest.approx((chance["cat"] + chance["dog"]) / 2)
    assert found["collapsed"] is False
    assert found["prediction_std"] == pytest.approx(np.std([0.2, 0.7, 0.1, 0.9]))
    json.dumps(found, allow_nan=False)


def test_the_table_shows_each_class_and_the_mean_with_its_definition():
    text = summary.format_class_table(summary.summarize_predictions(Y_TRUE, Y_SCORE, NAMES, definition="step"))
    rows = [line.split() for line in text.splitlines()]
    assert ["test:", "4", "images"] in rows
    assert rows[1] == ["class", "positives", "ignored", "AP", "chance", "AP"]
    assert next(row for row in rows if row[0] == "cat")[:4] == ["cat", "2", "0", "0.833"]
    assert next(row for row in rows if row[0] == "bus") == ["bus", "0", "1", "undefined", "undefined"]
    mean = next(row for row in rows if row[0] == "mAP")
    assert mean[:3] == ["mAP", "(step)", "0.667"] and mean[-5:] == ["over", "2", "of", "3", "classes"]
    assert "class frequencies alone: undefined" in text  # no training counts
    assert any("bus" in line for line in text.splitlines() if line.startswith("WARNING"))


def test_collapse_comes_first_among_the_warnings_with_the_flags_that_help():
    constant = np.tile([0.5, 0.0, 0.25], (4, 1))
    found = summary.summarize_predictions(Y_TRUE, constant, NAMES, train_counts=COUNTS)
    assert found["collapsed"] is True
    assert found["warnings"][0].startswith("collapsed")
    for flag in ("--batch_norm", "--learning_rate=1e-4", "--warmup_steps="):
        assert flag in found["warnings"][0]
    # The class frequencies are predicted: neither loss nor accuracy is better than the baseline, and ties give the
    # share of positives, 1/2 and 1/4, as AP, where random rankings give more.
    assert [
        word
        for word in ("mAP", "loss", "binary accuracy", "no positive")
        if any(warning.startswith(word) for warning in found["warnings"])
    ] == ["mAP", "loss", "binary accuracy", "no positive"]


def test_a_good_result_has_no_warning():
    labels = np.array([[1, 0], [0, 1], [1, 0], [0, 1]])
    counts = LabelCounts((2, 2), (0, 0), 4)
    found = summary.summarize_predictions(labels, 0.1 + 0.8 * labels, ("cat", "dog"), train_counts=counts)
    assert found["mAP"] == 1 and found["warnings"] == []


def test_an_evaluation_without_any_positive_says_undefined_and_never_zero():
    found = summary.summarize_predictions([[0, -1]], [[0.2, 0.3]], ("cat", "dog"), split="val")
    assert found["mAP"] is None and found["baselines"]["chance_mAP"] is None
    assert found["warnings"] == ["mAP is undefined: no class has a positive in val."]
    line = next(line for line in summary.format_class_table(found).splitlines() if line.startswith("mAP"))
    assert line.split() == ["mAP", "(voc2010)", "undefined", "undefined", "over", "0", "of", "2", "classes"]


def test_numbers_that_json_cannot_hold_become_none_at_any_depth():
    value = {"a": [math.nan, 1.5, {"b": math.inf}], "c": ("x", 2)}
    assert summary.nan_to_none(value) == {"a": [None, 1.5, {"b": None}], "c": ["x", 2]}
