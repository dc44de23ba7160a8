"""A trained model, held against a split of a data set, with everything written that can be said about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voc_tfdata.baselines import LabelCounts
from voc_tfdata.dataset import eval_dataset, read_examples
from voc_tfdata.evaluation import evaluate
from voc_tfdata.history import read_history
from voc_tfdata.manifest import read_manifest
from voc_tfdata.model_file import load_model
from voc_tfdata.report import write_report
from voc_tfdata.transforms import decode_jpeg

SAMPLE_PICTURES = 20  # in the grid


def report_checkpoint(
    checkpoint: str | Path,
    records_dir: str | Path,
    out_dir: str | Path,
    *,
    split: str = "test",
    train_counts: LabelCounts | None = None,
    difficult: str = "ignore",
    definition: str = "voc2010",
    batch_size: int = 32,
    flags_text: str = "",
) -> dict[str, Any]:
    """Evaluates a model on a split, writes the report and returns the content of its metrics.json.

    Args:
      checkpoint: file of save_model; it knows its picture size, resize and class names.
      records_dir: folder written by build_records.
      out_dir: for the files of write_report; curves.png as well if it holds a history.csv.
      split: to evaluate on.
      train_counts: of the labels trained on, for the baselines.
      difficult: see eval_dataset.
      definition: of average precision.
      batch_size: pictures at a time; does not change the result.
      flags_text: shown in the report.

    Raises:
      FileNotFoundError: no checkpoint, or no records.
      ValueError: the checkpoint's classes are not those of the records, or no such split.
    """
    trained = load_model(checkpoint)
    classes = read_manifest(records_dir).classes
    if trained.class_names != classes:
        raise ValueError(
            f"{checkpoint} was trained on the classes {', '.join(trained.class_names)}; {records_dir} has "
            f"{', '.join(classes)}"
        )
    dataset = eval_dataset(
        records_dir,
        split,
        batch_size=batch_size,
        image_size=trained.image_size,
        resize=trained.resize,
        difficult=difficult,
        with_ids=True,
    )
    predictions = evaluate(trained.model, dataset)
    return write_report(
        out_dir,
        ids=predictions.ids,
        y_true=predictions.y_true,
        y_score=predictions.y_score,
        class_names=classes,
        definition=definition,
        split=split,
        train_counts=train_counts,
        history=read_history(Path(out_dir) / "history.csv"),
        sample_images=_sample_pictures(records_dir, split),
        flags_text=flags_text,
    )


def _sample_pictures(records_dir: str | Path, split: str) -> dict[str, npt.NDArray[np.uint8]]:
    """Returns the first pictures as they are in the records: {image id: uint8 [H, W, 3]}."""
    pictures = {}
    for example in read_examples(records_dir, split).take(SAMPLE_PICTURES):
        image_id = example["image/source_id"].numpy().decode()
        pictures[image_id] = decode_jpeg(example["image/encoded"]).numpy()
    return pictures
