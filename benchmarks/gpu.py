"""Everything that a GPU is needed for, in one command of at most 8 minutes; without a GPU it says so and ends.

    python -m benchmarks.gpu --records=records/voc2012

The training step beside PyTorch's (benchmarks/training.py: float32 and bfloat16, ours by XLA, theirs by torch.compile,
channels last, autocast), this package's own modes, the input pipeline among them, the share of the time that a training
waits for its input, and the tests marked gpu. Needs torch with CUDA: benchmarks/requirements.txt.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import flags

from voc_tfdata.commands.command_line import check_no_arguments, run_command
from voc_tfdata.quiet import quiet_start

_RECORDS = flags.DEFINE_string("records", None, "Folder of records with a split train and val.", required=True)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Images a step.", lower_bound=1)
_LIMIT_S = 8 * 60


def main(argv: list[str]) -> int:
    """Runs one part after the other; the status is 1 if there is no GPU, or a part fails."""
    check_no_arguments(argv)
    with quiet_start():
        import tensorflow as tf
    if not tf.config.list_physical_devices("GPU"):
        print("no GPU that TensorFlow sees: nothing was run (pip install 'voc_tfdata[cuda]' where there is one)")
        return 1
    ends_at = time.monotonic() + _LIMIT_S
    environment = {"CUDA_VISIBLE_DEVICES": "0", **os.environ}  # the tests use none unless they are told to
    batch, failed = f"--batch_size={_BATCH_SIZE.value}", []
    with tempfile.TemporaryDirectory() as folder:
        training = f"--records={_RECORDS.value} --out_dir={folder}/run --test_split=val --max_steps=200 {batch}"
        parts = {  # each in a process of its own, which gives the GPU's memory back
            "the step, beside PyTorch's": f"benchmarks.training {batch} --steps=20",
            "this package's modes": f"voc_tfdata.benchmark --records={_RECORDS.value} {batch} --seconds=4",
            "a training": f"voc_tfdata train --recipe=voc_scratch {training}",
            "the tests marked gpu": "pytest -q -m gpu tests",
        }
        for title, arguments in parts.items():
            print(f"\n=== {title}", flush=True)
            command = [sys.executable, "-m", *arguments.split()]
            try:
                left_s = max(1.0, ends_at - time.monotonic())
                done = subprocess.run(command, env=environment, timeout=left_s, check=False)
            except subprocess.TimeoutExpired:
                failed.append(f"{title} (the {_LIMIT_S // 60} minutes were over)")
            else:
                failed += [title] if done.returncode else []
        _print_waiting(Path(folder) / "run" / "history.csv")
    if failed:
        print(f"failed: {', '.join(failed)}")
    return int(bool(failed))


def _print_waiting(history: Path) -> None:
    if history.exists():
        with open(history, encoding="utf-8", newline="") as file:
            row = list(csv.DictReader(file))[-1]
        rate, waited = float(row["images_per_second"]), float(row["input_wait"])
        print(f"\ntraining from records: {rate:.0f} images/s, {waited:.1%} of the time waiting for input")


if __name__ == "__main__":
    run_command(main)
