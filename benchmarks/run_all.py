"""Runs this package and every peer on the same pictures and writes benchmarks/RESULTS.md and results.png.

    python -m benchmarks.run_all --voc_root=VOCdevkit/VOC2012 \\
        --peers_python=venvs/peers/bin/python --ffcv_python=venvs/ffcv/bin/python

from the repository's top folder, on a machine that does nothing else. The peers' environments are those of
benchmarks/requirements.txt and benchmarks/requirements-ffcv.txt. Each peer runs in a process of its own, all of them
one after the other, round by round and every other round backwards, so that a drift of the machine hits all alike.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import flags, logging

from voc_tfdata.commands.command_line import check_no_arguments, run_command

_VOC_ROOT = flags.DEFINE_string("voc_root", "../shared/voc/VOC2012", "Folder with Annotations/ and JPEGImages/.")
_WORK_DIR = flags.DEFINE_string("work_dir", "/tmp/voc_tfdata_benchmarks", "Folder for everybody's files, 8 GiB.")
_OUT_DIR = flags.DEFINE_string("out_dir", str(Path(__file__).parent), "Folder for RESULTS.md and results.png.")
_PEERS_PYTHON = flags.DEFINE_string("peers_python", sys.executable, "Python with requirements.txt.")
_FFCV_PYTHON = flags.DEFINE_string("ffcv_python", sys.executable, "Python with requirements-ffcv.txt.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "How often everything is run.", lower_bound=1)
_EPOCHS = flags.DEFINE_integer("epochs", 3, "Measurements of each task in each round.", lower_bound=1)
_MIN_SECONDS = flags.DEFINE_float("min_seconds", 2.0, "A measurement runs whole epochs for at least so long.")
_THREADS = flags.DEFINE_integer("threads", 2, "Threads or workers, and cores, of each.", lower_bound=1)
_REPEAT = flags.DEFINE_integer("repeat", 4, "An epoch goes so often over the pictures.", lower_bound=1)
_STORE_REPEAT = flags.DEFINE_integer("store_repeat", 10, "The same for stores of pixels.", lower_bound=1)
_ONLY = flags.DEFINE_list(
    "only", [], "Modules or tasks to run (default: all), e.g. ours,torch_cv2 or store; their report goes to --work_dir."
)

OURS, OURS_IN_GRAPH = "ours", "ours_in_graph"
# module, environment, tasks
RUNS = (
    (OURS, "ours", ("decode", "crop_flip", "store", "store_crop_flip", "read")),
    (OURS_IN_GRAPH, "ours", ("store",)),
    ("peers.bare_libjpeg_turbo", "peers", ("decode", "crop_flip")),
    ("peers.torch_cv2", "peers", ("decode", "crop_flip")),
    ("peers.torch_pillow", "peers", ("decode", "crop_flip")),
    ("peers.dali_cpu", "peers", ("decode", "crop_flip")),
    ("peers.ffcv_loader", "ffcv", ("decode", "crop_flip", "store", "store_crop_flip")),
    ("peers.webdataset_loader", "peers", ("decode",)),
    ("peers.grain_loader", "peers", ("decode",)),
    ("peers.tfdata_stream", "ours", ("decode", "crop_flip", "store")),
)
TASKS = ("decode", "crop_flip", "store", "store_crop_flip", "read")
_TIMEOUT_S = 900


def main(argv: list[str]) -> None:
    """Runs all rounds and writes the report."""
    check_no_arguments(argv)
    from benchmarks.results import write_results  # here: --help answers without waiting for matplotlib
    from voc_tfdata.machine import describe_machine

    runs = choose_runs(_ONLY.value)
    work_dir = Path(_WORK_DIR.value).absolute()
    Path(_OUT_DIR.value).mkdir(parents=True, exist_ok=True)  # now, rather than after the work
    records = build_base_records(work_dir)
    load = os.getloadavg()[0]
    if load > 0.5:
        logging.warning("the machine is not quiet: load average %.1f before the first round", load)
    lines: list[dict] = []
    start = time.monotonic()
    for number in range(_ROUNDS.value):
        for module, task in runs if number % 2 == 0 else reversed(runs):
            line = run_one(module, task, records, work_dir)
            logging.info("round %d: %s %s: %s", number + 1, module, task, line.get("error") or line["median"])
            lines.append({**line, "module": module, "task": task, "round": number})
        if not _ONLY.value:
            lines.append({**time_first_batch(records, work_dir), "module": OURS, "task": "first", "round": number})
    report = {
        "machine": describe_machine(),
        "command": " ".join([Path(sys.executable).name, "-m", "benchmarks.run_all", *_shown(sys.argv[1:])]),
        "load_before": load,
        "minutes": (time.monotonic() - start) / 60,
        "lines": lines,
    }
    (work_dir / "results.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    out_dir = work_dir if _ONLY.value else Path(_OUT_DIR.value)  # a part must not replace the whole
    write_results(report, out_dir)
    print(f"wrote {out_dir / 'RESULTS.md'}")


def choose_runs(only: Sequence[str]) -> list[tuple[str, str]]:
    """Returns the (module, task) pairs to run, task by task."""
    runs = [(module, task) for task in TASKS for module, _, tasks in RUNS if task in tasks]
    names = {name for module, task in runs for name in (module, module.removeprefix("peers."), task)}
    for name in only:
        if name not in names:
            raise ValueError(f"--only={name}: no such module or task; there are: {', '.join(sorted(names))}")
    return [(m, t) for m, t in runs if not only or {m, m.removeprefix("peers."), t} & set(only)]


def build_base_records(work_dir: Path) -> Path:
    """Returns the folder of records of all pictures in one split, built if it isn't there."""
    from voc_tfdata.convert.build import build_records
    from voc_tfdata.records.manifest import MANIFEST_NAME

    records = work_dir / "records"
    if not (records / MANIFEST_NAME).exists():
        build_records(_VOC_ROOT.value, records, split_ratios="train=1")
    return records


def run_one(module: str, task: str, records: Path, work_dir: Path) -> dict:
    """Returns what one script printed for one task, or {"error": reason}."""
    (environment,) = (environment for name, environment, _ in RUNS if name == module)
    python = {"ours": sys.executable, "peers": _PEERS_PYTHON.value, "ffcv": _FFCV_PYTHON.value}[environment]
    options = {
        "task": task,
        "threads": _THREADS.value,
        "epochs": _EPOCHS.value,
        "min_seconds": _MIN_SECONDS.value,
        "repeat": _STORE_REPEAT.value if task.startswith("store") else _REPEAT.value,
        "voc_root": _VOC_ROOT.value,
        "records": records,
        "work_dir": work_dir,
    }
    command = [python, "-m", f"benchmarks.{module}", *(f"--{name}={value}" for name, value in options.items())]
    return _last_json(command, work_dir)


def time_first_batch(records: Path, work_dir: Path) -> dict:
    """Returns {"first_s": seconds to the first batch less those of an empty data set, "first_decoded_s": ...}."""
    report_path = work_dir / "first.json"
    options = {
        "records": records,
        "cache_dir": work_dir / "decoded-x1",
        "modes": "empty,original,decoded",
        "epochs": 1,
        "seconds": 0.5,
        "num_threads": _THREADS.value,
        "json": report_path,
    }
    command = [sys.executable, "-m", "voc_tfdata.benchmark", *(f"--{name}={value}" for name, value in options.items())]
    line = _last_json(command, work_dir)
    if "error" in line:
        return line
    first_s = {row["mode"]: row["first_s"] for row in line["rows"]}
    return {
        "first_s": first_s["original"] - first_s["empty"],
        "first_decoded_s": first_s["decoded"] - first_s["empty"],
    }


def _last_json(command: list[str], work_dir: Path) -> dict:
    top = str(Path(__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": top, "TF_CPP_MIN_LOG_LEVEL": "3"}
    log_path = work_dir / "last.log"
    with open(log_path, "w", encoding="utf-8") as log:
        try:
            done = subprocess.run(
                command, cwd=top, env=environment, stdout=subprocess.PIPE, stderr=log, text=True, timeout=_TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            return {"error": f"took longer than {_TIMEOUT_S} s"}
        except OSError as err:
            return {"error": f"{command[0]}: {err.strerror}"}
    found = list(_json_lines(done.stdout))
    if done.returncode or not found:
        said = log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no output"]
        return {"error": f"failed (status {done.returncode}): {said[-1]}"}
    return found[-1]


def _json_lines(text: str) -> Iterator[dict]:
    for line in text.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def _shown(arguments: Sequence[str]) -> list[str]:
    """Returns the flags with folders of this machine cut to their last four parts."""
    shown = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        shown.append(f"{name}={Path(*Path(value).parts[-4:])}" if equals and "/" in value else argument)
    return shown


if __name__ == "__main__":
    run_command(main)
