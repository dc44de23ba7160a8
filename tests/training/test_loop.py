"""The loop, on a network of a few hundred weights: best epoch, patience, exact resume, NaN, collapse."""

import itertools
import logging
import math
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tiny_model import build_tiny_model, make_batches, values_of
from voc_tfdata.evaluation.predictions import Predictions, evaluate
from voc_tfdata.model.trained_model import load_model
from voc_tfdata.training.history import read_history
from voc_tfdata.training.learner import Learner
from voc_tfdata.training.loop import LoopSettings, train
from voc_tfdata.training.optimizers import build_optimizer
from voc_tfdata.training.run_folder import RunState
from voc_tfdata.training.stopping import StopRequest, TrainingStopped
from voc_tfdata.training.train_step import make_train_step

STEPS = 3  # an epoch


def batches_from(step: int) -> tf.data.Dataset:
    """Ten different batches over and over, from the one of `step` on."""
    return tf.data.Dataset.from_tensor_slices(make_batches(10)).repeat().skip(step)


def validation_pictures() -> tf.data.Dataset:
    images, labels = make_batches(1, batch_size=8)
    return tf.data.Dataset.from_tensor_slices((images[0], labels[0], list("abcdefgh"))).batch(8)


def run(
    out_dir: Path, *, optimizer: str = "adam", dropout: float = 0.0, rate: float = 0.05, seed: int = 0, **changed: Any
) -> tuple[RunState, keras.Model, list[np.ndarray]]:
    """Trains in a fresh process, as far as the model can tell, and returns the state, the model and its variables."""
    keras.backend.clear_session()
    model = build_tiny_model(dropout=dropout, seed=seed)
    built = build_optimizer(optimizer, learning_rate=rate)
    built.build(model.trainable_variables)
    options: dict[str, Any] = {
        "make_batches": batches_from,
        "validate": lambda: evaluate(model, validation_pictures()),
        "learning_rate": lambda step: rate / (1 + step),
        "identity": {"records": "abc"},
    }
    step = make_train_step(model, built, tf.distribute.get_strategy())
    learner = Learner(model, built, step, class_names=("cat", "dog"))
    numbers = {name: changed.pop(name) for name in list(changed) if name in LoopSettings.__dataclass_fields__}
    settings = LoopSettings(**{"steps_per_epoch": STEPS, "epochs": 2, **numbers})
    state = train(learner, settings, out_dir=out_dir, **{**options, **changed})
    return state, model, values_of([*model.variables, *built.variables])


def scripted(losses: Iterator[float]) -> Predictions:
    """Returns predictions for one image of one class whose cross-entropy is the next of these losses."""
    probability = math.exp(-next(losses))
    return Predictions(["a", "b"], np.array([[1, -1]] * 2, np.float32), np.array([[probability, 0.5]] * 2, np.float32))


@pytest.mark.parametrize(
    ("optimizer", "dropout", "stop"), [("rmsprop", 0.0, 2), ("adam", 0.5, 4), ("adamw", 0.5, 3), ("sgd", 0.0, 2)]
)
def test_a_run_in_two_parts_ends_as_the_undisturbed_one(
    tmp_path: Path, optimizer: str, dropout: float, stop: int
) -> None:
    whole, _, expected = run(tmp_path / "whole", optimizer=optimizer, dropout=dropout)
    # the first part ends in the middle of epoch 1 (step 2), at its end (3), or in the middle of epoch 2 (4)
    run(tmp_path / "parts", optimizer=optimizer, dropout=dropout, max_steps=stop)
    parts, _, found = run(
        tmp_path / "parts", optimizer=optimizer, dropout=dropout, seed=9
    )  # other weights to start from
    for a, b in zip(expected, found, strict=True):
        assert a.tobytes() == b.tobytes()
    timing = {"images_per_second", "input_wait", "seconds"}
    rows = [[{k: v for k, v in row.items() if k not in timing} for row in it.history] for it in (whole, parts)]
    assert rows[0] == rows[1] and [row["step"] for row in rows[0]] == [3, 6]
    assert (whole.step, whole.best, whole.best_epoch) == (parts.step, parts.best, parts.best_epoch)
    assert whole.epochs_without_better == parts.epochs_without_better


def test_a_finished_run_trains_no_further_and_goes_on_if_its_state_was_kept(tmp_path: Path) -> None:
    _, _, first = run(tmp_path, keep_state=True)
    state, _, again = run(
        tmp_path, seed=9, keep_state=True, validate=lambda: pytest.fail("there is nothing to validate")
    )
    assert state.step == 6 and all(a.tobytes() == b.tobytes() for a, b in zip(first, again, strict=True))
    more, _, _ = run(tmp_path, epochs=3, keep_state=True)
    assert more.step == 9 and [row["epoch"] for row in more.history] == [1, 2, 3]


@pytest.mark.parametrize("how", [{"epochs": 2}, {"epochs": 9, "patience": 1, "monitor": "val_loss"}])
def test_a_finished_run_keeps_no_weights_but_those_of_its_best_model(tmp_path: Path, how: dict[str, Any]) -> None:
    if "patience" in how:
        losses = itertools.count(1)
        how |= {"validate": lambda: scripted(iter([0.1 * next(losses)]))}  # worse and worse
    run(tmp_path, **how | {"max_steps": 3})
    assert (tmp_path / "state.npz").stat().st_size > 10_000  # it is to be gone on with
    state, _, _ = run(tmp_path, **how)
    assert state.step == 6 and not state.variables_kept
    assert (tmp_path / "state.npz").stat().st_size < 10_000 and not (tmp_path / "state_previous.npz").exists()
    again, _, _ = run(tmp_path, **how | {"validate": lambda: pytest.fail("there is nothing to validate")})
    assert again.history == state.history
    with pytest.raises(ValueError, match="finished after step 6, and its state was not kept; .*--keep_state"):
        run(tmp_path, **how | {"epochs": 10, "patience": 0})


def test_a_run_killed_while_its_last_part_of_an_epoch_is_judged_is_judged_when_it_goes_on(tmp_path: Path) -> None:
    def die() -> Predictions:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, max_steps=2, validate=die)
    state, _, _ = run(tmp_path, max_steps=2)
    assert [row["step"] for row in state.history] == [2]
    assert (tmp_path / "best.keras").exists()


def test_patience_counts_epochs_without_a_better_one_and_the_best_is_kept(tmp_path: Path) -> None:
    losses = iter([0.5, 0.6, 0.3, 0.4, 0.3, 0.35, 0.1])
    weights = []

    def validate() -> Predictions:
        weights.append(values_of(model.weights))
        return scripted(losses)

    model = build_tiny_model()
    optimizer = build_optimizer("sgd", learning_rate=0.1)
    optimizer.build(model.trainable_variables)
    step = make_train_step(model, optimizer, tf.distribute.get_strategy())
    state = train(
        Learner(model, optimizer, step, class_names=("cat", "dog")),
        LoopSettings(steps_per_epoch=1, epochs=20, patience=3),
        make_batches=batches_from,
        validate=validate,
        learning_rate=lambda step: 0.1,
        out_dir=tmp_path,
        identity={},
    )
    # best in epoch 3; epochs 4, 5 (equal is not better) and 6 are no better: the 0.1 of epoch 7 is never seen
    assert (state.step, state.best_epoch, state.best) == (6, 3, pytest.approx(0.3, rel=1e-5))
    best = load_model(tmp_path / "best.keras")
    assert best.class_names == ("cat", "dog")
    for a, b in zip(weights[2], values_of(best.model.weights), strict=True):
        np.testing.assert_array_equal(a, b)
    assert read_history(tmp_path / "history.csv")["val_loss"] == pytest.approx(
        [0.5, 0.6, 0.3, 0.4, 0.3, 0.35], rel=1e-5
    )


def test_patience_goes_on_counting_after_a_stop(tmp_path: Path) -> None:
    losses = iter([0.3, 0.4, 0.5, 0.6, 0.7])
    options: dict[str, Any] = {"validate": lambda: scripted(losses), "epochs": 9, "patience": 3}
    run(tmp_path, max_steps=2 * STEPS, **options)
    state, _, _ = run(tmp_path, **options)
    assert (state.step, state.best_epoch) == (4 * STEPS, 1)  # epochs 2, 3 and 4 were no better


def test_the_loss_of_an_epoch_is_the_mean_over_its_counted_cells(tmp_path: Path) -> None:
    state, _, _ = run(tmp_path, rate=0.0)  # nothing is learnt: the untouched model gives every step's loss
    model, (images, labels) = build_tiny_model(), make_batches(10)
    for epoch, row in enumerate(state.history):
        steps = slice(epoch * STEPS, (epoch + 1) * STEPS)
        p, y = np.concatenate([model(batch).numpy() for batch in images[steps]]), np.concatenate(labels[steps])
        loss = -np.log(np.where(y == 1, p, 1 - p))[y >= 0].mean()
        assert row["loss"] == pytest.approx(loss, rel=1e-5)
        assert row["binary_accuracy"] == pytest.approx(((p > 0.5) == (y == 1))[y >= 0].mean())


def test_the_learning_rate_follows_its_function(tmp_path: Path) -> None:
    state, _, _ = run(tmp_path)
    # 0.05 / (1 + step), of the last steps of both epochs, 2 and 5
    assert [row["learning_rate"] for row in state.history] == pytest.approx([0.05 / 3, 0.05 / 6])


def test_a_loss_of_nan_stops_with_reason_and_keeps_the_sound_state(tmp_path: Path) -> None:
    run(tmp_path, max_steps=3)
    before = (tmp_path / "state.npz").read_bytes()
    with pytest.raises(
        RuntimeError, match="diverged by step 6: the loss is (nan|inf).*--learning_rate.*the last save$"
    ):
        run(tmp_path, epochs=2, learning_rate=lambda step: 1e38)
    assert (tmp_path / "state.npz").read_bytes() == before


def test_predictions_of_nan_stop_it_too(tmp_path: Path) -> None:
    nothing = Predictions(["a"], np.array([[1, 0]], np.float32), np.full((1, 2), math.nan, np.float32))
    with pytest.raises(
        RuntimeError,
        match="training diverged by step 3: the model predicts NaN.*nothing was saved yet: it begins anew$",
    ):
        run(tmp_path, validate=lambda: nothing)
    assert not (tmp_path / "best.keras").exists()


def test_collapse_is_said_with_the_flags_that_help(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="absl"):
        run(tmp_path / "a", epochs=1)
        assert "collapsed" not in caplog.text
        truth = np.array([[1, -1], [0, -1], [0, -1], [0, -1]], np.float32)  # a quarter: the frequencies' loss is 0.56
        for score, word in ((0.25, "collapsed: the network learnt"), (0.5, "unlearnt"), (0.02, "diverged: the loss")):
            caplog.clear()
            same = Predictions(list("abcd"), truth, np.array([[score, 0.5]] * 4, np.float32))
            run(tmp_path / word, epochs=1, validate=lambda same=same: same)
            assert word in caplog.text and "--learning_rate" in caplog.text, score


def test_states_of_other_runs_are_refused(tmp_path: Path) -> None:
    run(tmp_path, epochs=1)
    with pytest.raises(ValueError, match="records was abc, now xyz"):
        run(tmp_path, identity={"records": "xyz"})


@pytest.mark.parametrize(("minutes", "early"), [(0.0, True), (10.0, False)])
def test_the_state_is_saved_when_it_is_time_after_the_first_epoch_and_at_the_end(
    tmp_path: Path, minutes: float, early: bool
) -> None:
    seen = []

    def note(step: int) -> float:
        seen.append((tmp_path / "state.npz").exists())
        return 0.01

    run(tmp_path, epochs=2, checkpoint_minutes=minutes, learning_rate=note)
    # before each step, and at the end of each epoch; that of the first one is saved in any case
    assert seen == [False] + [early] * STEPS + [True] * (STEPS + 1)
    assert (tmp_path / "state.npz").exists()


def test_a_model_that_was_tracked_is_saved_without_its_optimizer(tmp_path: Path) -> None:
    run(tmp_path / "plain", epochs=1)
    run(tmp_path / "tracked", epochs=1, callbacks=[keras.callbacks.Callback()])
    plain, tracked = (tmp_path / name / "best.keras" for name in ("plain", "tracked"))
    assert abs(plain.stat().st_size - tracked.stat().st_size) < 100
    assert getattr(load_model(tracked).model, "optimizer", None) is None


def test_profile_and_scalars_are_written_where_tensorboard_looks(tmp_path: Path) -> None:
    run(tmp_path, epochs=1, steps_per_epoch=15, profile=True)
    files = [path.name for path in (tmp_path / "tensorboard").rglob("*") if path.is_file()]
    assert any(name.startswith("events.out.tfevents") for name in files)
    assert any(name.endswith(".xplane.pb") for name in files)
    run(tmp_path / "none", epochs=1, tensorboard=False)
    assert not (tmp_path / "none" / "tensorboard").exists()


@pytest.mark.parametrize("at", [2, 3, 4])
def test_a_run_that_is_asked_to_stop_saves_at_its_step_and_goes_on_to_the_same_weights(tmp_path: Path, at: int) -> None:
    _, _, expected = run(tmp_path / "whole")
    stop = StopRequest()

    def rate(step: int) -> float:
        stop.signal_number = signal.SIGTERM if step == at - 1 else 0  # it comes while the step before is done
        return 0.05 / (1 + step)

    with pytest.raises(TrainingStopped, match=f"saved at step {at}; the same command goes on from there") as caught:
        run(tmp_path / "parts", learning_rate=rate, stop=stop)
    assert (caught.value.signal_number, caught.value.step) == (signal.SIGTERM, at)
    state, _, found = run(tmp_path / "parts", seed=9)
    assert state.step == 6
    for a, b in zip(expected, found, strict=True):
        assert a.tobytes() == b.tobytes()
