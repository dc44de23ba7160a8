"""A trained model, held against a split of a data set, with everything written that can be said about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from voc_tfdata.evaluation.baselines import LabelCounts
from voc_tfdata.evaluation.decisions import worst_mistakes
from voc_tfdata.evaluation.prediction_files import as_text
from voc_tfdata.evaluation.predictions import evaluate
from voc_tfdata.evaluation.report import write_report
from voc_tfdata.pipeline.dataset import eval_dataset, read_examples
from voc_tfdata.pipeline.transforms import decode_jpeg
from voc_tfdata.records.split_source import Records, find_source

_SAMPLES = 20  # images in the grid
_MISTAKES = 15


def report_model(
    model: keras.Model,
    records_dir: Records,
    out_dir: str | Path,
    *,
    class_names: Sequence[str],
    resize: str = "bilinear",
    split: str = "test",
    train_counts: LabelCounts | None = None,
    history: Mapping[str, Sequence[float]] | None = None,
    difficult: str = "ignore",
    definition: str = "voc2010",
    batch_size: int = 32,
    cache_dir: str | Path | None = None,
    facts: Mapping[str, str] | None = None,
    flags_text: str = "",
    competition: int = 1,
) -> dict[str, Any]:
    """Evaluates a model on a split, writes the report and returns the content of its metrics.json.

    Args:
      model: uint8 images [B, H, W, 3] RGB -> probabilities [B, C].
      records_dir: folder written by build_records, its URI, or several as one; see train_dataset.
      out_dir: for the files of write_report.
      class_names: of the model's outputs, in their order.
      resize: how images reached the model in training, see eval_dataset.
      split: to evaluate on.
      train_counts: of the labels trained on, for the baselines.
      history: {name: one value per epoch} of the training, for the curves.
      difficult: see eval_dataset.
      definition: of average precision.
      batch_size: images at a time; does not change the result.
      cache_dir: local folder for the mirror of remote records.
      facts: name -> value of what was evaluated, shown in the report.
      flags_text: shown in the report, too.
      competition: see write_report.

    Raises:
      FileNotFoundError: no records.
      ValueError: the model's classes are not those of the records, or no such split.
    """
    classes = find_source(records_dir, split, cache_dir=cache_dir).classes
    if tuple(class_names) != classes:
        raise ValueError(
            f"the model was trained on the classes {', '.join(class_names)}; {records_dir} has {', '.join(classes)}"
        )
    dataset = eval_dataset(
        records_dir,
        split,
        batch_size=batch_size,
        image_size=model.input_shape[1:3],
        resize=resize,
        difficult=difficult,
        with_ids=True,
        cache_dir=cache_dir,
    )
    predictions = evaluate(model, dataset)
    num_samples = min(_SAMPLES, len(predictions.ids))
    worst = worst_mistakes(predictions.y_true, predictions.y_score, _MISTAKES)
    pictures = _load_pictures(records_dir, split, cache_dir, [*range(num_samples), *worst])
    return write_report(
        out_dir,
        ids=predictions.ids,
        y_true=predictions.y_true,
        y_score=predictions.y_score,
        class_names=classes,
        definition=definition,
        split=split,
        train_counts=train_counts,
        history=history or {},
        sample_images={as_text(predictions.ids[row]): pictures[row] for row in range(num_samples)},
        mistake_images={as_text(predictions.ids[row]): pictures[row] for row in worst},
        facts=facts,
        flags_text=flags_text,
        competition=competition,
    )


def _load_pictures(
    records_dir: Records, split: str, cache_dir: str | Path | None, rows: Sequence[int]
) -> dict[int, npt.NDArray[np.uint8]]:
    """Returns images as they are in the records: {number in the split: uint8 [H, W, 3]}."""
    wanted, last = set(rows), max(rows, default=-1)
    examples = read_examples(records_dir, split, cache_dir=cache_dir).take(last + 1)
    return {row: decode_jpeg(example["image/encoded"]).numpy() for row, example in enumerate(examples) if row in wanted}
