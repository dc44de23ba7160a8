"""The steps of one epoch, from wherever it stands: timed, watched for NaN, saved when it is time."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator

import tensorflow as tf
from tqdm import tqdm

from voc_tfdata.training.learner import Learner
from voc_tfdata.training.run_folder import RunState
from voc_tfdata.training.run_saver import RunSaver

_SYNC_STEPS = 20  # so often the loss and the clock are looked at; a device that runs ahead of Python is not held up
_PROFILED = (3, 13)  # steps, counted from the first of this process: after tracing and warm-up


def run_steps(
    state: RunState,
    learner: Learner,
    batches: Iterator,
    *,
    learning_rate: Callable[[int], float],
    saver: RunSaver,
    start: int,
    until: int,
    title: str,
    profile_dir: str = "",
) -> dict[str, float]:
    """Trains from state.step to the step `until`, counting in state.step and state.sums.

    Args:
      state: of the run, changed in place.
      learner: what is trained; its optimizer gets its learning rate here.
      batches: gives the batch of state.step next.
      learning_rate: of a step.
      saver: saves the state when it is due; asked now and then, with several hosts on all of them at the same steps.
      start: step at which the epoch began, for the progress bar.
      until: step to stop before.
      title: of the progress bar, which is shown on a terminal.
      profile_dir: where to write a TensorBoard profile of a few steps; "" is none.

    Returns:
      images_per_second, and input_wait, the share of the time that passed in waiting for the next batch, 0..1. Both
      leave out the first step, which traces and compiles.

    Raises:
      FloatingPointError: the loss is NaN or infinite.
    """
    sums = tf.constant(state.sums, tf.float64)  # of the epoch so far: a sum in float32 would stop growing
    started_at = time.monotonic()
    waited, pictures, first = 0.0, sums[3], state.step
    bar = tqdm(
        total=until - start,
        initial=state.step - start,
        desc=title,
        unit="step",
        leave=False,
        disable=not sys.stderr.isatty(),
    )
    with bar:
        while state.step < until:
            asked_at = time.monotonic()
            images, labels = next(batches)
            waited += time.monotonic() - asked_at
            if profile_dir and state.step - first == _PROFILED[0]:
                tf.profiler.experimental.start(profile_dir)
            learner.optimizer.learning_rate = learning_rate(state.step)
            sums += tf.cast(learner.do_step(state.step, images, labels), tf.float64)
            state.step += 1
            bar.update()
            if profile_dir and state.step - first == min(_PROFILED[1], until - first) > _PROFILED[0]:
                tf.profiler.experimental.stop()
            if state.step % _SYNC_STEPS == 0 or state.step in (first + 1, until):
                state.sums = sums.numpy().tolist()
                if not math.isfinite(state.sums[0]):
                    raise FloatingPointError(f"the loss is {state.sums[0]}")
                if state.step < until and saver.is_due():
                    saver.save(state)
            if saver.asks_every_step or state.step % _SYNC_STEPS == 0:
                state.sums = sums.numpy().tolist() if saver.is_asked else state.sums
                saver.end_if_asked(state)
            if state.step == first + 1 < until:
                started_at, waited, pictures = time.monotonic(), 0.0, sums[3]
    seconds = time.monotonic() - started_at
    return {"images_per_second": float(sums[3] - pictures) / seconds, "input_wait": waited / seconds}
