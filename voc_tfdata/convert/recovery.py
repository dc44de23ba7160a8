"""What is done after a worker process died at a task: its files one by one, and what ends a worker again is a bad file.

with start_workers(num_workers, RECOVERIES) as run: ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from voc_tfdata.convert.duplicates import digest_chunk
from voc_tfdata.convert.tasks import (
    Encoded,
    EncodeTask,
    ParsedAnnotation,
    ScanTask,
    count_class_names,
    encode_chunk,
    scan_chunk,
    unpack_item,
)
from voc_tfdata.convert.worker_pool import Death, Recovery, RunAlone, WorkerDied
from voc_tfdata.devkit.source_files import BadFileError


def recover_scan(task: ScanTask, run_alone: RunAlone) -> list[ParsedAnnotation | BadFileError]:
    """Returns what scan_chunk would, after a worker died at the task: what ends a worker again is a bad file."""
    results: list[ParsedAnnotation | BadFileError] = []
    for file in task.files:
        result = run_alone(scan_chunk, replace(task, files=(file,)))
        results += [_blame(file[2].path, result)] if isinstance(result, Death) else result
    return results


def recover_encode(task: EncodeTask, run_alone: RunAlone) -> Encoded:
    """Returns what encode_chunk would, after a worker died at the task: what ends a worker again is a bad file.

    Raises:
      WorkerDied: it dies at the images that are left, too, though at none of them alone.
    """
    sound, errors = [], []
    for number, item in enumerate(task.items):
        result = run_alone(encode_chunk, replace(task, items=(item,), part_path=None))
        if isinstance(result, Death):
            errors.append(_blame(unpack_item(item)[1].path, result))
        else:
            sound.append(number)
    encoded = run_alone(encode_chunk, replace(task, items=tuple(task.items[number] for number in sound)))
    if isinstance(encoded, Death):
        raise WorkerDied(f"worker processes end again and again ({encoded}); nothing was written; run again")
    encoded.kept = [sound[number] for number in encoded.kept]
    encoded.errors += errors
    return encoded


def _blame(path: str, death: Death) -> BadFileError:
    return BadFileError(path, f"ends the process that reads it ({death}): damaged, or too large to decode; replace it")


def _do_again(function: Callable[[Any], Any], task: Any, run_alone: RunAlone) -> Any:
    """Returns the result of a task that no file can be blamed for: it only reads."""
    result = run_alone(function, task)
    if isinstance(result, Death):
        raise WorkerDied(f"worker processes end again and again ({result}); nothing was written; run again")
    return result


RECOVERIES: Mapping[Callable[[Any], Any], Recovery] = {
    scan_chunk: recover_scan,
    encode_chunk: recover_encode,
    digest_chunk: partial(_do_again, digest_chunk),
    count_class_names: partial(_do_again, count_class_names),
}
