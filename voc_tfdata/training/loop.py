"""The training loop: epochs, validation, the best model, and a state from which it goes on to the bit.

    state = train(model, optimizer, ..., make_batches=lambda step: train_dataset(..., start_step=step), ...)

A plain loop instead of Model.fit: where it stands is three numbers and the variables, so a run that was killed in the
middle of an epoch ends with the weights of one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from voc_tfdata.evaluation.metrics import COLLAPSE_ADVICE, is_collapsed, prediction_spread
from voc_tfdata.evaluation.predictions import Predictions
from voc_tfdata.model.trained_model import save_model
from voc_tfdata.training.epoch import TrainStep, run_steps
from voc_tfdata.training.history import write_history, write_scalars
from voc_tfdata.training.hosts import broadcast, broadcast_array, count_hosts, is_chief
from voc_tfdata.training.monitors import is_better, score_epoch, why_finished
from voc_tfdata.training.run_state import RunState, load_state, read_state, read_values, save_state

STATE_NAME = "state.npz"
BEST_NAME = "best.keras"
HISTORY_NAME = "history.csv"
TENSORBOARD_NAME = "tensorboard"
_DIVERGED = (
    "lower --learning_rate, or set --clip_norm=1 or --warmup_steps=500; run again, it goes on from the last save"
)


def train(
    model: keras.Model,
    optimizer: keras.Optimizer,
    train_step: TrainStep,
    *,
    make_batches: Callable[[int], tf.data.Dataset],
    validate: Callable[[], Predictions],
    learning_rate: Callable[[int], float],
    out_dir: str | Path,
    class_names: Sequence[str],
    identity: Mapping[str, object],
    steps_per_epoch: int,
    epochs: int,
    max_steps: int = 0,
    monitor: str = "val_loss",
    patience: int = 4,
    definition: str = "voc2010",
    resize: str = "bilinear",
    checkpoint_minutes: float = 10.0,
    tensorboard: bool = True,
    profile: bool = False,
    strategy: tf.distribute.Strategy | None = None,
    local_model: keras.Model | None = None,
) -> RunState:
    """Trains to the end, from where an earlier run in out_dir stopped, and returns the state at the end.

    Leaves in out_dir: best.keras (the model of the best epoch), state.npz, history.csv, tensorboard/. With several
    hosts it is called on every host, and one of them, the chief, reads and writes out_dir, validates and decides.

    Args:
      model: of build_vgg16.
      optimizer: built on the model's trainable variables.
      train_step: of make_train_step, for this model and optimizer.
      make_batches: gives the batches from a step on, for ever: (images, labels).
      validate: gives the predictions of the model as it is for the validation split.
      learning_rate: of a step.
      out_dir: local folder.
      class_names: in the order of the model's outputs.
      identity: what makes this run another one than the one in out_dir, see save_state.
      steps_per_epoch: batches an epoch.
      epochs: at most.
      max_steps: at most, over all epochs; 0 is no limit.
      monitor: one of MONITORS; best.keras and patience go by it.
      patience: epochs without a better monitor that end the training; 0 is never.
      definition: of average precision.
      resize: of the pictures, kept in best.keras.
      checkpoint_minutes: a state is saved so long after the last one, after the first epoch and at the end.
      tensorboard: whether to write scalars.
      profile: whether to write a TensorBoard profile of a few steps.
      strategy: that the model was made under; the current one by default.
      local_model: with several hosts, a copy of the model without a strategy, on the chief: it gets the weights before
        validate is called, and is what is saved. The model itself cannot be used by one host alone: reading some
        variables (of batch normalisation) is an operation of all hosts.

    Raises:
      ValueError: out_dir holds the state of another run.
      RuntimeError: loss, weights or predictions became NaN or infinite; the last sound state is kept.
    """
    out_dir = Path(out_dir)
    strategy = strategy or tf.distribute.get_strategy()
    chief, several = is_chief(strategy), count_hosts(strategy) > 1
    variables = [*model.variables, *optimizer.variables]
    state = _find_state(out_dir / STATE_NAME, variables, identity, strategy)
    if state.step:
        logging.info("goes on after step %d, in epoch %d", state.step, state.step // steps_per_epoch + 1)

    logs = str(out_dir / TENSORBOARD_NAME)
    writer = tf.summary.create_file_writer(logs) if tensorboard and chief else tf.summary.create_noop_writer()

    saved_at = time.monotonic()

    def save() -> None:
        nonlocal saved_at
        values = read_values(variables)  # on every host
        if chief:
            save_state(out_dir / STATE_NAME, state, variables, identity, values=values)
        saved_at = time.monotonic()

    def is_due() -> bool:
        """Returns whether it is time to save, by the chief's clock: all hosts must save at the same step."""
        return bool(broadcast(time.monotonic() - saved_at >= 60 * checkpoint_minutes, strategy))

    def judge_epoch(epoch: int) -> dict[str, float]:
        """Returns the numbers of an epoch as the chief finds them: no host may decide otherwise."""
        values = read_values(model.variables) if several else []  # on every host
        row: dict[str, float] | str = {}
        if chief:
            if local_model is not None:
                for variable, value in zip(local_model.variables, values, strict=True):
                    variable.assign(value)
            try:
                predictions = validate()
                row = _describe_epoch(epoch, state, predictions, definition)
                _warn_of_collapse(predictions)
            except FloatingPointError as err:
                row = str(err)
        row = broadcast(row, strategy)
        if isinstance(row, str):
            raise FloatingPointError(row)
        return row

    def why_stop() -> str:
        return why_finished(
            step=state.step,
            total_steps=epochs * steps_per_epoch,
            max_steps=max_steps,
            epochs_without_better=state.epochs_without_better,
            patience=patience,
            monitor=monitor,
        )

    batches: Iterator | None = None
    try:
        while not (reason := why_stop()):
            batches = batches or iter(make_batches(state.step))  # one for all epochs: they follow one another in it
            epoch = state.step // steps_per_epoch + 1
            end = epoch * steps_per_epoch
            until = min(end, max_steps) if max_steps else end
            speed = run_steps(
                state,
                train_step,
                optimizer,
                batches,
                learning_rate=learning_rate,
                save=save,
                is_due=is_due,
                start=end - steps_per_epoch,
                until=until,
                title=f"epoch {epoch}/{epochs}",
                profile_dir=logs if profile and chief and not state.history else "",
            )
            if until < end:
                save()  # what follows is not part of it: with a higher --max_steps the epoch goes on from here
            row = judge_epoch(epoch) | speed
            row["learning_rate"] = learning_rate(state.step - 1)
            better = is_better(row[monitor], state.best, monitor)
            _log_epoch(row, epochs, definition=definition, better=better)
            if better:
                if chief:
                    save_model(out_dir / BEST_NAME, local_model or model, class_names, resize=resize)
                state.best, state.best_epoch, state.epochs_without_better = row[monitor], epoch, 0
            else:
                state.epochs_without_better += 1
            state.history.append(row)
            state.sums = [0.0] * len(state.sums)
            if chief:
                write_history(out_dir / HISTORY_NAME, state.history)
                write_scalars(writer, row)
            if until == end and (epoch == 1 or why_stop() or is_due()):
                save()  # after the first epoch in any case: from then on the folder tells whose best.keras it holds
    except FloatingPointError as err:
        raise RuntimeError(f"training diverged by step {state.step}: {err}; {_DIVERGED}") from err
    logging.info("training ends: %s; best %s in epoch %d", reason, monitor, state.best_epoch)
    return state


def _find_state(
    path: Path, variables: Sequence[keras.Variable], identity: Mapping[str, object], strategy: tf.distribute.Strategy
) -> RunState:
    """Returns the state to go on from, the variables set to it, on every host from the chief's file."""
    if count_hosts(strategy) == 1:
        return load_state(path, variables, identity) if path.exists() else RunState()
    state, values = RunState(), [np.zeros(variable.shape, variable.dtype) for variable in variables]
    found = broadcast(path.exists() if is_chief(strategy) else None, strategy)
    if not found:
        return state
    if is_chief(strategy):
        state, values = read_state(path, len(variables), identity)
    state = RunState(**broadcast(asdict(state), strategy))
    for variable, value in zip(variables, values, strict=True):
        variable.assign(broadcast_array(value, strategy))
    return state


def _describe_epoch(epoch: int, state: RunState, predictions: Predictions, definition: str) -> dict[str, float]:
    """Returns the numbers of an epoch: loss and binary_accuracy over its steps, the others of the model at its end."""
    loss, right, counted, _ = state.sums
    cells = max(counted, 1.0)
    row: dict[str, float] = {"epoch": epoch, "step": state.step, "loss": loss / cells, "binary_accuracy": right / cells}
    return row | score_epoch(predictions, definition=definition)


def _log_epoch(row: Mapping[str, float], epochs: int, *, definition: str, better: bool) -> None:
    logging.info(
        "epoch %d/%d: loss %.4f, val_loss %.4f, binary accuracy %.4f (val %.4f), val_mAP %.4f (%s), %.1f images/s, "
        "%.1f %% of the time waiting for input%s",
        row["epoch"],
        epochs,
        row["loss"],
        row["val_loss"],
        row["binary_accuracy"],
        row["val_binary_accuracy"],
        row["val_mAP"],
        definition,
        row["images_per_second"],
        100 * row["input_wait"],
        "; the best so far" if better else "",
    )


def _warn_of_collapse(predictions: Predictions) -> None:
    if is_collapsed(predictions.y_score):
        logging.warning(
            "collapsed: every picture of the validation split gets the same prediction (standard deviation %.2g): the "
            "network has learnt how frequent the classes are, no more. %s",
            prediction_spread(predictions.y_score),
            COLLAPSE_ADVICE,
        )
