"""What each epoch came to, as CSV and for TensorBoard."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf

from voc_tfdata.files import writing_whole


def write_history(path: str | Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Writes a CSV with one line per epoch under a temporary name and renames it; nothing without rows.

    Args:
      path: of the file.
      rows: one per epoch; a name that one does not have, as it was made by an older version, is "nan" there.

    Raises:
      OSError: the file cannot be written.
    """
    if not rows:
        return
    with writing_whole(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        names = dict.fromkeys(name for row in rows for name in row)
        writer = csv.DictWriter(file, fieldnames=list(names), restval="nan")
        writer.writeheader()
        writer.writerows(rows)


def read_history(path: str | Path) -> dict[str, list[float]]:
    """Returns {name: one value per epoch} of a file of write_history; empty if there is none."""
    if not Path(path).is_file():
        return {}
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]} if rows else {}


def write_scalars(writer: tf.summary.SummaryWriter, row: Mapping[str, float]) -> None:
    """Writes the numbers of one epoch as TensorBoard scalars, over the step at its end.

    Args:
      writer: of tf.summary.create_file_writer.
      row: of the history; "step" and "epoch" are no curves.
    """
    # As tf.summary.scalar, which newer TensorFlow refuses without the tensorboard package; only its viewer is needed.
    metadata = tf.compat.v1.SummaryMetadata(
        plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"), data_class=1
    )
    with writer.as_default(step=int(row["step"])):
        for name, value in row.items():
            if name not in ("step", "epoch"):
                tf.summary.write(name, tf.constant(value, tf.float32), metadata=metadata)
    writer.flush()
