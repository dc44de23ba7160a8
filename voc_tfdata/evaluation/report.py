"""Writes what an evaluation found: metrics.json, tables, curves, images, submission files, one HTML page.

    summary = write_report("runs/a", ids=ids, y_true=y_true, y_score=y_score, class_names=VOC_CLASSES)
    print(format_class_table(summary))

Every file is written under a temporary name and renamed, so a file that is there is whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voc_tfdata.evaluation import figures, picture_grid
from voc_tfdata.evaluation.baselines import LabelCounts
from voc_tfdata.evaluation.prediction_files import (
    as_text,
    as_text_ids,
    format_csv,
    write_file,
    write_predictions_csv,
    write_submission_files,
)
from voc_tfdata.evaluation.report_html import format_html
from voc_tfdata.evaluation.summary import format_class_table, nan_to_none, summarize_predictions

__all__ = [
    "format_class_table",
    "write_class_table",
    "write_metrics_json",
    "write_picture_grid",
    "write_predictions_csv",
    "write_report",
    "write_submission_files",
]

_HEADINGS = {  # of the images in report.html
    "curves.png": "Training curves",
    "calibration.png": "Calibration: does 0.8 mean right in 8 of 10?",
    "precision_recall.png": "Precision over recall; dashed: random scores",
    "pictures.png": "The first images, with true labels and those predicted above 0.5",
    "mistakes.png": "The most confident mistakes",
}


def write_report(
    out_dir: str | Path,
    *,
    ids: Sequence[str | bytes],
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    class_names: Sequence[str],
    definition: str = "voc2010",
    split: str = "test",
    train_counts: LabelCounts | None = None,
    history: Mapping[str, Sequence[float | None]] | None = None,
    sample_images: Mapping[str, npt.NDArray[np.uint8]] | None = None,
    mistake_images: Mapping[str, npt.NDArray[np.uint8]] | None = None,
    facts: Mapping[str, str] | None = None,
    flags_text: str = "",
    competition: int = 1,
) -> dict[str, Any]:
    """Writes the whole report of one evaluation into a folder and returns the content of its metrics.json.

    Files: classes.csv, predictions.csv, comp1_cls_{split}_{class}.txt, calibration.png, precision_recall.png,
    curves.png (with a history), pictures.png (with sample_images), mistakes.png (with mistake_images), report.html, and
    last metrics.json. Nothing is written if the arguments are wrong.

    Args:
      out_dir: local folder, made if it is not there; files of the same names are replaced.
      ids: [N] image ids, each once.
      y_true: [N, C] of 1, 0 and -1; cells labelled -1 are excluded.
      y_score: [N, C] probabilities, row i of ids[i].
      class_names: C different names.
      definition: of average precision, "voc2007", "voc2010" or "step".
      split: name of what was evaluated.
      train_counts: of the labels trained on, for the constant-prior loss.
      history: name -> one value per epoch; see figures.draw_curves. Without a loss or accuracy in it: no curves.png.
      sample_images: image id -> image uint8 [H, W, 3] RGB, for the grid; 20 are a good number.
      mistake_images: likewise, of decisions.worst_mistakes.
      facts: name -> value of what was evaluated, shown in report.html.
      flags_text: resolved flags of the run, shown in report.html.
      competition: of VOC, in the names of the submission files: 2 for models with pretrained weights.

    Raises:
      ValueError: bad labels, probabilities, names, definition or counts; ids that repeat, are not N, are empty or hold
        a line break; a sample whose id is unknown or that is no such image.
      OSError: a file cannot be written.
    """
    text_ids = as_text_ids(ids, len(np.asarray(y_score)))
    summary = summarize_predictions(
        y_true, y_score, class_names, definition=definition, split=split, train_counts=train_counts
    )
    labels, scores = np.asarray(y_true), np.asarray(y_score)
    grids = {"pictures.png": sample_images or {}, "mistakes.png": mistake_images or {}}
    rows = {name: _find_rows(text_ids, list(images)) for name, images in grids.items()}
    pngs, panels = {}, {}
    if history and any(history.get(name) for name in ("loss", "val_loss", "binary_accuracy", "val_binary_accuracy")):
        pngs["curves.png"] = figures.draw_curves(history, summary["baselines"])
        panels["curves.png"] = figures.draw_curve_panels(history, summary["baselines"])
    pngs["calibration.png"] = figures.draw_calibration(**summary["calibration"])
    pngs["precision_recall.png"] = figures.draw_precision_recall(labels, scores, class_names, definition=definition)
    for name, images in grids.items():
        if images:
            shown = rows[name]
            sample_ids = [text_ids[row] for row in shown]
            pngs[name] = picture_grid.draw_picture_grid(
                list(images.values()), labels[shown], scores[shown], sample_ids, class_names
            )

    folder = Path(out_dir)
    write_class_table(folder / "classes.csv", summary)
    write_predictions_csv(folder / "predictions.csv", text_ids, labels, scores, class_names)
    write_submission_files(folder, split, text_ids, scores, class_names, competition=competition)
    for name, png in pngs.items():
        write_file(folder / name, png)
    sections = {_HEADINGS[name]: panels.get(name) or [(_HEADINGS[name], png)] for name, png in pngs.items()}
    html = format_html(summary, sections, facts=facts, flags_text=flags_text)
    write_file(folder / "report.html", html)
    write_metrics_json(folder / "metrics.json", summary)
    return summary


def write_picture_grid(
    images: Sequence[npt.NDArray[np.uint8]] | npt.NDArray[np.uint8],
    y_true: npt.ArrayLike | None,
    y_score: npt.ArrayLike,
    ids: Sequence[str | bytes],
    class_names: Sequence[str],
    path: str | Path,
    *,
    predicted: Sequence[Sequence[str]] | None = None,
) -> None:
    """Writes images with their labels as PNG; arguments and errors are those of picture_grid.draw_picture_grid."""
    text_ids = [as_text(image_id) for image_id in ids]
    write_file(
        path, picture_grid.draw_picture_grid(images, y_true, y_score, text_ids, class_names, predicted=predicted)
    )


def write_class_table(path: str | Path, summary: Mapping[str, Any]) -> None:
    """Writes one CSV line (UTF-8) per class: class, positives, ignored, ap_{definition}, chance_ap_{definition}.

    An undefined AP is an empty field.

    Args:
      path: of the file.
      summary: of summary.summarize_predictions, or write_report's answer.
    """
    protocol = summary["protocol"]
    lines = [["class", "positives", "ignored", f"ap_{protocol}", f"chance_ap_{protocol}"]]
    for name, ap in summary["ap"].items():
        chance = summary["chance_ap"][name]
        numbers = ["" if value is None else f"{value:.6f}" for value in (ap, chance)]
        lines.append([name, str(summary["positives"][name]), str(summary["ignored"][name]), *numbers])
    write_file(path, format_csv(lines))


def write_metrics_json(path: str | Path, summary: Mapping[str, Any]) -> None:
    """Writes the numbers of an evaluation as JSON (UTF-8); NaN and infinity become null."""
    text = json.dumps(nan_to_none(summary), indent=1, ensure_ascii=False, allow_nan=False)
    write_file(path, text + "\n")


def _find_rows(ids: Sequence[str], sample_ids: Sequence[str | bytes]) -> list[int]:
    row_of = {image_id: row for row, image_id in enumerate(ids)}
    if len(row_of) < len(ids):
        twice = next(image_id for row, image_id in enumerate(ids) if row_of[image_id] != row)
        raise ValueError(f"image id {twice!r} comes twice in ids: each image is evaluated once")
    unknown = [as_text(image_id) for image_id in sample_ids if as_text(image_id) not in row_of]
    if unknown:
        raise ValueError(f"sample_images has {unknown[0]!r}, which is not in ids ({len(unknown)} such)")
    return [row_of[as_text(image_id)] for image_id in sample_ids]
