"""The steps of an epoch, without a model: counted, timed, saved when due, ended by NaN or when asked."""

from __future__ import annotations

import itertools
import re
from types import SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf

from voc_tfdata.training import epoch
from voc_tfdata.training.epoch import run_steps
from voc_tfdata.training.run_folder import RunState


class Saver:
    """Notes what is asked of it."""

    asks_every_step, is_asked = True, False

    def __init__(self, due: bool = False) -> None:
        self.due, self.saved, self.asked = due, [], 0  # type: ignore[var-annotated]

    def is_due(self) -> bool:
        return self.due

    def save(self, state: RunState) -> None:
        self.saved.append(state.step)

    def end_if_asked(self, state: RunState) -> None:
        self.asked += 1


def run(state: RunState, until: int, *, losses: Any = None, due: bool = False) -> tuple[Saver, dict]:
    saver, rates = Saver(due), []
    losses = losses or itertools.repeat(0.5)
    learner = SimpleNamespace(
        do_step=lambda step, images, labels: tf.constant([next(losses), 3.0, 4.0, 2.0]),
        optimizer=SimpleNamespace(learning_rate=0.0),
    )
    batches = iter(itertools.repeat((None, None)))

    def rate(step: int) -> float:
        rates.append(step)
        return 0.1

    options: dict[str, Any] = {"learning_rate": rate, "saver": saver, "start": 0, "until": until, "title": "epoch 1/1"}
    speed = run_steps(state, learner, batches, **options)  # type: ignore[arg-type]
    assert rates == list(range(until - len(rates), until))
    return saver, speed


def test_steps_add_to_the_sums_of_the_epoch_so_far() -> None:
    state = RunState(step=2, sums=[1.0, 6.0, 8.0, 4.0])
    saver, speed = run(state, 5)
    assert state.step == 5 and state.sums == [1.0 + 3 * 0.5, 6.0 + 9.0, 8.0 + 12.0, 4.0 + 6.0]
    assert saver.saved == [] and saver.asked == 3
    assert speed["images_per_second"] > 0 and 0 <= speed["input_wait"] <= 1


def test_a_save_that_is_due_happens_at_the_first_step_every_twenty_and_not_at_the_end() -> None:
    saver, _ = run(RunState(), 45, due=True)
    assert saver.saved == [1, 20, 40]


def test_without_a_terminal_a_line_a_minute_tells_how_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    now, lines = itertools.count(0, 5), []  # the clock is read twice a step at least: 10 s a step
    monkeypatch.setattr(epoch, "time", SimpleNamespace(monotonic=lambda: float(next(now))))
    monkeypatch.setattr(epoch.sys.stderr, "isatty", lambda: False)
    monkeypatch.setattr(epoch.logging, "info", lambda text, *values: lines.append(text % values))
    run(RunState(), 30)
    assert 2 <= len(lines) <= 10
    wanted = r"epoch 1/1, step \d of 30: loss 0.1250, \d+\.\d images/s, rate 0.1, waiting \d+%"
    assert re.fullmatch(wanted, lines[0]), lines[0]


def test_on_a_terminal_the_bar_tells_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(epoch, "_TELL_EVERY_S", (0.0, 60.0))
    monkeypatch.setattr(epoch.sys.stderr, "isatty", lambda: True)
    run(RunState(), 3)
    assert re.search(r"epoch 1/1.*3/3.*loss 0.1250, [\d.]+ images/s, rate 0.1, waiting \d+%", capsys.readouterr().err)


def test_a_loss_of_nan_ends_it() -> None:
    with pytest.raises(FloatingPointError, match="the loss is nan"):
        run(RunState(), 3, losses=iter([0.5, float("nan"), 0.5]))
