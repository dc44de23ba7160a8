"""The converter's work done by Apache Beam, in place of the processes of workers.py: on Flink, Spark, Dataflow ...

    with start_beam("FlinkRunner", ["--flink_master=host:8081", ...], shared_dir="/shared/tmp") as run:
        for result in run(encode_chunk, tasks): ...      # in the order of the tasks, as workers.start_workers does it

The functions, the tasks, their order and the files they write are those of a local conversion, so its bytes are, too.
Tasks and results travel by files in a folder that all workers see; the pipeline itself carries their numbers only,
so its size does not grow with the images. Runners may do a piece of work twice: each time under new file names.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging as std_logging
import os
import pickle
import shutil
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from absl import logging

from voc_tfdata.convert.tasks import EncodeTask
from voc_tfdata.convert.worker_pool import Run
from voc_tfdata.quiet import quiet_start

_TASKS_PER_ELEMENT = 4  # so many chunks of images (256) are one piece of work for a runner
# What does the work of "DirectRunner". By that name Beam would first download another program, Prism.
_DIRECT = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
_DASK = "apache_beam.runners.dask.dask_runner.DaskRunner"
_LOCAL_RUNNERS = ("direct", "directrunner", "prismrunner")
# Runners that Beam has, but not by these names.
_RUNNERS = {
    "direct": _DIRECT,
    "directrunner": _DIRECT,
    "daskrunner": _DASK,
}
T = TypeVar("T")
R = TypeVar("R")


@contextlib.contextmanager
def start_beam(runner: str, options: Sequence[str], *, shared_dir: str = "", must_see: str = "") -> Iterator[Run]:
    """Yields run(function, tasks), which runs a pipeline and yields the results in the order of the tasks.

    Args:
      runner: name of a Beam runner, e.g. "DirectRunner".
      options: of Beam and the runner, e.g. ["--direct_num_workers=4", "--direct_running_mode=multi_processing"].
      shared_dir: folder that all workers see at this path; by default a temporary one, for a runner on this machine.
      must_see: a path without which a worker does nothing: one that lacks the devkit's mount would find every file bad.

    Raises:
      ImportError: apache_beam is not installed.
      ValueError: no such runner, an option it does not know, or a runner elsewhere without shared_dir.
      OSError: a worker could not read or write a file.
      RuntimeError (from run): the pipeline failed.
    """
    local = runner.lower() in _LOCAL_RUNNERS
    if not shared_dir and not local:
        raise ValueError(
            f"--runner={runner} works on other machines; give --shared_dir, a folder that they see at the same path"
        )
    pipeline_options = _read_options(_RUNNERS.get(runner.lower(), runner), options)
    if shared_dir:
        Path(shared_dir).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="voc_tfdata_beam_", dir=shared_dir or None) as folder, _importable():
        yield partial(_run_pipeline, pipeline_options, Path(folder), local, must_see)


def _run_pipeline(
    pipeline_options: Any, folder: Path, local: bool, must_see: str, function: Callable[[T], R], tasks: Iterable[T]
) -> Iterator[R]:
    import apache_beam as beam

    folder = Path(tempfile.mkdtemp(dir=folder))
    left, count = iter(tasks), 0
    while group := list(itertools.islice(left, _TASKS_PER_ELEMENT)):
        (folder / f"tasks-{count}").write_bytes(pickle.dumps(group))
        count += 1
    logging.info("Beam: %d pieces of work", count)
    pipeline = beam.Pipeline(options=pipeline_options)
    _ = (
        pipeline
        | "Number" >> beam.Create(range(count))
        | "Spread" >> beam.Reshuffle()
        | "Work" >> beam.Map(_work, str(folder), must_see, function)
    )
    try:
        with quiet_start() if local else contextlib.nullcontext():  # its workers log each of their own steps
            state = pipeline.run().wait_until_finish()
    except Exception as err:  # whatever a runner raises; what our own functions raised is in the results
        reason = str(err).strip().splitlines()[-1:] or [type(err).__name__]
        raise RuntimeError(f"the Beam pipeline failed ({reason[0]}); nothing was written") from err
    if state not in (None, "DONE"):
        raise RuntimeError(f"the Beam pipeline ended as {state}; nothing was written")
    for number in range(count):
        try:
            results = pickle.loads((folder / f"results-{number}").read_bytes())
        except FileNotFoundError as err:
            raise RuntimeError(
                f"the Beam pipeline left no {err.filename}: its workers do not see this folder; give a --shared_dir "
                "that they see at the same path"
            ) from err
        if isinstance(results, OSError):
            raise results
        yield from results
    shutil.rmtree(folder)


def _work(number: int, folder: str, must_see: str, function: Callable[[Any], Any]) -> None:
    """Does the tasks of one file and leaves their results in another, on a worker."""
    results: list[Any] | OSError
    try:
        if must_see and not os.path.exists(must_see):
            raise OSError(errno.ENOENT, f"{socket.gethostname()}, a worker, does not see it; mount it there", must_see)
        with open(f"{folder}/tasks-{number}", "rb") as file:
            results = [function(_own_part(task)) for task in pickle.load(file)]
    except OSError as err:
        results = OSError(err.errno, err.strerror, err.filename)
    unfinished = f"{folder}/unfinished-{uuid.uuid4().hex}"
    with open(unfinished, "wb") as file:
        pickle.dump(results, file)
    os.replace(unfinished, f"{folder}/results-{number}")  # a second go leaves its own, as good as the first


def _own_part(task: Any) -> Any:
    """Returns the task with a part file of its own: another go at it may still be writing to the other."""
    if isinstance(task, EncodeTask) and task.part_path:
        return replace(task, part_path=f"{task.part_path}-{uuid.uuid4().hex}")
    return task


def _read_options(runner: str, options: Sequence[str]) -> Any:
    """Returns Beam's PipelineOptions."""
    std_logging.getLogger("apache_beam").setLevel(std_logging.WARNING)
    try:
        with quiet_start():  # it warns of each of Google's libraries that is not there
            from apache_beam.options.pipeline_options import PipelineOptions
            from apache_beam.runners import create_runner
    except ImportError as err:
        raise ImportError("--runner needs Apache Beam: pip install 'voc_tfdata[beam]'") from err
    try:
        create_runner(runner)  # first: its module brings its options
    except (ValueError, ImportError, AttributeError) as err:
        extra = "; pip install 'voc_tfdata[dask]'" if "dask" in runner else ""
        raise ValueError(f"--runner={runner}: {err}{extra}") from err
    if runner == _DASK and not any(option.startswith(("--dask_npart", "--dask_part")) for option in options):
        options = [*options, "--dask_partition_size=1"]  # 128 pieces would be one task, and 32,768 images one worker's
    read = PipelineOptions([f"--runner={runner}", *options])
    if unknown := read.get_all_options(retain_unknown_options=True).keys() - PipelineOptions([]).get_all_options():
        raise ValueError(f"Beam knows no option --{', --'.join(sorted(unknown))}")
    return read


@contextlib.contextmanager
def _importable() -> Iterator[None]:
    """Lets the processes that a runner starts on this machine import this package, installed or not."""
    before = os.environ.get("PYTHONPATH")
    here = str(Path(__file__).resolve().parents[2])
    os.environ["PYTHONPATH"] = f"{here}{os.pathsep}{before}" if before else here
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
