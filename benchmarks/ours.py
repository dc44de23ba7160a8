"""This package in the peers' tasks, measured as they are; "read" reads the bytes of shuffled records, no more."""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers.measure import BATCH_SIZE, IMAGE_SIZE, measure
from benchmarks.repeat_records import repeat_records

if TYPE_CHECKING:
    import tensorflow as tf

MODES = {
    "decode": "original",
    "crop_flip": "original+crop",
    "store": "decoded",
    "store_crop_flip": "decoded+crop",
    "read": "read",
}


def open_dataset(args: argparse.Namespace) -> tuple[tf.data.Dataset, int]:
    """Returns the endless data set of the task and the number of its batches in an epoch."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from voc_tfdata.benchmark.speed import Settings, make_dataset
    from voc_tfdata.records.manifest import read_manifest

    work_dir = Path(args.work_dir or ".")
    records = str(repeat_records(args.records, work_dir / f"records-x{args.repeat}", copies=args.repeat))
    settings = Settings(
        records=records,
        cache_dir=str(work_dir / f"decoded-x{args.repeat}"),
        batch_size=BATCH_SIZE,
        image_size=IMAGE_SIZE,
        num_threads=args.threads,
    )
    num_examples = read_manifest(records).splits["train"].num_examples
    return make_dataset(MODES[args.task], settings), -(-num_examples // BATCH_SIZE)


def make(args: argparse.Namespace) -> Callable[[], int]:
    ds, steps = open_dataset(args)
    batches = iter(ds)

    def run_epoch() -> int:
        epoch = itertools.islice(batches, steps)
        return sum(len(batch) if args.task == "read" else len(batch[0]) for batch in epoch)

    return run_epoch


if __name__ == "__main__":
    measure(make, dict.fromkeys(MODES, "voc_tfdata"), packages=("voc_tfdata", "tensorflow", "numpy"))
