"""The steps of one epoch, from wherever it stands: timed, watched for NaN, saved when it is time."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator

import tensorflow as tf
from absl import logging
from tqdm import tqdm

from voc_tfdata.training.learner import Learner
from voc_tfdata.training.run_folder import RunState
from voc_tfdata.training.run_saver import RunSaver

_TELL_EVERY_S = 5.0, 60.0  # on the bar of a terminal, and as a line elsewhere: to tell, the device is waited for
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
      title: of the progress bar, which a terminal shows; elsewhere a line a minute is logged.
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

    def speed() -> dict[str, float]:
        seconds = time.monotonic() - started_at
        return {"images_per_second": float(sums[3] - pictures) / seconds, "input_wait": waited / seconds}

    with _Progress(title, state.step - start, until - start) as progress:
        while state.step < until:
            asked_at = time.monotonic()
            images, labels = next(batches)
            waited += time.monotonic() - asked_at
            if profile_dir and state.step - first == _PROFILED[0]:
                tf.profiler.experimental.start(profile_dir)
            rate = learner.optimizer.learning_rate = learning_rate(state.step)
            sums += tf.cast(learner.do_step(state.step, images, labels), tf.float64)
            state.step += 1
            progress.step()
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
            elif progress.is_due():
                progress.tell(loss=float(sums[0] / tf.maximum(sums[2], 1.0)), learning_rate=rate, **speed())
    return speed()


class _Progress:
    """A bar on a terminal, else a line a minute: how far an epoch is, and what its steps say."""

    def __init__(self, title: str, done: int, total: int) -> None:
        show = sys.stderr.isatty()
        self._bar = tqdm(total=total, initial=done, desc=title, unit="step", leave=False, disable=not show)
        self._title, self._done, self._total = title, done, total
        self._every_s = _TELL_EVERY_S[0 if show else 1]
        self._told_at = time.monotonic()

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def step(self) -> None:
        """Counts a step."""
        self._done += 1
        self._bar.update()

    def is_due(self) -> bool:
        """Returns whether it is time to tell."""
        return time.monotonic() - self._told_at >= self._every_s

    def tell(self, *, loss: float, images_per_second: float, learning_rate: float, input_wait: float) -> None:
        """Shows the numbers of the epoch so far; input_wait is a share, 0..1."""
        text = f"loss {loss:.4f}, {images_per_second:.1f} images/s, rate {learning_rate:.3g}, waiting {input_wait:.0%}"
        self._bar.set_postfix_str(text)
        if self._bar.disable:
            logging.info("%s, step %d of %d: %s", self._title, self._done, self._total, text)
        self._told_at = time.monotonic()
