"""A checkpoint evaluated for a person: report written, class table printed, files named. For train and evaluate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from absl import logging

from voc_tfdata.evaluation.baselines import LabelCounts, counts_as_read
from voc_tfdata.evaluation.summary import format_class_table
from voc_tfdata.files import format_bytes
from voc_tfdata.quiet import quiet_start
from voc_tfdata.records.split_source import Records, count_labels, find_source
from voc_tfdata.training.monitors import MONITORS, is_better
from voc_tfdata.version import __version__

if TYPE_CHECKING:
    import keras

    from voc_tfdata.model.trained_model import TrainedModel

_OUTPUTS = {
    "report.html": "all of it on one page",
    "metrics.json": "mAP, AP and thresholds of each class, loss, accuracy, baselines",
    "classes.csv": "the table above",
    "curves.png": "loss, accuracy and mAP over the epochs",
    "precision_recall.png": "precision over recall of each class",
    "calibration.png": "whether the probabilities are what they say",
    "pictures.png": "images with true and predicted labels",
    "mistakes.png": "the most confident mistakes",
    "predictions.csv": "the probabilities of every image",
    "best.keras": "the best model, for: voc_tfdata evaluate, predict, export",
    "history.csv": "the numbers of every epoch",
    "tensorboard": "the same, for: tensorboard --logdir=",
    "flags.txt": "repeats this run: voc_tfdata train --flagfile= --out_dir=ANOTHER",
    "batch.png": "the first images as they reached the network",
    "state.npz": "to go on with this run, unless it is finished; not needed to use the model",
    "state_previous.npz": "the same, one save before",
}


def evaluate_checkpoint(
    checkpoint: str | Path,
    records_dir: Records,
    out_dir: Path,
    *,
    split: str,
    train_counts: LabelCounts | None,
    difficult: str,
    definition: str,
    batch_size: int,
    cache_dir: str = "",
    flags_text: str = "",
    overwrite: bool = False,
) -> None:
    """Evaluates a checkpoint on a split, writes the report into out_dir and prints what came out.

    Args:
      checkpoint: best.keras of a run.
      records_dir: one data set or several, see find_source.
      out_dir: local folder.
      split: to evaluate on.
      train_counts: of the labels trained on, for the baselines; None if they are not known.
      difficult: see train_dataset.
      definition: of average precision.
      batch_size: images at a time.
      cache_dir: for the mirror of remote records.
      flags_text: flags of the run for the report; "" shows the facts of the checkpoint instead.
      overwrite: whether a report that is in out_dir may be replaced.

    Raises:
      FileExistsError: out_dir holds a report already.
      FileNotFoundError, ValueError: no such checkpoint, records or split, or they do not fit each other.
    """
    if not overwrite and (out_dir / "metrics.json").exists():
        raise FileExistsError(
            f"{out_dir} holds the report of another evaluation; add --overwrite, or take another --out_dir"
        )
    with quiet_start():
        from voc_tfdata.evaluation.model_report import report_model
        from voc_tfdata.model.trained_model import load_model
        from voc_tfdata.training.history import read_history

    logging.info("evaluates %s on split %s", checkpoint, split)
    trained = load_model(checkpoint)
    history = read_history(Path(checkpoint).parent / "history.csv")
    summary = report_model(
        trained.model,
        records_dir,
        out_dir,
        class_names=trained.class_names,
        resize=trained.resize,
        split=split,
        train_counts=train_counts,
        history=history,
        difficult=difficult,
        definition=definition,
        batch_size=batch_size,
        cache_dir=cache_dir or None,
        facts={"data set": f"{records_dir}, split {split}"} | describe_checkpoint(checkpoint, trained, history),
        flags_text=flags_text,
        competition=1 if trained.weights == "none" else 2,
    )
    print(format_class_table(summary))
    print(f"\n{out_dir}:")
    for name, meaning in _OUTPUTS.items():
        path = out_dir / name
        if path.exists():
            size = format_bytes(path.stat().st_size) if path.is_file() else ""
            print(f"  {name:20} {size:>10}  {meaning}")


def describe_checkpoint(
    checkpoint: str | Path, trained: TrainedModel, history: Mapping[str, Sequence[float]]
) -> dict[str, str]:
    """Returns what a report says of a model: what its file tells, and the history of the run beside it."""
    layers = list(_list_layers(trained.model))
    mixed = {layer.dtype_policy.name for layer in layers if layer.dtype_policy.name.startswith("mixed")}
    facts = {
        "checkpoint": str(checkpoint),
        "model": f"{trained.model.name}, {trained.model.count_params():,} parameters",
        "images": f"{trained.image_size[0]} x {trained.image_size[1]} pixels, resize={trained.resize}",
        "weights at the start": trained.weights,
        "batch_norm": str("BatchNormalization" in [layer.__class__.__name__ for layer in layers]),
        "precision": ", ".join(sorted(mixed)) or "float32",
    }
    monitor = find_monitor(Path(checkpoint).parent)
    best: float | None = None
    for epoch, value in enumerate(history.get(monitor) or [], start=1):
        if is_better(value, best, monitor):
            best = value
            facts["best epoch"] = f"{epoch} of {len(history[monitor])} by {monitor}"
    if history.get("seconds") and math.isfinite(seconds := sum(history["seconds"])):
        facts["trained for"] = f"{timedelta(seconds=math.ceil(seconds))} (h:min:s), validation included"
    return facts | {"evaluated": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC, voc_tfdata {__version__}"}


def _list_layers(model: keras.Model) -> Iterator[keras.Layer]:
    """Yields the layers of a model, those of the models in it included."""
    for layer in model.layers:
        yield from _list_layers(layer) if hasattr(layer, "layers") else (layer,)


def find_monitor(run_folder: Path) -> str:
    """Returns what the best epoch of a run was chosen by, as its flags.txt says; val_loss without one."""
    path = run_folder / "flags.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    named = [line.partition("=")[2] for line in lines if line.startswith("--monitor=")]
    return named[-1] if named and named[-1] in MONITORS else "val_loss"


def find_label_counts(records_dir: Records, split: str, *, difficult: str) -> LabelCounts | None:
    """Returns the label counts of a split as a run reads them; None if the data sets have no such split."""
    try:
        source = find_source(records_dir, split, stream=True)
    except ValueError:
        return None
    return counts_as_read(*count_labels(source), difficult=difficult)
