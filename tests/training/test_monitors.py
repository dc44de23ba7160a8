import math

import numpy as np
import pytest

from voc_tfdata.evaluation.predictions import Predictions
from voc_tfdata.training.monitors import MONITORS, is_better, score_epoch, why_finished

LIMITS = {"total_steps": 100, "max_steps": 0, "patience": 4, "monitor": "val_loss"}


def test_losses_get_better_downwards_and_the_rest_upwards() -> None:
    for monitor in MONITORS:
        assert is_better(0.2, 0.3, monitor) == monitor.endswith("loss")
        assert is_better(0.4, 0.3, monitor) != monitor.endswith("loss")
        assert not is_better(0.3, 0.3, monitor)


def test_the_first_value_is_the_best_unless_it_is_nan() -> None:
    assert is_better(9.0, None, "val_loss")
    assert not is_better(math.nan, None, "val_mAP")
    assert not is_better(math.nan, 0.1, "val_mAP")


def test_validation_is_judged_without_the_ignored_cells() -> None:
    y_true = np.array([[1, 0], [0, -1]], np.float32)
    y_score = np.array([[0.8, 0.4], [0.6, 0.9]], np.float32)
    found = score_epoch(Predictions(["a", "b"], y_true, y_score), definition="voc2010")
    # cells that count: 0.8 for 1, 0.4 for 0, 0.6 for 0; two of three are on the right side of 0.5
    assert found["val_loss"] == pytest.approx(-(math.log(0.8) + math.log(0.6) + math.log(0.4)) / 3)
    assert found["val_binary_accuracy"] == pytest.approx(2 / 3)
    assert found["val_mAP"] == 1.0  # class 0 is ranked right; class 1 has no positive and is left out


def test_nan_predictions_are_no_result() -> None:
    predictions = Predictions(["a"], np.array([[1, 0]], np.float32), np.array([[0.5, math.nan]], np.float32))
    with pytest.raises(FloatingPointError, match="predicts NaN"):
        score_epoch(predictions, definition="voc2010")


@pytest.mark.parametrize(
    ("step", "waited", "changed", "reason"),
    [
        (99, 3, {}, ""),
        (100, 0, {}, "all epochs are done"),
        (99, 4, {}, "no better val_loss for 4 epochs (--patience)"),
        (99, 4, {"patience": 5}, ""),
        (99, 50, {"patience": 0}, ""),
        (99, 0, {"max_steps": 99}, "--max_steps=99 are done"),
        (98, 0, {"max_steps": 99}, ""),
    ],
)
def test_training_ends_for_a_reason(step: int, waited: int, changed: dict, reason: str) -> None:
    assert why_finished(step=step, epochs_without_better=waited, **{**LIMITS, **changed}) == reason
