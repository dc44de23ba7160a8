"""A training run's out_dir: fit to start in, or the state of this very run to go on from; the state as one file.

    prepare_folder("runs/a", identity, strategy, check=..., resume=True)
    save_state("runs/a/state.npz", state, variables, identity)
    state = load_state("runs/a/state.npz", variables, identity)     # sets the variables too

The state is written whole or not at all, and is refused to a run that is another one.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from absl import logging

from voc_tfdata.files import format_bytes, locked, sync_file, writing_whole
from voc_tfdata.training import hosts

STATE_NAME = "state.npz"
PREVIOUS_NAME = "state_previous.npz"  # the state before it, to go on from if the newest one is damaged
LOCK_NAME = ".lock"
BEST_NAME = "best.keras"
HISTORY_NAME = "history.csv"
TENSORBOARD_NAME = "tensorboard"
FLAGS_NAME = "flags.txt"


@contextmanager
def lock_folder(out_dir: str | Path) -> Iterator[None]:
    """Keeps other trainings out of a run folder; the lock ends with the process, however it ends.

    Raises:
      RuntimeError: another process trains there; the message names it and its host.
    """
    path = Path(out_dir) / LOCK_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    holder = path.read_text(encoding="utf-8").strip() or "another process"
    refusal = f"{out_dir} is in use by {holder}; wait for it, end it, or take another --out_dir"
    with locked(path, refuse=refusal):
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        yield


def prepare_folder(
    out_dir: str | Path,
    identity: Mapping[str, object],
    strategy: tf.distribute.Strategy,
    *,
    check: Callable[[RunState], None],
    resume: bool,
) -> None:
    """Makes out_dir, if it is fit to go on in. With several hosts only the chief touches it; all come to one answer.

    Args:
      out_dir: local folder; the chief's.
      identity: what makes it this run and no other, see save_state.
      strategy: of devices.choose_strategy.
      check: raises ValueError for the state of this run that cannot be gone on from.
      resume: whether to go on from a state in it; else what an earlier run left is deleted.

    Raises:
      ValueError: it holds the state of another run, or the hosts were started with different commands.
      OSError: it cannot be written.
    """
    out_dir = Path(out_dir)
    if hosts.count_hosts(strategy) == 1:
        _prepare(out_dir, identity, check=check, resume=resume)
        return
    problem = ""
    if hosts.is_chief(strategy):
        try:
            _prepare(out_dir, identity, check=check, resume=resume)
        except (ValueError, OSError) as err:
            problem = str(err)
    problem, wanted = hosts.broadcast([problem, dict(identity)], strategy)
    if problem:
        raise ValueError(problem)
    differences = [
        f"{name} is {wanted.get(name)} there, {value} here"
        for name, value in identity.items()
        if wanted.get(name) != value
    ]
    if differences:
        raise ValueError(f"the first host runs another command: {'; '.join(differences)}; start all with the same")


def _prepare(out_dir: Path, identity: Mapping[str, object], *, check: Callable[[RunState], None], resume: bool) -> None:
    if not resume:
        for name in (
            STATE_NAME,
            PREVIOUS_NAME,
            BEST_NAME,
            HISTORY_NAME,
        ):  # the state first: a run without it is not gone on with
            (out_dir / name).unlink(missing_ok=True)
        shutil.rmtree(out_dir / TENSORBOARD_NAME, ignore_errors=True)
    elif path := find_state(out_dir / STATE_NAME, identity):
        check(read_state(path, 0, identity)[0])
    out_dir.mkdir(parents=True, exist_ok=True)


class DamagedStateError(ValueError):
    """A state that is not what was written."""


@dataclass
class RunState:
    """All that a run needs to go on, besides weights and slots: everything else follows from the flags."""

    step: int = 0  # optimizer steps done, over all epochs: with the seed, the position in the data
    sums: list[float] = field(default_factory=lambda: [0.0] * 4)  # of the epoch: loss, cells right, cells, images
    best: float | None = None  # of the monitor
    best_epoch: int = 0
    epochs_without_better: int = 0
    history: list[dict[str, float]] = field(default_factory=list)  # a row a finished epoch
    variables_kept: bool = True  # whether they are saved with it; a finished run needs them no more


def save_state(
    path: str | Path,
    state: RunState,
    variables: Sequence[keras.Variable],
    identity: Mapping[str, object],
    *,
    values: Sequence[npt.NDArray] | None = None,
) -> None:
    """Writes the state of a run under a temporary name and renames it: a kill leaves the one before.

    The one that was there becomes state_previous.npz beside it.

    Args:
      path: of the file.
      state: of the run.
      variables: model's and optimizer's, the seeds of dropout included, always in the same order.
      identity: what makes it this run and no other, by the name of its flag; JSON values.
      values: of the variables, if read_values has read them already.

    Raises:
      FloatingPointError: a variable holds NaN or infinity; the file before is left as it is.
      OSError: the file cannot be written.
    """
    values = read_values(variables) if values is None else values
    arrays = {_key(i): value for i, value in enumerate(values)}
    arrays |= {"state": np.array(json.dumps(asdict(state))), "identity": np.array(json.dumps(dict(identity)))}
    path = Path(path)
    try:
        with writing_whole(path) as temporary:
            np.savez(temporary, **arrays)
            sync_file(temporary)
            if path.exists():
                os.replace(path, path.with_name(PREVIOUS_NAME))
    except OSError as err:
        if err.errno != errno.ENOSPC:
            raise
        size = format_bytes(sum(value.nbytes for value in arrays.values()))
        raise OSError(
            err.errno, f"the disk is full: a state takes {size}, and two are kept; make room and run again", str(path)
        ) from err


def read_values(variables: Sequence[keras.Variable]) -> list[npt.NDArray]:
    """Returns the values of variables as arrays. With several hosts, on every host: some are means over all.

    Raises:
      FloatingPointError: a variable holds NaN or infinity.
    """
    values = [np.asarray(keras.ops.convert_to_numpy(variable)) for variable in variables]
    for variable, value in zip(variables, values, strict=True):
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise FloatingPointError(f"{variable.path} holds NaN or infinity")
    return values


def find_state(path: str | Path, identity: Mapping[str, object]) -> Path | None:
    """Returns the file of the newest sound state: path, or the one before it, which is warned of; None without any.

    Raises:
      ValueError: it is of another run, or all there are are damaged.
    """
    there = [file for file in (Path(path), Path(path).with_name(PREVIOUS_NAME)) if file.exists()]
    for number, file in enumerate(there):
        try:
            check_resumable(file, identity)
        except DamagedStateError as err:
            if number == len(there) - 1:
                raise
            logging.warning("%s; goes on from the state before it", err)
        else:
            return file
    return None


def load_state(path: str | Path, variables: Sequence[keras.Variable], identity: Mapping[str, object]) -> RunState:
    """Sets the variables to those of a saved run, if they were kept, and returns its state.

    Args:
      path: of the file.
      variables: as save_state got them.
      identity: as save_state got it.

    Raises:
      ValueError: see check_resumable.
    """
    state, values = read_state(path, len(variables), identity)
    for variable, value in zip(variables, values, strict=True) if state.variables_kept else ():
        variable.assign(value)
    return state


def read_state(
    path: str | Path, num_variables: int, identity: Mapping[str, object]
) -> tuple[RunState, list[npt.NDArray]]:
    """Returns the state of a saved run and the values of its variables, if kept; raises what load_state raises."""
    check_resumable(path, identity)
    with _open_state(path) as file:
        state = RunState(**json.loads(str(file["state"])))
        return state, [file[_key(i)] for i in range(num_variables if state.variables_kept else 0)]


def check_resumable(path: str | Path, identity: Mapping[str, object]) -> None:
    """Raises ValueError if a saved state is damaged, or of another run; the message names every difference."""
    with _open_state(path) as file:
        saved = json.loads(str(file["identity"]))
    names = dict.fromkeys([*saved, *identity])  # in this order
    differences = [
        f"{name} was {saved.get(name)}, now {identity.get(name)}"
        for name in names
        if saved.get(name) != identity.get(name)
    ]
    if differences:
        raise ValueError(
            f"{path} is of another run: {'; '.join(differences)}. Set them back to go on, take another --out_dir, or "
            "start anew with --resume=false (it deletes the run that is there)"
        )


@contextmanager
def _open_state(path: str | Path) -> Iterator[np.lib.npyio.NpzFile]:
    try:
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile("cut off, or another file")
        with np.load(path, allow_pickle=False) as file:
            yield file
    except (zipfile.BadZipFile, KeyError, TypeError, EOFError, zlib.error) as err:
        raise DamagedStateError(f"{path} is damaged ({err}); start anew with --resume=false") from err


def _key(number: int) -> str:
    return f"variable_{number:04d}"
