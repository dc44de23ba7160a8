"""Curves: what is drawn is looked for by its colour in the PNG."""

import io
import math
import warnings

import numpy as np
import pytest
from PIL import Image

from voc_tfdata.evaluation import figures

HISTORY = {
    "loss": [0.31, 0.24, 0.22],
    "val_loss": [0.30, 0.26, math.nan],
    "binary_accuracy": [0.90, 0.92, 0.93],
    "val_binary_accuracy": [0.91, 0.92, 0.92],
}


def read_png(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def count_colour(picture, colour, *, tolerance=0):
    """Number of pixels of this colour, e.g. "#1f6fb4", each channel within the tolerance."""
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int(np.sum(np.abs(picture - rgb).max(axis=-1) <= tolerance))


def test_there_is_a_panel_for_each_quantity_in_the_history():
    two = read_png(figures.draw_curves(HISTORY))
    four = read_png(figures.draw_curves({**HISTORY, "val_mAP": [0.1, 0.2, 0.25], "learning_rate": [1, 1, 1]}))
    assert two.shape[1] / four.shape[1] == pytest.approx(2 / 4, abs=0.01)
    assert two.shape[0] == four.shape[0]


def test_each_panel_stands_alone_for_narrow_screens():
    panels = figures.draw_curve_panels({**HISTORY, "learning_rate": [1, 1]}, {"constant_prior_loss": 0.28})
    assert [title for title, _ in panels] == ["loss (binary cross-entropy)", "binary accuracy", "learning rate"]
    assert all(read_png(png).shape[1] < 600 for _, png in panels)


def test_the_calibration_curve_leaves_out_empty_bins():
    some = figures.draw_calibration([0.05, None, 0.8], [0.0, None, 0.75], [4, 0, 2])
    assert count_colour(read_png(some), figures.BLUE, tolerance=60) > 200
    assert figures.draw_calibration([None], [None], [0]) == figures.draw_calibration([], [], [])


def test_train_and_validation_are_drawn_in_their_colours():
    both = read_png(figures.draw_curves({"loss": [0.3, 0.2], "val_loss": [0.4, 0.3]}))
    train = read_png(figures.draw_curves({"loss": [0.3, 0.2]}))
    assert count_colour(both, figures.BLUE) > 200 and count_colour(both, figures.ORANGE) > 200
    assert count_colour(train, figures.BLUE) > 200 and count_colour(train, figures.ORANGE) == 0


def test_a_baseline_is_drawn_where_it_is_known():
    plain = figures.draw_curves(HISTORY)
    assert figures.draw_curves(HISTORY, {"constant_prior_loss": None, "chance_mAP": 0.1}) == plain
    with_line = figures.draw_curves(HISTORY, {"constant_prior_loss": 0.28})
    before, after = (count_colour(read_png(png), figures.GREY, tolerance=40) for png in (plain, with_line))
    assert after > before + 200


def test_a_loss_that_starts_in_the_hundreds_leaves_the_later_epochs_readable():
    # 0.19 and 0.60 are 1/7000 of a linear axis to 703 apart: one row of pixels. On a logarithmic one, over a tenth.
    png = read_png(figures.draw_curves({"loss": [703.0], "val_loss": [None, 0.60, 0.19]}))
    rows = np.flatnonzero(np.any(np.all(png == [0xC2, 0x57, 0x0C], axis=-1)[150:], axis=1))  # below the legend
    assert np.ptp(rows) > 30


def test_one_epoch_is_drawn_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures.draw_curves({name: values[:1] for name, values in HISTORY.items()})


def test_a_history_without_any_curve_is_refused():
    with pytest.raises(ValueError, match="no epoch of loss, val_loss, .*it has: learning_rate"):
        figures.draw_curves({"learning_rate": [0.1]})
    with pytest.raises(ValueError, match="it has: nothing"):
        figures.draw_curves({})


def test_precision_recall_has_a_row_of_panels_for_each_five_classes():
    y_true = np.random.default_rng(0).integers(0, 2, (30, 11))
    y_score = np.random.default_rng(1).random((30, 11))
    heights = []
    for c in (5, 10, 11):
        png = figures.draw_precision_recall(y_true[:, :c], y_score[:, :c], [f"class {i}" for i in range(c)])
        heights.append(read_png(png).shape[0])
    assert np.diff(heights) == pytest.approx([2.15 * 110] * 2, abs=1)  # 2.15 inches at 110 dots an inch


@pytest.mark.parametrize(
    ("ranking", "definition", "ap"),
    [
        ([1, 1, 0], "voc2010", 1),
        ([1, 0, 1], "voc2010", 5 / 6),  # precision 1 to recall 1/2, 2/3 beyond
        ([0, 0, 1, 1], "voc2010", 1 / 2),  # 1/3, then 1/2, which counts for all
        ([0, 0, 1, 1], "step", 5 / 12),  # (1/3 + 1/2) / 2
    ],
)
def test_the_filled_area_is_the_average_precision(ranking, definition, ap):
    scores = -np.arange(float(len(ranking)))[:, None]
    png = read_png(figures.draw_precision_recall(np.array([ranking]).T, scores, ["cat"], definition=definition))
    filled = count_colour(png, "#d7e5f1", tolerance=2)  # the fill's light blue
    # The panel is 4.6 - 0.82 by 2.9 - 1.35 inches for 1.04 by 1.07 units, 110 dots an inch.
    unit = (3.78 * 110 / 1.04) * (1.55 * 110 / 1.07)
    assert ap - 0.06 < filled / unit < ap  # lines and the grid cover a little of it


def test_hostile_names_and_a_class_without_positive_are_drawn_without_a_warning():
    names = ["$\\broken$", "_hidden", "猫", "x" * 300, "a\nb\t"]
    y_true = np.array([[1, 0, 0, -1, 0], [0, 1, 1, 1, 0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png = figures.draw_precision_recall(y_true, np.full((2, 5), 0.5), names, definition="voc2007")
    assert read_png(png).shape[1] < 1500


def test_classes_beyond_the_limit_are_not_drawn(monkeypatch):
    monkeypatch.setattr(figures, "MAX_PANELS", 4)  # 100 take seconds
    y = np.eye(6)
    png = read_png(figures.draw_precision_recall(y, y, list("abcdef")))
    assert png.shape[0] == pytest.approx((2.15 + 0.75) * 110, abs=2)  # one row


def test_long_text_is_cut_by_its_width():
    assert figures.cut_text("person", 6) == "person"
    assert figures.cut_text("pottedplant", 6) == "potte…"
    assert figures.cut_text("猫猫猫猫", 6) == "猫猫…"  # each as wide as two letters
    assert figures.cut_text("a\nb\u202e", 9) == "a?b?"
    assert figures.cut_text("", 5) == ""
