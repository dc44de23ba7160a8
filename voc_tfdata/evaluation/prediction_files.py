"""Predictions as files, each image's id beside its scores.

    write_predictions_csv("predictions.csv", ids, y_true, y_score, VOC_CLASSES)
    write_submission_files("results", "test", ids, y_score, VOC_CLASSES)     # comp1_cls_test_aeroplane.txt ...

Every file is written under a temporary name and renamed, so a file that is there is whole.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voc_tfdata.evaluation.labels import check_labels
from voc_tfdata.files import write_whole


def write_predictions_csv(
    path: str | Path,
    ids: Sequence[str | bytes],
    y_true: npt.ArrayLike | None,
    y_score: npt.ArrayLike,
    class_names: Sequence[str],
    *,
    predicted: Sequence[Sequence[str]] | None = None,
) -> None:
    """Writes one CSV line (UTF-8) per image: id, true, predicted, label_{class} ..., score_{class} ...

    `true` and `predicted` (those given, else those above 0.5) are names joined by "; ", for reading; label_ is 1, 0 or
    -1 and score_ the shortest decimal that gives the same float again. With y_true None there are neither `true` nor
    label_ columns.

    Raises:
      ValueError: lengths that differ, or a label that is none of 1, 0, -1.
    """
    scores = _as_floats(y_score, class_names)
    labels = None if y_true is None else check_labels(y_true, ndim=2)
    if len(ids) != len(scores) or (labels is not None and labels.shape != scores.shape):
        raise ValueError(
            f"{len(ids)} ids, y_score {scores.shape}, y_true {labels if labels is None else labels.shape}: they differ"
        )
    known = labels is not None
    header = ["id", *["true"] * known, "predicted", *[f"label_{name}" for name in class_names] * known]
    lines = [[*header, *[f"score_{name}" for name in class_names]]]
    for i, image_id in enumerate(ids):
        line = [as_text(image_id)]
        if labels is not None:
            line.append("; ".join(class_names[c] for c in np.flatnonzero(labels[i] == 1)))
        above = predicted[i] if predicted is not None else [class_names[c] for c in np.flatnonzero(scores[i] > 0.5)]
        line.append("; ".join(above))
        if labels is not None:
            line += [str(label) for label in labels[i]]
        lines.append(line + [_format_score(score) for score in scores[i]])
    write_file(path, format_csv(lines))


def write_submission_files(
    folder: str | Path,
    set_name: str,
    ids: Sequence[str | bytes],
    y_score: npt.ArrayLike,
    class_names: Sequence[str],
    *,
    competition: int = 1,
) -> list[Path]:
    """Writes the classification results as the VOC evaluation server wants them and returns the paths.

    One file per class, comp1_cls_{set}_{class}.txt, one line `id score` an image (VOC2010 development kit, section 3.3;
    competition 1 is for models of VOC's own data, 2 for pretrained weights: section 3.2). Scores have no
    exponent and give the same float again, so no tie is made. What a file name cannot hold is written as %XX.

    Raises:
      ValueError: lengths that differ, or an id that is empty or has a line break.
    """
    folder = Path(folder)
    scores = _as_floats(y_score, class_names)
    text_ids = as_text_ids(ids, len(scores))
    paths = []
    for c, name in enumerate(class_names):
        path = folder / f"comp{competition}_cls_{_as_file_name(set_name)}_{_as_file_name(name)}.txt"
        lines = (f"{image_id} {_format_score(score)}\n" for image_id, score in zip(text_ids, scores[:, c], strict=True))
        write_file(path, "".join(lines))
        paths.append(path)
    return paths


def write_file(path: str | Path, content: str | bytes) -> None:
    """Writes a file whole or not at all, its folder too; what UTF-8 cannot hold (a broken file name) is escaped."""
    write_whole(path, content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)


def format_csv(lines: Sequence[Sequence[str]]) -> str:
    """Returns lines of fields as CSV text, quoted where needed.

    A text that a spreadsheet would take for a formula (a file may be called "=cmd()") gets an apostrophe in front.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_defuse(field) for field in line] for line in lines)
    return text.getvalue()


def _defuse(field: str) -> str:
    return f"'{field}" if field.startswith(("=", "+", "-", "@", "\t", "\r")) and not _is_number(field) else field


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def as_text_ids(ids: Sequence[str | bytes], count: int) -> list[str]:
    """Returns ids as text; raises ValueError unless there are `count` of them, each fit for a line of a list."""
    if len(ids) != count:
        raise ValueError(f"{len(ids)} ids for {count} rows of scores; each row needs the id of its image")
    text_ids = [as_text(image_id) for image_id in ids]
    broken = [image_id for image_id in text_ids if image_id.splitlines() != [image_id]]
    if broken:
        raise ValueError(f"image id {broken[0]!r} is empty or has a line break: it cannot stand in a list; rename it")
    return text_ids


def as_text(image_id: str | bytes) -> str:
    """Returns an id as text; TensorFlow hands strings out as bytes."""
    return image_id.decode("utf-8", "backslashreplace") if isinstance(image_id, bytes) else str(image_id)


def _as_floats(y_score: npt.ArrayLike, class_names: Sequence[str]) -> npt.NDArray[Any]:
    """Returns scores [N, C] in their own precision, so that a float32 is written with its own few digits."""
    scores = np.asarray(y_score)
    if scores.ndim != 2 or scores.shape[1] != len(class_names):
        raise ValueError(f"y_score has shape {scores.shape}; expected [N, {len(class_names)}], a column a class name")
    return scores.astype(np.float64 if scores.dtype.itemsize > 4 else np.float32)


def _format_score(score: np.floating[Any]) -> str:
    return np.format_float_positional(score, trim="0")


def _as_file_name(text: str) -> str:
    return re.sub(r'[\x00-\x1f%/\\:*?"<>|]', lambda match: f"%{ord(match[0]):02X}", text)
