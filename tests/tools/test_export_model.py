"""tools/export_model.py as a person runs it; what the SavedModel computes is test_serving.py's."""

import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from tests.devkit_fixture import plain_jpeg
from tests.paths import ROOT
from tests.tiny_model import build_tiny_model
from voc_tfdata.model.trained_model import load_model, predict_jpegs, save_model

TOOL = ROOT / "tools" / "export_model.py"


def export(*args: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, TOOL, *map(str, args)], capture_output=True, text=True, timeout=120)


def test_the_saved_model_answers_as_the_checkpoint_does(tmp_path: Path) -> None:
    save_model(tmp_path / "best.keras", build_tiny_model(), ("cat", "dog"), resize="bilinear")
    done = export(f"--checkpoint={tmp_path / 'best.keras'}", f"--out_dir={tmp_path / 'exported'}")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [f"{tmp_path / 'exported'}: jpeg (string [N]) -> probability of cat, dog"]
    data = [plain_jpeg((200, 30, 30)), plain_jpeg((10, 90, 250))]
    answer = tf.saved_model.load(str(tmp_path / "exported")).signatures["serving_default"](jpeg=tf.constant(data))
    expected = predict_jpegs(load_model(tmp_path / "best.keras"), data)
    assert answer["dog"].numpy().tolist() == pytest.approx(expected[:, 1].tolist(), rel=1e-6)
    assert expected[0, 1] != expected[1, 1]

    again = export(f"--checkpoint={tmp_path / 'best.keras'}", f"--out_dir={tmp_path / 'exported'}")
    assert again.returncode == 1 and "exported exists already" in again.stderr and "Traceback" not in again.stderr


def test_a_tflite_file_is_compared_and_told_of(tmp_path: Path) -> None:
    save_model(tmp_path / "best.keras", build_tiny_model(), ("cat", "dog"), resize="bilinear")
    done = export(f"--checkpoint={tmp_path / 'best.keras'}", f"--out_dir={tmp_path / 'lite'}", "--format=tflite")
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert "images (float32 [1, 4, 4, 3], RGB 0 to 255, resize=bilinear; at most " in line and "cat, dog" in line
    assert (tmp_path / "lite/model.tflite").stat().st_size > 1000


def test_a_missing_checkpoint_is_one_line(tmp_path: Path) -> None:
    done = export(f"--checkpoint={tmp_path / 'nope.keras'}", f"--out_dir={tmp_path / 'exported'}")
    assert done.returncode == 1 and done.stderr.startswith("error: no checkpoint ") and not list(tmp_path.iterdir())
