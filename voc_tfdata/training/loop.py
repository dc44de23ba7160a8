"""The training loop: run the steps of an epoch, judge the model, keep the best, record, save.

    state = train(learner, settings, make_batches=..., validate=..., learning_rate=..., out_dir=..., identity=...)

A plain loop instead of Model.fit: where it is in its work is three numbers and the variables, so a run that was killed
in the middle of an epoch ends with the weights of one that was not.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import tensorflow as tf
from absl import logging

from voc_tfdata.evaluation.baselines import LabelCounts, trivial_baselines
from voc_tfdata.evaluation.metrics import binary_cross_entropy, describe_collapse, is_collapsed, prediction_spread
from voc_tfdata.evaluation.predictions import Predictions
from voc_tfdata.model.trained_model import save_model
from voc_tfdata.training.epoch import run_steps
from voc_tfdata.training.hosts import broadcast
from voc_tfdata.training.learner import Learner
from voc_tfdata.training.monitors import is_better, score_epoch, why_finished
from voc_tfdata.training.recorder import Recorder
from voc_tfdata.training.run_folder import (
    BEST_NAME,
    STATE_NAME,
    TENSORBOARD_NAME,
    RunState,
    read_values,
)
from voc_tfdata.training.run_saver import RunSaver
from voc_tfdata.training.stopping import StopRequest

_DIVERGED = "lower --learning_rate, or set --clip_norm=1 or --warmup_steps=500"


@dataclass(frozen=True)
class LoopSettings:
    """How long a run is, what it is judged by, and what it writes on the way."""

    steps_per_epoch: int  # batches
    epochs: int  # maximum number
    max_steps: int = 0  # maximum number over all epochs; 0 is no limit
    monitor: str = "val_loss"  # one of MONITORS; best.keras and patience go by it
    patience: int = 4  # epochs without a better monitor that end the training; 0 is never
    definition: str = "voc2010"  # of average precision
    checkpoint_minutes: float = 10.0  # time between saves; also saved after the first epoch and at the end
    keep_state: bool = False  # of a finished run: the weights and slots of its last step, to go on with more epochs
    tensorboard: bool = True  # whether to write scalars
    profile: bool = False  # whether to write a TensorBoard profile of a few steps


def train(
    learner: Learner,
    settings: LoopSettings,
    *,
    make_batches: Callable[[int], tf.data.Dataset],
    validate: Callable[[], Predictions],
    learning_rate: Callable[[int], float],
    out_dir: str | Path,
    identity: Mapping[str, object],
    stop: StopRequest | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> RunState:
    """Trains to the end, from where an earlier run in out_dir stopped, and returns the state at the end.

    Leaves in out_dir: best.keras (the model of the best epoch), state.npz, history.csv, tensorboard/. With several
    hosts it is called on every host, and one of them, the chief, reads and writes out_dir, validates and decides.

    Args:
      learner: what is trained.
      settings: of the run.
      make_batches: gives the batches from a step on, forever: (images, labels).
      validate: gives the predictions of learner.usable_model, as it is, for the validation split.
      learning_rate: of a step.
      out_dir: local folder.
      identity: what makes this run another one than the one in out_dir, see save_state.
      stop: set when the run is to finish its step, save and end.
      callbacks: of an experiment tracker, see Recorder.

    Raises:
      TrainingStopped: stop was set; the state is saved.
      ValueError: out_dir holds the state of another run, or of this one, finished, and is to train on.
      RuntimeError: loss, weights or predictions became NaN or infinite; the last sound state is kept.
    """
    out_dir = Path(out_dir)
    saver = RunSaver(out_dir / STATE_NAME, learner, identity, minutes=settings.checkpoint_minutes, stop=stop)
    state = _restore(saver, settings, out_dir)
    recorder = Recorder(out_dir, learner, tensorboard=settings.tensorboard, callbacks=callbacks)
    batches: Iterator | None = None
    try:
        with recorder:
            while not (reason := _why_stop(state, settings)):
                batches = batches or iter(make_batches(state.step))  # one for all epochs: they follow one another in it
                epoch = state.step // settings.steps_per_epoch + 1
                end = epoch * settings.steps_per_epoch
                until = min(end, settings.max_steps) if settings.max_steps else end
                profiles = settings.profile and learner.is_chief and not state.history
                recorder.begin_epoch(epoch)
                speed = run_steps(
                    state,
                    learner,
                    batches,
                    learning_rate=learning_rate,
                    saver=saver,
                    start=end - settings.steps_per_epoch,
                    until=until,
                    title=f"epoch {epoch}/{settings.epochs}",
                    profile_dir=str(out_dir / TENSORBOARD_NAME) if profiles else "",
                )
                at_steps_end = copy.deepcopy(state)
                row = judge_epoch(learner, state, epoch, validate, settings.definition) | speed
                row["learning_rate"] = learning_rate(state.step - 1)
                _keep_best(learner, state, row, settings, out_dir)
                recorder.record(state, row)
                if until < end:
                    # The judgement of a part of an epoch is not part of the state: with a higher --max_steps the epoch
                    # goes on from here. It is saved when it has been judged, so that no run ends without a judgement.
                    saver.save(at_steps_end)
                    reason = _why_stop(state, settings)
                    break
                _save_if_due(saver, state, settings, epoch)
                saver.end_if_asked(state)
    except FloatingPointError as err:
        saved = (out_dir / STATE_NAME).exists()
        again = "run again, it goes on from the last save" if saved else "nothing was saved yet: it begins anew"
        raise RuntimeError(f"training diverged by step {state.step}: {err}; {_DIVERGED}; {again}") from err
    logging.info("training ends: %s; best %s in epoch %d", reason, settings.monitor, state.best_epoch)
    return state


def judge_epoch(
    learner: Learner, state: RunState, epoch: int, validate: Callable[[], Predictions], definition: str
) -> dict[str, float]:
    """Returns the numbers of an epoch as the chief finds them, on every host: no host may decide otherwise.

    loss and binary_accuracy are of the epoch's steps; val_loss, val_binary_accuracy and val_mAP of the model as it is.

    Raises:
      FloatingPointError: the model predicts NaN.
    """
    values = read_values(learner.model.variables) if learner.num_hosts > 1 else []  # on every host
    row: dict[str, float] | str = {}
    if learner.is_chief:
        if learner.local_model is not None:
            for variable, value in zip(learner.local_model.variables, values, strict=True):
                variable.assign(value)
        try:
            predictions = validate()
            loss, right, counted, _ = state.sums
            cells = max(counted, 1.0)
            row = {"epoch": epoch, "step": state.step, "loss": loss / cells, "binary_accuracy": right / cells}
            row |= score_epoch(predictions, definition=definition)
            _warn_of_collapse(predictions)
        except FloatingPointError as err:
            row = str(err)
    row = broadcast(row, learner.strategy)
    if isinstance(row, str):
        raise FloatingPointError(row)
    return row


def refuse_finished(state: RunState, settings: LoopSettings, out_dir: Path) -> None:
    """Raises ValueError for a run that is to go on from its end, and kept nothing to do so."""
    if not state.variables_kept and not _why_stop(state, settings):
        raise ValueError(
            f"{out_dir}: this run was finished after step {state.step}, and its state was not kept; take another "
            "--out_dir, or start anew with --resume=false, and with --keep_state to go on later"
        )


def _restore(saver: RunSaver, settings: LoopSettings, out_dir: Path) -> RunState:
    """Returns the state to begin with, that of a run that is to go on, or a new one."""
    state = saver.restore()
    refuse_finished(state, settings, out_dir)
    if state.step:
        logging.info("goes on after step %d, in epoch %d", state.step, state.step // settings.steps_per_epoch + 1)
    return state


def _save_if_due(saver: RunSaver, state: RunState, settings: LoopSettings, epoch: int) -> None:
    """Saves at an epoch's end: when it is time, after the first one in any case, and when the run is over."""
    if not settings.keep_state and _is_finished(state, settings):
        saver.save_finished(state)
    elif epoch == 1 or _why_stop(state, settings) or saver.is_due():
        saver.save(state)  # after the first epoch: from then on it tells whose best.keras that is


def _why_stop(state: RunState, settings: LoopSettings) -> str:
    return why_finished(
        step=state.step,
        total_steps=settings.epochs * settings.steps_per_epoch,
        max_steps=settings.max_steps,
        epochs_without_better=state.epochs_without_better,
        patience=settings.patience,
        monitor=settings.monitor,
    )


def _is_finished(state: RunState, settings: LoopSettings) -> bool:
    """Returns whether the run is over by itself: one that --max_steps ended is gone on with."""
    return bool(_why_stop(state, replace(settings, max_steps=0)))


def _keep_best(
    learner: Learner, state: RunState, row: Mapping[str, float], settings: LoopSettings, out_dir: Path
) -> None:
    """Writes best.keras if the epoch is the best so far, counts those that are not, and logs the epoch."""
    better = is_better(row[settings.monitor], state.best, settings.monitor)
    logging.info(
        "epoch %d/%d: loss %.4f, val_loss %.4f, binary accuracy %.4f (val %.4f), val_mAP %.4f (%s), %.1f images/s, "
        "%.1f %% of the time waiting for input%s",
        row["epoch"],
        settings.epochs,
        row["loss"],
        row["val_loss"],
        row["binary_accuracy"],
        row["val_binary_accuracy"],
        row["val_mAP"],
        settings.definition,
        row["images_per_second"],
        100 * row["input_wait"],
        "; the best so far" if better else "",
    )
    if not better:
        state.epochs_without_better += 1
        return
    if learner.is_chief:
        save_model(
            out_dir / BEST_NAME,
            learner.usable_model,
            learner.class_names,
            resize=learner.resize,
            weights=learner.weights,
        )
    state.best, state.best_epoch, state.epochs_without_better = row[settings.monitor], int(row["epoch"]), 0


def _warn_of_collapse(predictions: Predictions) -> None:
    if is_collapsed(predictions.y_score):
        labels = predictions.y_true
        own = LabelCounts(tuple((labels == 1).sum(axis=0)), tuple((labels == -1).sum(axis=0)), len(labels))
        logging.warning(
            "%s (every image of the validation split gets the same prediction: standard deviation %.2g)",
            describe_collapse(
                binary_cross_entropy(labels, predictions.y_score), trivial_baselines(labels, own).constant_prior_loss
            ),
            prediction_spread(predictions.y_score),
        )
