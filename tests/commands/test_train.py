"""train.py as a person runs it, on a dozen pictures."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.devkit_fixture import write_small_records
from tests.paths import ROOT

STEPS = 5  # an epoch: 9 images by two


def command(*flags: object) -> list[str]:
    return [sys.executable, str(ROOT / "train.py"), *map(str, flags)]


def run(*flags: object) -> subprocess.CompletedProcess:
    return subprocess.run(command(*flags), cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_records(tmp_path_factory.mktemp("command"), train=9, val=3, test=4)


@pytest.fixture(scope="module")
def finished(records: Path) -> Path:
    """The folder of an undisturbed run; its output beside it."""
    out_dir = records.with_name("finished")
    done = run(
        f"--records={records}",
        f"--out_dir={out_dir}",
        "--image_size=32",
        "--batch_size=2",
        "--epochs=2",
        "--learning_rate=1e-4",
        "--warmup_steps=2",
        "--cosine_decay",
        "--dropout=0.5",
        "--augment=flip",
        "--prior_bias",
        "--positive_weight",
        "--label_smoothing=0.1",
        "--clip_norm=1",
        "--deterministic",
        "--keep_state",
    )
    assert done.returncode == 0, done.stderr
    out_dir.with_name("stdout.txt").write_text(done.stdout)
    out_dir.with_name("stderr.txt").write_text(done.stderr)
    return out_dir


def rows_of(out_dir: Path) -> list[dict[str, str]]:
    with open(out_dir / "history.csv", newline="") as file:
        timing = {"images_per_second", "input_wait", "seconds"}
        return [{k: v for k, v in row.items() if k not in timing} for row in csv.DictReader(file)]


def step_of(out_dir: Path) -> int:
    """Returns how many steps the saved state has behind it, 0 if there is no sound one."""
    try:
        with np.load(out_dir / "state.npz") as file:
            return json.loads(str(file["state"]))["step"]
    except (FileNotFoundError, ValueError):
        return 0


def test_a_run_leaves_everything_and_says_where(finished: Path) -> None:
    for name in (
        "best.keras",
        "state.npz",
        "flags.txt",
        "curves.png",
        "batch.png",
        "pictures.png",
        "report.html",
        "predictions.csv",
    ):
        assert (finished / name).stat().st_size > 0, name
    assert (finished / "comp1_cls_test_dog.txt").read_text().count("\n") == 4
    stdout = finished.with_name("stdout.txt").read_text()
    assert "mAP (voc2010)" in stdout and "report.html" in stdout and "best.keras" in stdout
    size = (finished / "state.npz").stat().st_size / 1e6
    assert re.search(rf"  state.npz +{size:,.1f}\d* MB  to go on with this run, unless it is finished", stdout)
    metrics = json.loads((finished / "metrics.json").read_text())
    # four test images p12 ... p15: cat, dog, person, cat, and difficult dog, person, cat, dog
    assert metrics["positives"] == {"cat": 2, "dog": 1, "person": 1}
    assert metrics["ignored"] == {"cat": 1, "dog": 2, "person": 1}
    # 12 cells less 4 ignored; 4 of the 8 are 0
    assert metrics["baselines"]["all_negative_binary_accuracy"] == 0.5
    # of the 9 training images each class is in 3, and difficult in 3: 3 of 6 that count, which is ln 2
    assert metrics["baselines"]["constant_prior_loss"] == pytest.approx(np.log(2))


def test_each_epoch_is_a_line_of_the_log_and_of_the_history(finished: Path) -> None:
    stderr = finished.with_name("stderr.txt").read_text()
    assert "Traceback" not in stderr and "WARNING" not in stderr.upper().replace("WARNING: COLLAPSED", "")
    epochs = [line for line in stderr.splitlines() if "epoch 1/2:" in line or "epoch 2/2:" in line]
    assert len(epochs) == 2 and all("val_mAP" in line and "waiting for input" in line for line in epochs)
    rows = rows_of(finished)
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "5"), ("2", "10")]
    # warm-up of 2 steps, then half a cosine over 8: after 5 steps the last was step 4, 2 of 8; after 10 it was 7 of 8
    expected = [1e-4 * 0.5 * (1 + np.cos(np.pi * done / 8)) for done in (2, 7)]
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx(expected)


@pytest.mark.slow
def test_killed_within_an_epoch_it_ends_with_the_same_weights(finished: Path) -> None:
    out_dir = finished.with_name("killed")
    out_dir.mkdir()
    (out_dir / "state.npz").write_text("of a run that is not to be gone on with: see --resume=false")
    flags = f"--flagfile={finished / 'flags.txt'}", f"--out_dir={out_dir}"
    victim = subprocess.Popen(
        command(*flags, "--resume=false", "--checkpoint_minutes=0"), cwd=ROOT, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 240
    while not step_of(out_dir) and victim.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    victim.kill()
    assert victim.wait() == -9
    stopped_at = step_of(out_dir)
    assert 0 < stopped_at < STEPS, stopped_at

    again = run(*flags)
    assert again.returncode == 0, again.stderr
    assert f"goes on after step {stopped_at}, in epoch 1" in again.stderr
    with np.load(finished / "state.npz") as undisturbed, np.load(out_dir / "state.npz") as resumed:
        names = [name for name in undisturbed if name.startswith("variable")]
        assert len(names) > 2 * 32  # weights and their slots, counters, dropout's seeds
        for name in names:
            assert undisturbed[name].tobytes() == resumed[name].tobytes(), name
    assert rows_of(finished) == rows_of(out_dir)
    for name in ("metrics.json", "predictions.csv", "comp1_cls_test_dog.txt"):
        assert (finished / name).read_bytes() == (out_dir / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_with_a_save_and_the_same_command_goes_on(
    finished: Path, number: signal.Signals, status: int
) -> None:
    out_dir = finished.with_name(f"stopped_{status}")
    flags = f"--flagfile={finished / 'flags.txt'}", f"--out_dir={out_dir}", "--epochs=2000", "--checkpoint_minutes=0"
    process = subprocess.Popen(command(*flags), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    while not step_of(out_dir) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    second = run(*flags)
    assert second.returncode == 1 and f"is in use by process {process.pid} on " in second.stderr
    process.send_signal(number)
    _, err = process.communicate(timeout=180)
    assert process.returncode == status, err
    last = err.splitlines()[-1]
    assert last == f"stopped by {number.name}: saved at step {step_of(out_dir)}; the same command goes on from there"
    assert "Traceback" not in err
    again = run(*flags, f"--max_steps={step_of(out_dir) + 1}")
    assert again.returncode == 0 and f"goes on after step {step_of(out_dir) - 1}" in again.stderr, again.stderr


def test_evaluation_alone_gives_the_same_numbers_beside_the_first_report(finished: Path, records: Path) -> None:
    before = (finished / "report.html").read_bytes()
    done = run(f"--records={records}", f"--out_dir={finished}", "--eval_only")
    assert done.returncode == 0, done.stderr
    folder = finished / "evaluation_test"
    first, second = (json.loads((path / "metrics.json").read_text()) for path in (finished, folder))
    # Another process may add up in another order on some processors.
    for name in ("loss", "calibration_error", "prediction_std", "best_threshold", "class_calibration_error"):
        assert second.pop(name) == pytest.approx(first.pop(name), rel=1e-5, abs=1e-6), name
    for metrics in (first, second):
        metrics.pop("calibration")
    assert first == second
    assert (finished / "report.html").read_bytes() == before
    facts = (folder / "report.html").read_text()
    assert "32 x 32 pixels" in facts and "of 2 by val_loss" in facts and "--image_size=224" not in facts
    again = run(f"--records={records}", f"--out_dir={finished}", "--eval_only")
    assert again.returncode == 1 and "evaluation_test holds the report of another evaluation" in again.stderr


def test_a_data_set_with_a_test_split_only_can_be_evaluated(finished: Path, tmp_path: Path) -> None:
    records = write_small_records(tmp_path, test=4)
    command = [sys.executable, "-m", "voc_tfdata", "evaluate", f"--records={records}", f"--out_dir={tmp_path / 'out'}"]
    command += [f"--checkpoint={finished / 'best.keras'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["num_examples"] == 4 and metrics["baselines"]["constant_prior_loss"] is None
    assert subprocess.run(command, cwd=ROOT, capture_output=True, timeout=300).returncode == 1  # a report is there
    done = subprocess.run([*command, "--overwrite"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_a_resumed_run_says_which_flags_differ(finished: Path, tmp_path: Path) -> None:
    out_dir = tmp_path / "run"
    shutil.copytree(finished, out_dir)
    flags = f"--flagfile={finished / 'flags.txt'}", f"--out_dir={out_dir}"
    done = run(*flags, "--learning_rate=0.5", "--nopositive_weight", "--weight_decay=0.1")
    assert done.returncode == 0, done.stderr
    said = [line.rpartition("than before: ")[2] for line in done.stderr.splitlines() if "than before: " in line]
    assert said == [
        "learning_rate was 0.0001, now 0.5",
        "weight_decay was 0.0, now 0.1",
        "positive_weight was true, now false",
    ]


def test_another_recipe_does_not_go_on_from_this_one(finished: Path) -> None:
    before = (finished / "flags.txt").read_bytes()
    done = run(f"--flagfile={finished / 'flags.txt'}", "--batch_size=3", "--batch_norm")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "batch_norm was False, now True" in done.stderr and "batch_size was 2, now 3" in done.stderr
    assert (finished / "flags.txt").read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--epoch=3"], "Unknown command line flag 'epoch'. Did you mean: epochs"),
        (["--monitor=val_map"], "val_loss|val_mAP"),
        (["--image_size=31"], "image_size=31; each side must be 32 or more"),
        (["--learning_rate=0"], "--learning_rate=0.0; it must be a number above 0"),
        (["--learning_rate=nan"], "--learning_rate=nan"),
        (["--val_split=valid"], "no split 'valid' in"),
        (["--records=nowhere"], "no nowhere/manifest.json"),
        (["--weights=nope.h5"], "--weights=nope.h5: no such file"),
        (["--weights=imagenet", "--batch_norm"], "leave one out"),
        (["--checkpoint=best.keras"], "--checkpoint is for --eval_only"),
        (["--out_dir=s3://bucket/run"], "it must be a local folder"),
        (["stray"], "unexpected argument 'stray'"),
    ],
)
def test_a_wrong_flag_is_one_line_before_anything_is_loaded(
    records: Path, tmp_path: Path, flags: list[str], message: str
) -> None:
    done = run(f"--records={records}", f"--out_dir={tmp_path / 'run'}", *flags)
    assert done.returncode in (1, 2) and message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", sorted(os.listdir(ROOT / "flags")))
def test_every_flagfile_holds_flags_that_exist(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.h5").touch()
    needed = [f"--weights={tmp_path / 'a.h5'}"] if name == "transfer.flags" else []  # its first line asks for them
    done = run(f"--flagfile=flags/{name}", *needed, "--records=nowhere", f"--out_dir={tmp_path / 'run'}")
    assert done.returncode == 1 and "no nowhere/manifest.json" in done.stderr
