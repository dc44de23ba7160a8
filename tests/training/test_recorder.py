"""The numbers of an epoch reach history.csv, TensorBoard and the user's callbacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest

from tests.tiny_model import build_tiny_model
from voc_tfdata.training.history import read_history
from voc_tfdata.training.learner import Learner
from voc_tfdata.training.recorder import Recorder
from voc_tfdata.training.run_folder import RunState

ROW = {"epoch": 3, "step": 12, "loss": 0.5, "val_mAP": 0.25}


class Tracker(keras.callbacks.Callback):
    """Notes what it is told, and the learning rate it finds."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []

    def on_train_begin(self, logs: object = None) -> None:
        self.told.append("begin")

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self.told.append(("epoch begins", epoch))

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.told.append(("epoch ends", epoch, logs, round(float(self.model.optimizer.learning_rate), 3)))

    def on_train_end(self, logs: object = None) -> None:
        self.told.append(("end", logs))


def make_learner() -> Learner:
    model = build_tiny_model()
    return Learner(model, keras.optimizers.SGD(0.125), lambda images, labels: labels, class_names=("cat", "dog"))


def test_callbacks_are_told_as_keras_does_it_and_find_the_rate(tmp_path: Path) -> None:
    trackers, learner = (Tracker(), Tracker()), make_learner()
    with Recorder(tmp_path, learner, tensorboard=False, callbacks=trackers) as recorder:
        recorder.begin_epoch(3)
        recorder.record(RunState(), dict(ROW))
    numbers = {"loss": 0.5, "val_mAP": 0.25, "seconds": trackers[0].told[-1][1]["seconds"]}
    assert 0 <= numbers["seconds"] < 600
    told = ["begin", ("epoch begins", 2), ("epoch ends", 2, numbers, 0.125), ("end", numbers)]
    assert trackers[0].told == trackers[1].told == told
    assert getattr(learner.model, "optimizer", None) is None  # nothing of it may come into best.keras


def test_what_a_callback_raises_ends_the_run(tmp_path: Path) -> None:
    tracker = Tracker()
    tracker.on_epoch_end = lambda epoch, logs=None: 1 / 0  # type: ignore[method-assign,assignment]
    with (
        pytest.raises(ZeroDivisionError),
        Recorder(tmp_path, make_learner(), tensorboard=False, callbacks=[tracker]) as recorder,
    ):
        recorder.record(RunState(), dict(ROW))
    assert tracker.told[0] == "begin" and tracker.told[1][0] == "end" and tracker.told[1][1]["val_mAP"] == 0.25


def test_an_epoch_is_added_to_the_history_and_its_sums_begin_anew(tmp_path: Path) -> None:
    state = RunState(sums=[1.0, 2.0, 3.0, 4.0])
    with Recorder(tmp_path, make_learner(), tensorboard=True) as recorder:
        recorder.record(state, dict(ROW))
    (row,) = state.history
    assert row == ROW | {"seconds": row["seconds"]} and state.sums == [0.0] * 4
    assert read_history(tmp_path / "history.csv") == {name: [float(value)] for name, value in row.items()}
    assert list((tmp_path / "tensorboard").iterdir())
