"""Evaluates a trained model on a split: average precision per class, baselines beside it, a report.

    voc_tfdata evaluate --checkpoint=runs/a/best.keras --records=records/voc2012 --split=test --out_dir=evaluated

Prints the class table; leaves report.html, metrics.json, predictions.csv and VOC's submission files in --out_dir.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from voc_tfdata.commands.command_line import check_no_arguments, run_command
from voc_tfdata.commands.model_evaluation import evaluate_checkpoint, find_label_counts
from voc_tfdata.evaluation.average_precision import DEFINITIONS

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "best.keras of a training run.", required=True)
_RECORDS = flags.DEFINE_string(
    "records", None, "Folder written by build_tfrecords, or its URI; several as one: a,b.", required=True
)
_SPLIT = flags.DEFINE_string("split", "test", "Split to evaluate on; a union: val+test.")
_OUT_DIR = flags.DEFINE_string("out_dir", None, "Folder for the report.", required=True)
_TRAIN_SPLIT = flags.DEFINE_string("train_split", "train", "Split it was trained on, for the baselines.")
_DIFFICULT = flags.DEFINE_enum(
    "difficult",
    "ignore",
    ["positive", "ignore", "negative"],
    "Label of a class whose objects are all marked difficult: positive (1), ignore (-1) or negative (0).",
)
_DEFINITION = flags.DEFINE_enum("definition", "voc2010", list(DEFINITIONS), "Definition of average precision.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Images at a time.", lower_bound=1)
_CACHE_DIR = flags.DEFINE_string("cache_dir", "", "Local folder for the mirror of remote records.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace the report of another evaluation in --out_dir.")


def main(argv: list[str]) -> None:
    """Evaluates by the flags."""
    check_no_arguments(argv)
    train_counts = find_label_counts(_RECORDS.value, _TRAIN_SPLIT.value, difficult=_DIFFICULT.value)
    evaluate_checkpoint(
        _CHECKPOINT.value,
        _RECORDS.value,
        Path(_OUT_DIR.value),
        split=_SPLIT.value,
        train_counts=train_counts,
        difficult=_DIFFICULT.value,
        definition=_DEFINITION.value,
        batch_size=_BATCH_SIZE.value,
        cache_dir=_CACHE_DIR.value,
        overwrite=_OVERWRITE.value,
    )


def run() -> None:
    """The command, with the flags of this process."""
    run_command(main)
