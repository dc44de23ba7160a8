"""Ctrl-C and SIGTERM, as preemptible machines send it: the run finishes its step, saves and ends.

with stop_on_signals() as stop:
    train(..., stop=stop)           # raises TrainingStopped after a save
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

from absl import logging


class TrainingStopped(Exception):
    """The run was asked to end, and has saved its state."""

    def __init__(self, signal_number: int, step: int) -> None:
        super().__init__(f"saved at step {step}; the same command goes on from there")
        self.signal_number = signal_number
        self.step = step


@dataclass
class StopRequest:
    """Whether a run is to end, and by which signal it was asked; 0 is none."""

    signal_number: int = 0


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Yields a request that the first SIGINT or SIGTERM sets; a second signal ends the process at once."""
    request = StopRequest()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:
        request.signal_number = number
        for each in before:
            signal.signal(each, signal.SIG_DFL)
        name = signal.Signals(number).name
        logging.info("%s: finishes the step, saves and ends; a second signal ends it at once", name)

    for number in before:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
