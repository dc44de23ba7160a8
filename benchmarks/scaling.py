"""Cost an image as the set grows and as threads are added: opening, first batch, steady rate, memory.

    python -m benchmarks.scaling --records=/tmp/voc_tfdata_benchmarks/records --copies=1,5,10,20,46

Each set is the split "train" of --records so many times over, as links. Opening is shown with and without reading every
byte for its checksum: the first grows with the bytes, at the speed of the disk or the checksum.
"""

from __future__ import annotations

import time
from pathlib import Path

from absl import flags

from voc_tfdata.commands.command_line import check_no_arguments, run_command
from voc_tfdata.quiet import quiet_start

_RECORDS = flags.DEFINE_string("records", None, "Folder of records with a split train.")
_COPIES = flags.DEFINE_list("copies", ["1", "5", "10", "20", "46"], "Sizes, in multiples of the split.")
_THREADS = flags.DEFINE_list("threads", ["1", "2"], "Numbers of threads.")
_MODE = flags.DEFINE_string("mode", "original", "Mode of voc_tfdata.benchmark; decoded writes 147 KiB an image.")
_WORK_DIR = flags.DEFINE_string("work_dir", "/tmp/voc_tfdata_benchmarks", "Folder for the sets.")
_EPOCHS = flags.DEFINE_integer("epochs", 3, "Measurements of each.", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 2.0, "Length of each measurement and of the warm-up.")


def main(argv: list[str]) -> None:
    """Measures every size with every number of threads and prints a table."""
    check_no_arguments(argv)
    if not _RECORDS.value:
        raise ValueError("--records is missing: a folder written by build_tfrecords --split_ratios=train=1")
    from benchmarks.repeat_records import repeat_records
    from voc_tfdata.machine import describe_machine
    from voc_tfdata.records.split_source import find_source, open_split

    with quiet_start():
        from voc_tfdata.benchmark.speed import Settings, measure_modes

    print("\n".join(f"{name}: {value}" for name, value in describe_machine().items()))
    print(
        f"\n{_MODE.value}\n{'images':>10}{'threads':>9}{'checksums_s':>13}{'open_s':>9}{'first_s':>9}"
        f"{'images/s':>10}{'cpu_ms':>9}{'heap_mb':>9}"
    )
    for copies in map(int, _COPIES.value):
        work_dir = Path(_WORK_DIR.value)
        folder = repeat_records(_RECORDS.value, work_dir / f"records-x{copies}", copies=copies)
        start = time.perf_counter()
        index = open_split(find_source(folder, "train"))
        checksums_s = time.perf_counter() - start
        for threads in map(int, _THREADS.value):
            settings = Settings(
                records=str(folder),
                cache_dir=str(work_dir / f"decoded-x{copies}"),
                num_threads=threads,
                check="sizes",
                epochs=_EPOCHS.value,
                seconds=_SECONDS.value,
            )
            (row,) = measure_modes(settings, [_MODE.value])
            print(
                f"{index.num_examples:10,}{threads:9}{checksums_s:13.2f}{row.open_s:9.2f}{row.first_s:9.2f}"
                f"{row.median:10,.0f}{row.cpu_ms:9.3f}{row.heap_mb:9,.0f}",
                flush=True,
            )


if __name__ == "__main__":
    run_command(main)
