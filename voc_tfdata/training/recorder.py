"""Where the numbers of an epoch go: history.csv, TensorBoard, and the callbacks of the user's experiment tracker.

with Recorder(out_dir, learner, tensorboard=True, callbacks=[MlflowCallback()]) as recorder:
    recorder.record(state, row)                                      # after each epoch

A callback is a keras.callbacks.Callback. It is told of the training's begin and end and of each epoch's, with the
numbers of history.csv; not of batches: to tell a loss after each step, the device would have to be waited for.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from voc_tfdata.training.history import write_history, write_scalars
from voc_tfdata.training.learner import Learner
from voc_tfdata.training.run_folder import HISTORY_NAME, TENSORBOARD_NAME, RunState


class Recorder:
    """Writes and tells what each epoch came to, on the chief; elsewhere it does nothing."""

    def __init__(
        self, out_dir: Path, learner: Learner, *, tensorboard: bool, callbacks: Sequence[keras.callbacks.Callback] = ()
    ) -> None:
        """Prepares to record.

        Args:
          out_dir: of the run.
          learner: in training; callbacks find its model, with its optimizer, as self.model.
          tensorboard: whether to write scalars.
          callbacks: of the user.
        """
        self._path, self._learner = out_dir / HISTORY_NAME, learner
        logs = str(out_dir / TENSORBOARD_NAME)
        scalars = tensorboard and learner.is_chief
        self._writer = tf.summary.create_file_writer(logs) if scalars else tf.summary.create_noop_writer()
        self._callbacks = callbacks if learner.is_chief else ()
        self._last: dict[str, float] = {}
        self._began = time.monotonic()

    def __enter__(self) -> Recorder:
        self._tell("set_model", self._learner.model)
        self._tell("on_train_begin")
        return self

    def __exit__(self, *_: object) -> None:
        self._tell("on_train_end", self._last)

    def begin_epoch(self, epoch: int) -> None:
        """Tells that an epoch begins, or goes on.

        Args:
          epoch: counted from 1; callbacks count from 0, as Keras does.
        """
        self._began = time.monotonic()
        self._tell("on_epoch_begin", epoch - 1)

    def record(self, state: RunState, row: dict[str, float]) -> None:
        """Adds an epoch to the history and begins the sums of the next one.

        Args:
          state: of the run, changed in place.
          row: the epoch's numbers; the seconds it took are added, its validation included, since the run was resumed.
        """
        row = row | {"seconds": round(time.monotonic() - self._began, 3)}
        state.history.append(row)
        state.sums = [0.0] * len(state.sums)
        if self._learner.is_chief:
            write_history(self._path, state.history)
            write_scalars(self._writer, row)
        self._last = {name: value for name, value in row.items() if name not in ("epoch", "step")}
        self._tell("on_epoch_end", int(row["epoch"]) - 1, self._last)

    def _tell(self, event: str, *args: object) -> None:
        if not self._callbacks:
            return
        model = self._learner.model
        model.optimizer = self._learner.optimizer  # where callbacks look for the rate; the model's file is without it
        try:
            for callback in self._callbacks:
                getattr(callback, event)(*args)
        finally:
            del model.optimizer
