"""Images per second of every stage and mode of the pipeline, of the naive pipeline beside it, and of a training step.

    voc_tfdata benchmark --records=records/voc2012
    voc_tfdata benchmark --records=records/voc2012 --modes=read,original,naive --json=speed.json

Each row is measured in a process of its own: neither thread pools nor memory of one are there in the next. A row is
the median over --epochs measurements after a warm-up, each of whole batches for at least --seconds.

modes
  empty      a batch that is ready: what it costs to hand batches over
  read       the bytes of the records in shuffled order, nothing decoded
  original   train_dataset: records -> decode, resize -> shuffled batches; original+flip and original+crop augment
  resized    the same over --resized_records (built with --store=resized)
  decoded    the same with cache="decoded", its store built before
  naive      TFRecordDataset.map(decode).batch.prefetch with AUTOTUNE, not shuffled
  train_float32, train_bfloat16   one optimizer step of VGG16 on a batch that is ready
  train_jit       train_bfloat16 compiled by XLA, as voc_tfdata train --jit_compile does
  train_records   train_bfloat16 on batches of train_dataset, decoded, cropped and flipped meanwhile

columns
  cpu_ms     processor time an image, all threads together; what else the machine does changes it least
  open_s     from the call to the Dataset; checksums included
  first_s    from the call to the first batch
  heap_mb    peak of anonymous memory (RssAnon) above that of an idle TensorFlow; mapped files are not in it
  peak_mb    peak resident set (ru_maxrss) of the whole process; pages of mapped files that are in memory count
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from voc_tfdata.commands.command_line import check_no_arguments, run_command
from voc_tfdata.quiet import quiet_start

if TYPE_CHECKING:
    from voc_tfdata.benchmark.speed import Row

_RECORDS = flags.DEFINE_string("records", None, "Folder written by build_tfrecords.")
_SPLIT = flags.DEFINE_string("split", "train", "Split to read, or a union such as train+val.")
_RESIZED_RECORDS = flags.DEFINE_string(
    "resized_records", "", "Folder written with --store=resized; without it those modes are left out."
)
_MODES = flags.DEFINE_list("modes", [], "Modes to measure (default: all).")
_CACHE_DIR = flags.DEFINE_string("cache_dir", "", "Folder for the decoded stores (default: a temporary one).")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Images a batch.", lower_bound=1)
_IMAGE_SIZE = flags.DEFINE_integer("image_size", 224, "Side of the delivered images, in pixels.", lower_bound=1)
_NUM_THREADS = flags.DEFINE_integer("num_threads", 0, "Threads of the pipeline; 0 is one per core.", lower_bound=0)
_EPOCHS = flags.DEFINE_integer("epochs", 5, "Measurements of each mode.", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 2.0, "Length of each measurement and of the warm-up.", lower_bound=0.0)
_CHECK = flags.DEFINE_enum(
    "check", "checksums", ["checksums", "sizes"], "What is checked on opening: every byte, or names and sizes."
)
_TRAIN_IMAGE_SIZE = flags.DEFINE_integer(
    "train_image_size", 128, "Side of the images of the training step, in pixels.", lower_bound=32
)
_JSON = flags.DEFINE_string("json", "", "File for the figures as JSON, which are also printed last.")


TABLE_HEAD = (
    f"{'mode':16}{'images/s':>10}{'lowest':>10}{'highest':>10}{'cpu_ms':>9}"
    f"{'open_s':>9}{'first_s':>9}{'heap_mb':>9}{'peak_mb':>9}"
)


def main(argv: list[str]) -> None:
    """Measures what the flags say and prints machine, table and JSON."""
    check_no_arguments(argv)
    if not _RECORDS.value:
        raise ValueError("--records is missing; for example: voc_tfdata benchmark --records=records/voc2012")
    # Here, not on top: --help and a wrong folder answer without waiting for TensorFlow.
    from voc_tfdata.machine import describe_machine
    from voc_tfdata.records.manifest import find_split, read_manifest

    find_split(read_manifest(_RECORDS.value), _SPLIT.value, _RECORDS.value)
    with quiet_start():
        from voc_tfdata.benchmark.speed import Settings, choose_modes, measure_modes
        from voc_tfdata.training.devices import tell_unused_gpu
    tell_unused_gpu()
    with tempfile.TemporaryDirectory(prefix="voc_tfdata_benchmark_") as scratch:
        settings = Settings(
            records=_RECORDS.value,
            split=_SPLIT.value,
            resized_records=_RESIZED_RECORDS.value,
            cache_dir=_CACHE_DIR.value or scratch,
            batch_size=_BATCH_SIZE.value,
            image_size=_IMAGE_SIZE.value,
            num_threads=_NUM_THREADS.value,
            epochs=_EPOCHS.value,
            seconds=_SECONDS.value,
            check=_CHECK.value,
            train_image_size=_TRAIN_IMAGE_SIZE.value,
        )
        modes = choose_modes(settings, _MODES.value)
        machine = describe_machine()
        print("\n".join(f"{name}: {value}" for name, value in machine.items()))
        print(f"\n{TABLE_HEAD}", flush=True)
        rows = []
        for row in measure_modes(settings, modes):
            rows.append(row)
            print(format_row(row), flush=True)
    report = json.dumps({"machine": machine, "settings": asdict(settings), "rows": [asdict(row) for row in rows]})
    print(f"\n{report}")
    if _JSON.value:
        Path(_JSON.value).write_text(report + "\n", encoding="utf-8")


def format_row(row: Row) -> str:
    """Returns one row of the table under TABLE_HEAD."""
    return (
        f"{row.mode:16}{row.median:10,.0f}{min(row.images_per_s):10,.0f}{max(row.images_per_s):10,.0f}{row.cpu_ms:9.3f}"
        f"{row.open_s:9.2f}{row.first_s:9.2f}{row.heap_mb:9,.0f}{row.peak_mb:9,.0f}"
    )


def run() -> None:
    """The command, with the flags of this process."""
    run_command(main)


if __name__ == "__main__":
    run()
