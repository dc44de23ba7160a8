"""The grid: right and wrong are told by colour."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from voc_tfdata.evaluation import figures, picture_grid

NAMES = ("cat", "dog", "person")
GREY_PICTURE = np.full((40, 40, 3), 200, np.uint8)


def count_colour(picture, colour):
    """Number of pixels of exactly this colour, e.g. "#1f6fb4"."""
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int(np.sum(np.all(picture == rgb, axis=-1)))


def draw(y_true, y_score, images=None, ids=None, names=NAMES):
    images = [GREY_PICTURE] * len(y_score) if images is None else images
    ids = [f"2007_{i:06d}" for i in range(len(images))] if ids is None else ids
    png = picture_grid.draw_picture_grid(images, y_true, y_score, ids, names)
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def frame_colours(picture):
    """Which of green and red frames the image: a frame has thousands of pixels, text of one colour a few hundred."""
    return {name for name in ("GREEN", "RED") if count_colour(picture, getattr(figures, name)) > 1500}


@pytest.mark.parametrize(
    ("labels", "frame"),
    [
        ([1, 0, 0], {"GREEN"}),  # cat 0.9: a hit
        ([1, 1, 0], {"RED"}),  # dog 0.2: missed
        ([0, 0, 0], {"RED"}),  # cat 0.9: a false alarm
        ([1, -1, 0], {"GREEN"}),  # dog is difficult: not missed
        ([-1, 0, 0], {"GREEN"}),  # cat is difficult: no false alarm
    ],
)
def test_the_frame_is_green_where_nothing_is_wrong(labels, frame):
    assert frame_colours(draw([labels], [[0.9, 0.2, 0.1]])) == frame


def test_missed_labels_are_orange_and_false_alarms_red():
    hit = draw([[1, 0, 0]], [[0.9, 0.2, 0.1]])
    missed = draw([[1, 1, 0]], [[0.9, 0.2, 0.1]])
    false_alarm = draw([[0, 0, 0]], [[0.9, 0.2, 0.1]])
    orange, red = figures.ORANGE, figures.RED
    assert count_colour(missed, orange) > count_colour(hit, orange)  # beyond the legend's own words
    assert count_colour(false_alarm, orange) == count_colour(hit, orange)
    assert count_colour(false_alarm, red) > count_colour(hit, red) + 1500


def test_without_truth_nothing_is_called_right_or_wrong():
    picture = draw(None, [[0.9, 0.2, 0.1], [0.1, 0.2, 0.3]])
    assert [count_colour(picture, colour) for colour in (figures.GREEN, figures.RED, figures.ORANGE)] == [0, 0, 0]


def test_pictures_keep_their_colours_and_their_shape():
    wide = np.zeros((50, 100, 3), np.uint8)
    wide[...] = (10, 200, 250)  # RGB: not to be mistaken for BGR
    picture = draw([[1, 0, 0]], [[0.9, 0.2, 0.1]], images=[wide])
    rows, columns = np.nonzero(np.all(picture == [10, 200, 250], axis=-1))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert width / height == pytest.approx(2, abs=0.05) and width > 250


def test_there_are_five_pictures_in_a_row_and_only_so_many_in_all(monkeypatch):
    def draw_many(n):
        return draw(np.zeros((n, 3)), np.full((n, 3), 0.1), [GREY_PICTURE] * n)

    one_row, two_rows = draw_many(5), draw_many(6)
    monkeypatch.setattr(picture_grid, "MAX_PICTURES", 10)
    cut = draw_many(12)
    assert one_row.shape[1] == two_rows.shape[1] == cut.shape[1] < 1600
    assert two_rows.shape[0] - one_row.shape[0] > 2.5 * 110  # inches of an image at 110 dots an inch
    assert cut.shape == two_rows.shape


def test_hostile_names_and_many_labels_are_drawn_without_a_warning():
    names = ["$\\frac$", "猫", "x" * 200, *[f"class {i}" for i in range(30)]]
    labels, scores = np.ones((1, 33), int), np.full((1, 33), 0.9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = draw(labels, scores, ids=["$\\a$" + "long" * 50], names=names)
    assert picture.shape[0] < 600  # the list of labels is cut


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], None, np.zeros((0, 3)), []), "no image"),
        (([GREY_PICTURE / 255], None, np.zeros((1, 3)), ["a"]), r"picture a is float64 \(40, 40, 3\); expected uint8"),
        (([GREY_PICTURE[..., 0]], None, np.zeros((1, 3)), ["a"]), r"picture a is uint8 \(40, 40\)"),
        (([GREY_PICTURE], None, np.zeros((1, 2)), ["a"]), r"shape \(1, 3\) .*got \(1, 2\)"),
        (([GREY_PICTURE], [[1, 0]], np.zeros((1, 3)), ["a"]), r"got \(1, 3\), \(1, 2\)"),
        (([GREY_PICTURE], None, np.zeros((1, 3)), ["a", "b"]), "2 ids"),
        (([GREY_PICTURE], [[2, 0, 0]], np.zeros((1, 3)), ["a"]), "y_true has 2"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        picture_grid.draw_picture_grid(*arguments, NAMES)
