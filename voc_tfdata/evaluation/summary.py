"""One evaluation in numbers: the content of metrics.json, and the warnings a reader needs before believing it.

summary = summarize_predictions(y_true, y_score, VOC_CLASSES, train_counts=counts)
print(format_class_table(summary))
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from voc_tfdata.evaluation import baselines, decisions, metrics
from voc_tfdata.evaluation.average_precision import mean_average_precision
from voc_tfdata.records.describe import format_table


def summarize_predictions(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    class_names: Sequence[str],
    *,
    definition: str = "voc2010",
    split: str = "test",
    train_counts: baselines.LabelCounts | None = None,
) -> dict[str, Any]:
    """Returns the numbers of one evaluation as plain values that JSON can hold.

    Args:
      y_true: [N, C] of 1, 0 and -1; cells labelled -1 are excluded.
      y_score: [N, C] probabilities.
      class_names: C different names.
      definition: of average precision, "voc2007", "voc2010" or "step".
      split: name of what was evaluated.
      train_counts: of the labels trained on, for the constant-prior loss; None where they are not known.

    Returns:
      Dict of protocol, mAP, ap {class: AP}, loss (plain binary cross-entropy, nats), binary_accuracy, baselines
      {constant_prior_loss, all_negative_binary_accuracy, chance_mAP}, chance_ap, positives and ignored ({class: ...}),
      undefined_classes (without positive, not in the mean), split, num_examples, collapsed, prediction_std (see
      metrics.prediction_spread), warnings (sentences); and of module decisions: mAP_interval [low, high],
      best_threshold, best_f1, precision, recall and class_calibration_error ({class: ...}), calibration_error,
      calibration (the curve), false_alarms {class shown: {class predicted: images}} without the zeros. What is
      undefined is None.

    Raises:
      ValueError: bad labels, probabilities, names, definition or counts; see metrics and baselines.
    """
    result = mean_average_precision(y_true, y_score, definition=definition, class_names=class_names)
    trivial = baselines.trivial_baselines(y_true, train_counts, definition=definition)
    names = result.class_names
    summary = {
        "protocol": definition,
        "mAP": result.mAP,
        "ap": dict(zip(names, result.ap, strict=True)),
        "loss": metrics.binary_cross_entropy(y_true, y_score),
        "binary_accuracy": metrics.binary_accuracy(y_true, y_score),
        "baselines": {
            "constant_prior_loss": trivial.constant_prior_loss,
            "all_negative_binary_accuracy": trivial.all_negative_accuracy,
            "chance_mAP": trivial.chance_mAP,
        },
        "chance_ap": dict(zip(names, trivial.chance_ap, strict=True)),
        "positives": dict(zip(names, result.positives, strict=True)),
        "ignored": dict(zip(names, result.ignored, strict=True)),
        "undefined_classes": list(result.undefined),
        "split": split,
        "num_examples": len(np.asarray(y_true)),
        "collapsed": metrics.is_collapsed(y_score),
        "prediction_std": metrics.prediction_spread(y_score),
        **_decisions(y_true, y_score, names, definition),
    }
    summary = nan_to_none(summary)
    return {**summary, "warnings": find_warnings(summary)}


def _decisions(y_true: npt.ArrayLike, y_score: npt.ArrayLike, names: Sequence[str], definition: str) -> dict[str, Any]:
    points = decisions.operating_points(y_true, y_score)
    curve = decisions.calibration(y_true, y_score)
    confused = decisions.false_alarms(y_true, y_score).tolist()

    def by_class(field: str) -> dict[str, float]:
        return {name: getattr(point, field) for name, point in zip(names, points, strict=True)}

    return {
        "mAP_interval": list(decisions.bootstrap_mAP(y_true, y_score, definition=definition)),
        "best_threshold": by_class("best_threshold"),
        "best_f1": by_class("best_f1"),
        "precision": by_class("precision"),
        "recall": by_class("recall"),
        "class_calibration_error": by_class("calibration_error"),
        "calibration_error": curve.error,
        "calibration": {"predicted": curve.predicted, "observed": curve.observed, "counts": curve.counts},
        "false_alarms": {
            shown: row
            for shown, counts in zip(names, confused, strict=True)
            if (row := {name: count for name, count in zip(names, counts, strict=True) if count})
        },
    }


def find_warnings(summary: Mapping[str, Any]) -> list[str]:
    """Returns a sentence for each reason not to take the numbers at face value, the gravest first."""
    found = []
    trivial = summary["baselines"]
    if summary["collapsed"]:
        found.append(
            f"{metrics.describe_collapse(summary['loss'], trivial['constant_prior_loss'])} (every image gets the same "
            f"prediction: standard deviation over images {summary['prediction_std']:.2g}, below "
            f"{metrics.COLLAPSE_STD:g})."
        )
    if summary["mAP"] is None:
        found.append(f"mAP is undefined: no class has a positive in {summary['split']}.")
    elif summary["mAP"] <= trivial["chance_mAP"]:
        found.append(f"mAP {summary['mAP']:.3f} is not above chance, {trivial['chance_mAP']:.3f}.")
    prior_loss = trivial["constant_prior_loss"]
    if prior_loss is not None and summary["loss"] is not None and summary["loss"] >= prior_loss:
        found.append(
            f"loss {summary['loss']:.4f} is not below {prior_loss:.4f}, which predicting the class frequencies for "
            "every image gives."
        )
    negative = trivial["all_negative_binary_accuracy"]
    if summary["mAP"] is not None and summary["binary_accuracy"] <= negative:
        found.append(
            f"binary accuracy {summary['binary_accuracy']:.4f} is not above {negative:.4f}, which answering 'absent' "
            "everywhere gives."
        )
    undefined = summary["undefined_classes"]
    if undefined and summary["mAP"] is not None:
        found.append(
            f"no positive in {summary['split']}, so AP is undefined and not in the mean: {', '.join(undefined)}."
        )
    return found


def format_class_table(summary: Mapping[str, Any]) -> str:
    """Returns a text table: a line per class, the mean with its definition, loss and accuracy, then the warnings.

    Args:
      summary: of summarize_predictions.
    """
    head, rows = ["class", "positives", "ignored", "AP", "chance AP"], []
    for name in summary["ap"]:
        numbers = str(summary["positives"][name]), str(summary["ignored"][name])
        rows.append([name, *numbers, format_value(summary["ap"][name]), format_value(summary["chance_ap"][name])])
    mean = format_value(summary["mAP"]), format_value(summary["baselines"]["chance_mAP"])
    rows.append([f"mAP ({summary['protocol']})", "", "", *mean])
    lines = format_table(head, rows).splitlines()
    rule = "-" * len(lines[0])
    lines[-1] += f"  over {describe_mean(summary)}"
    trivial = summary["baselines"]
    return "\n".join(
        [
            f"{summary['split']}: {summary['num_examples']:,} images",
            lines[0],
            rule,
            *lines[1:-1],
            rule,
            lines[-1],
            f"loss {format_value(summary['loss'], 4)} (class frequencies alone: "
            f"{format_value(trivial['constant_prior_loss'], 4)})",
            f"binary accuracy {format_value(summary['binary_accuracy'], 4)} (all absent: "
            f"{format_value(trivial['all_negative_binary_accuracy'], 4)})",
            *[f"WARNING: {sentence}" for sentence in summary["warnings"]],
        ]
    )


def describe_mean(summary: Mapping[str, Any]) -> str:
    """Returns e.g. "19 of 20 classes": how many have a positive and are in the mean."""
    total = len(summary["ap"])
    return f"{total - len(summary['undefined_classes'])} of {total} classes"


def format_value(value: float | None, digits: int = 3) -> str:
    """Returns the number with so many digits, "undefined" for None."""
    return "undefined" if value is None else f"{value:.{digits}f}"


def nan_to_none(value: Any) -> Any:
    """Returns the value with every float that JSON cannot hold (NaN, infinity) replaced by None, at any depth."""
    if isinstance(value, Mapping):
        return {key: nan_to_none(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [nan_to_none(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
