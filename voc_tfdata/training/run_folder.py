"""train.py's out_dir before the first step: fit to start in, or the state of this very run to go on from.

out_dir = prepare_folder("runs/a", identity, strategy, flags_text="--epochs=20\n", resume=True)
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from voc_tfdata.training import hosts
from voc_tfdata.training.loop import BEST_NAME, HISTORY_NAME, STATE_NAME, TENSORBOARD_NAME
from voc_tfdata.training.run_state import check_resumable

FLAGS_NAME = "flags.txt"


def prepare_folder(
    out_dir: str | Path,
    identity: Mapping[str, object],
    strategy: tf.distribute.Strategy,
    *,
    flags_text: str,
    resume: bool,
) -> Path:
    """Returns out_dir, with flags.txt in it. With several hosts only the chief touches it, and all come to one answer.

    Args:
      out_dir: local folder; the chief's.
      identity: what makes it this run and no other, see run_state.save_state.
      strategy: of devices.choose_strategy.
      flags_text: content of flags.txt.
      resume: whether to go on from a state in it; else what an earlier run left is deleted.

    Raises:
      ValueError: it holds the state of another run, or the hosts were started with different commands.
      OSError: it cannot be written.
    """
    out_dir = Path(out_dir)
    if hosts.count_hosts(strategy) == 1:
        _prepare(out_dir, identity, flags_text=flags_text, resume=resume)
        return out_dir
    problem = ""
    if hosts.is_chief(strategy):
        try:
            _prepare(out_dir, identity, flags_text=flags_text, resume=resume)
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
    return out_dir


def _prepare(out_dir: Path, identity: Mapping[str, object], *, flags_text: str, resume: bool) -> None:
    if not resume:
        for name in (STATE_NAME, BEST_NAME, HISTORY_NAME):  # the state first: a run without it is not gone on with
            (out_dir / name).unlink(missing_ok=True)
        shutil.rmtree(out_dir / TENSORBOARD_NAME, ignore_errors=True)
    elif (out_dir / STATE_NAME).exists():
        check_resumable(out_dir / STATE_NAME, identity)
    out_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / FLAGS_NAME).write_text(flags_text, encoding="utf-8")
