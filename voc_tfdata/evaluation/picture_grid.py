"""Pictures with their true and predicted labels as one PNG: what a class table cannot show.

png = draw_picture_grid(images, y_true, y_score, ids, class_names)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from voc_tfdata.evaluation.figures import DPI, GREEN, GREY, ORANGE, RED, cut_text, font_families, png_of
from voc_tfdata.evaluation.labels import check_labels

MAX_PICTURES = 64  # in one grid
# in inches
_SIDE = 2.5  # of an image
_GAP = 0.22  # between images
_LINE = 0.152  # of text
_LEGEND_WIDTH = 1.95  # of one entry


def draw_picture_grid(
    images: Sequence[npt.NDArray[np.uint8]] | npt.NDArray[np.uint8],
    y_true: npt.ArrayLike | None,
    y_score: npt.ArrayLike,
    ids: Sequence[str],
    class_names: Sequence[str],
    *,
    threshold: float = 0.5,
    predicted: Sequence[Sequence[str]] | None = None,
) -> bytes:
    """Returns a PNG of images, each with its true labels on the left and its predicted ones on the right.

    Green and a tick: true and predicted. Orange cross: true, not predicted. Red cross: predicted, not true. Grey:
    difficult, counted neither way. The frame is green where nothing is wrong. Where no score reaches the threshold,
    the highest is shown in grey. Of more than 64 images the first 64 are drawn.

    Args:
      images: [N] images, uint8 [H, W, 3] RGB, of one size or of several.
      y_true: [N, C] of 1, 0 and -1, or None where the truth is not known.
      y_score: [N, C] probabilities.
      ids: [N] image ids.
      class_names: C names.
      threshold: a class is predicted where its probability is above.
      predicted: the names of the predicted classes of each image instead.

    Raises:
      ValueError: no image, another dtype or shape, lengths that differ, or a label that is none of 1, 0, -1.
    """
    scores = np.asarray(y_score)
    labels = None if y_true is None else check_labels(y_true, ndim=2)
    _check_pictures(images, labels, scores, ids, class_names)
    count = min(len(images), MAX_PICTURES)
    is_predicted = scores > threshold
    if predicted is not None:
        is_predicted = np.array([[name in names for name in class_names] for names in predicted])
    label_columns = [
        _label_columns(None if labels is None else labels[i], scores[i], class_names, is_predicted[i])
        for i in range(count)
    ]
    columns = min(5, count)
    width = max(columns * (_SIDE + _GAP) + _GAP, 4.4)
    legend = _legend_of(truth=labels is not None, shown=count, of=len(images))
    per_row = int((width - _GAP) / _LEGEND_WIDTH)
    # top of each row of images, in inches below the figure's: a row is as high as its longest list of labels
    tops = [0.26 + 0.2 * math.ceil(len(legend) / per_row)]
    for start in range(0, count, columns):
        lines = max(len(column) for pair in label_columns[start : start + columns] for column in pair)
        tops.append(tops[-1] + _SIDE + _LINE * (lines + 2) + 0.22)
    height = tops[-1]
    figure = Figure(figsize=(width, height), dpi=DPI)
    for k, (words, colour) in enumerate(legend):
        place = (_GAP + _LEGEND_WIDTH * (k % per_row), 0.12 + 0.2 * (k // per_row))
        _write(figure, place, words, colour, size=9)
    for i in range(count):
        corner = (_GAP + (i % columns) * (_SIDE + _GAP), tops[i // columns])
        true_lines, predicted_lines = label_columns[i]
        colours = {colour for _, colour in true_lines + predicted_lines}
        frame = GREY if labels is None else RED if colours & {RED, ORANGE} else GREEN
        _draw_picture(figure, corner, images[i], frame)
        below = corner[1] + _SIDE + 0.06
        _write(figure, (corner[0], below), _caption(ids[i], 36), GREY, size=7.5)
        if labels is not None:
            _write_column(figure, (corner[0], below + _LINE), "true", true_lines)
        shift = 0 if labels is None else 0.46 * _SIDE
        _write_column(figure, (corner[0] + shift, below + _LINE), "predicted", predicted_lines)
    return png_of(figure)


def _label_columns(
    labels: npt.NDArray[Any] | None,
    scores: npt.NDArray[Any],
    class_names: Sequence[str],
    predicted: npt.NDArray[np.bool_],
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Returns (true, predicted), each a list of (text, colour) of one line, at most six."""
    truth = np.zeros(len(scores)) if labels is None else labels
    left, right = [], []
    for c in np.flatnonzero(truth):
        if truth[c] == -1:
            left.append((f"– {cut_text(class_names[c], 15)}", GREY))
        else:
            mark, colour = ("✓", GREEN) if predicted[c] else ("✗", ORANGE)
            left.append((f"{mark} {cut_text(class_names[c], 15)}", colour))
    for c in sorted(np.flatnonzero(predicted), key=lambda c: -scores[c]):
        mark, colour = {1: ("✓", GREEN), 0: ("✗", RED), -1: ("–", GREY)}[int(truth[c])]
        if labels is None:
            mark, colour = "•", "black"
        right.append((f"{mark} {cut_text(class_names[c], 14)} {scores[c]:.2f}", colour))
    if not right:
        top = int(np.argmax(scores))
        right = [("none; highest:", GREY), (f"{cut_text(class_names[top], 14)} {scores[top]:.2f}", GREY)]
    return _shorten(left or [("none", GREY)]), _shorten(right)


def _caption(text: str, limit: int) -> str:
    """Returns a text cut at the front: of a path the file's name is what tells."""
    return text if len(text) <= limit else f"…{text[len(text) - limit + 1 :]}"


def _shorten(lines: list[tuple[str, str]], limit: int = 6) -> list[tuple[str, str]]:
    if len(lines) <= limit:
        return lines
    hidden = lines[limit - 1 :]
    wrong = [colour for _, colour in hidden if colour in (RED, ORANGE)]
    return [*lines[: limit - 1], (f"and {len(hidden)} more", wrong[0] if wrong else GREY)]


def _legend_of(*, truth: bool, shown: int, of: int) -> list[tuple[str, str]]:
    if truth:
        legend = [("✓ true and predicted", GREEN), ("✗ true, not predicted", ORANGE)]
        legend += [("✗ predicted, not true", RED), ("– difficult, not counted", GREY)]
    else:
        legend = [("• predicted: probability", "black")]
    return legend + ([(f"first {shown} of {of:,}", GREY)] if shown < of else [])


def _draw_picture(figure: Figure, corner: tuple[float, float], image: npt.NDArray[np.uint8], colour: str) -> None:
    """Draws an image and its frame; corner is left and top, in inches from the figure's left and top."""
    width, height = figure.get_size_inches()
    left, bottom = corner[0] / width, 1 - (corner[1] + _SIDE) / height
    axes = figure.add_axes((left, bottom, _SIDE / width, _SIDE / height))
    axes.imshow(image)
    axes.set_axis_off()
    frame = Rectangle((left, bottom), _SIDE / width, _SIDE / height, fill=False, edgecolor=colour, linewidth=2)
    figure.add_artist(frame)


def _write_column(figure: Figure, corner: tuple[float, float], title: str, lines: list[tuple[str, str]]) -> None:
    _write(figure, corner, title, "black", size=7.5, weight="bold")
    for k, (words, colour) in enumerate(lines, start=1):
        _write(figure, (corner[0], corner[1] + k * _LINE), words, colour)


def _write(
    figure: Figure, corner: tuple[float, float], text: str, colour: str, *, size: float = 8, weight: str = "normal"
) -> None:
    width, height = figure.get_size_inches()
    x, y = corner[0] / width, 1 - corner[1] / height
    style: dict[str, Any] = {"color": colour, "fontsize": size, "weight": weight, "family": font_families()}
    figure.text(x, y, text, va="top", parse_math=False, **style)


def _check_pictures(
    images: Sequence[npt.NDArray[np.uint8]] | npt.NDArray[np.uint8],
    labels: npt.NDArray[Any] | None,
    scores: npt.NDArray[Any],
    ids: Sequence[str],
    class_names: Sequence[str],
) -> None:
    if not len(images):
        raise ValueError("no image to draw")
    shape = (len(images), len(class_names))
    if scores.shape != shape or (labels is not None and labels.shape != shape) or len(ids) != len(images):
        raise ValueError(
            f"{len(images)} images and {len(class_names)} class names need scores and labels of shape {shape} and "
            f"{len(images)} ids; got {scores.shape}, {None if labels is None else labels.shape} and {len(ids)} ids"
        )
    for image_id, image in zip(ids, images, strict=True):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"picture {image_id} is {image.dtype} {image.shape}; expected uint8 [H, W, 3]")
