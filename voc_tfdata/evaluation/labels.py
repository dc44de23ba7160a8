"""Labels and scores as arrays, checked: what every metric takes. numpy only."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]


def check_labels(y_true: npt.ArrayLike, *, ndim: int) -> Ints:
    """Returns labels as integers; raises ValueError unless they are ndim-dimensional and all 1, 0 or -1."""
    labels = np.asarray(y_true)
    _check_shape("y_true", labels, ndim)
    wrong = np.argwhere(~np.isin(labels, (1, 0, -1)))
    if len(wrong):
        where = wrong[0].tolist()
        raise ValueError(
            f"y_true has {labels[tuple(where)]} at {where}; allowed: 1 (present), 0 (absent), -1 (left out)"
        )
    return labels.astype(np.int64)


def check_labels_and_scores(y_true: npt.ArrayLike, y_score: npt.ArrayLike, *, ndim: int) -> tuple[Ints, Floats]:
    labels, scores = check_labels(y_true, ndim=ndim), check_scores(y_score, ndim=ndim)
    if labels.shape != scores.shape:
        raise ValueError(f"y_true has shape {labels.shape}, y_score {scores.shape}; they must be the same")
    return labels, scores


def check_scores(y_score: npt.ArrayLike, *, ndim: int) -> Floats:
    scores = np.asarray(y_score).astype(np.float64)
    _check_shape("y_score", scores, ndim)
    nans = np.argwhere(np.isnan(scores))
    if len(nans):
        raise ValueError(f"y_score has {len(nans)} NaN, the first at {nans[0].tolist()}: the model diverged")
    return scores


def _check_shape(name: str, array: npt.NDArray[Any], ndim: int) -> None:
    if array.ndim != ndim:
        expected = "[N]" if ndim == 1 else "[N, C]"
        raise ValueError(f"{name} has shape {array.shape}; expected {expected}")
    if ndim == 2 and not array.size:
        raise ValueError(f"{name} has shape {array.shape}: there is no example (or no class) to evaluate")
