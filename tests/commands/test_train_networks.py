"""train --model: a network of one's own, its pretrained part frozen first; a run that is cut in two is the same run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.devkit_fixture import write_small_records
from tests.paths import ROOT

NETWORK = """
import keras

def build(num_classes, image_size, weights="none"):
    height, width = image_size if isinstance(image_size, tuple) else (image_size, image_size)
    images = keras.Input((height, width, 3))
    inside = keras.Input((height, width, 3))
    x = keras.layers.Conv2D(4, 3, 4)(inside)  # no seed of its own: that of the run
    backbone = keras.Model(inside, x, name="backbone")
    x = backbone(keras.layers.Rescaling(1 / 255)(images))
    x = keras.layers.Dropout(0.2)(keras.layers.GlobalAveragePooling2D()(x))
    x = keras.layers.Dense(num_classes, name="logits")(x)
    return keras.Model(images, keras.layers.Activation("sigmoid")(x), name="tiny")

def track():
    def note(epoch, logs):
        print(f"tracked {epoch} {sorted(logs)[:2]}", flush=True)
    return keras.callbacks.LambdaCallback(on_epoch_end=note)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    write_small_records(folder, train=9, val=3, test=4)
    (folder / "net.py").write_text(NETWORK)
    return folder


def train(folder: Path, out: str, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [
        *(sys.executable, "-m", "voc_tfdata", "train"),
        *(f"--records={folder}/records", f"--out_dir={folder}/{out}", f"--model={folder}/net.py:build"),
        *("--weights=mine", "--image_size=32", "--batch_size=2", "--epochs=3", "--freeze_epochs=1", "--patience=0"),
        *("--optimizer=adam", "--learning_rate=1e-2", "--backbone_rate=0.1", "--deterministic", "--precision=float32"),
        "--keep_state",
    ]
    return subprocess.run([*command, *flags], cwd=ROOT, capture_output=True, text=True, timeout=300)


def variables_of(folder: Path, out: str) -> dict[str, np.ndarray]:
    with np.load(folder / out / "state.npz") as file:
        return {name: file[name] for name in file.files if name != "state"}


def backbone_of(folder: Path, out: str) -> np.ndarray:
    """Returns the convolution's kernel: the first of the variables of that shape, the others are moments."""
    values = [value for value in variables_of(folder, out).values() if value.shape == (3, 3, 3, 4)]
    return values[0]


def test_the_backbone_rests_first_and_a_run_cut_at_any_step_goes_on_to_the_bit(folder: Path) -> None:
    whole = train(folder, "whole")
    assert whole.returncode == 0, whole.stderr
    # Five steps an epoch: cut at the step that lets all loose, and after it.
    for cut in (5, 7):
        assert train(folder, f"cut{cut}", f"--max_steps={cut}").returncode == 0
        done = train(folder, f"cut{cut}")
        assert done.returncode == 0 and f"goes on after step {cut}" in done.stderr
        first, second = variables_of(folder, "whole"), variables_of(folder, f"cut{cut}")
        assert first.keys() == second.keys()
        for name, value in first.items():
            assert value.tobytes() == second[name].tobytes(), (cut, name)
    assert train(folder, "frozen", "--max_steps=5").returncode == 0
    assert train(folder, "begun", "--max_steps=1").returncode == 0
    assert (backbone_of(folder, "frozen") == backbone_of(folder, "begun")).all()  # rests in the first epoch
    assert (backbone_of(folder, "frozen") != backbone_of(folder, "whole")).any()  # and moves after it
    report = json.loads((folder / "whole" / "metrics.json").read_text())
    assert report["num_examples"] == 4
    assert list((folder / "whole").glob("**/comp2_cls_test_*.txt"))  # trained with outside data


def test_images_that_are_no_squares_are_trained_on_and_make_a_run_of_their_own(folder: Path) -> None:
    begun = train(folder, "wide", "--image_size=32,48", "--max_steps=3", "--warmup_steps=4")
    assert begun.returncode == 0
    assert "--warmup_steps=4, and the run has 3 steps: it ends before the rate has risen to" in begun.stderr
    done = train(folder, "wide", "--image_size=32,48", "--epochs=1")
    assert done.returncode == 0 and "goes on after step 3" in done.stderr, done.stderr
    assert "(None, 32, 48, 3)" in done.stderr
    assert "--image_size=32,48\n" in (folder / "wide" / "flags.txt").read_text()
    report = (folder / "wide" / "report.html").read_text()
    assert "32 x 48 pixels" in report and "trained for" in report
    other = train(folder, "wide", "--image_size=48,32")
    assert other.returncode == 1 and "image_size was 32,48, now 48,32" in other.stderr


def test_a_tracker_is_told_of_each_epoch_and_a_finished_run_keeps_no_slots(folder: Path) -> None:
    done = train(folder, "tracked", f"--callbacks={folder}/net.py:track", "--nokeep_state")
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if line.startswith("tracked")]
    assert told == [f"tracked {epoch} ['binary_accuracy', 'images_per_second']" for epoch in range(3)]
    assert "logits (Dense)" in done.stderr  # the network, layer by layer
    assert list(variables_of(folder, "tracked")) == ["identity"]
    flags = (folder / "tracked" / "flags.txt").read_text()
    more = train(folder, "tracked", "--epochs=4")
    assert (folder / "tracked" / "flags.txt").read_text() == flags  # still those that repeat the run
    assert more.returncode == 1 and "was finished after step 15, and its state was not kept" in more.stderr


def test_what_cannot_be_frozen_or_built_is_one_line(folder: Path) -> None:
    cases = {
        ("--weights=none",): "--freeze_epochs=1 would freeze weights that are random; give --weights",
        ("--model=resnet5", "--weights=imagenet"): "no network 'resnet5'; did you mean resnet50",
        ("--model=resnet50", "--weights=nowhere.h5"): "--weights=nowhere.h5: no such file",
        (
            "--model=resnet50",
            "--weights=none",
            "--freeze_epochs=0",
            "--batch_norm",
        ): "--batch_norm is an option of vgg16",
        (f"--callbacks={folder}/net.py:build_none",): "net.py has no function build_none",
    }
    for flags, message in cases.items():
        done = train(folder, "refused", *flags)
        assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr, done.stderr
