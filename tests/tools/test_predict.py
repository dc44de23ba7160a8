"""tools/predict.py as a person runs it."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from tests.devkit_fixture import draw_quarters, encode
from tests.paths import ROOT
from voc_tfdata.commands.predict import choose_classes, find_thresholds
from voc_tfdata.model.trained_model import save_model

TOOL = ROOT / "tools" / "predict.py"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that reads "red" off the upper left quarter and "blue" off the lower left one, of 32 x 32 pixels."""
    images = keras.Input((32, 32, 3))
    colours = keras.layers.AveragePooling2D(16)(images)  # [B, 2, 2, 3]
    dense = keras.layers.Dense(2, activation="sigmoid")
    model = keras.Model(images, dense(keras.layers.Flatten()(colours)))
    kernel = np.zeros((12, 2), np.float32)
    kernel[0, 0], kernel[1, 0] = 0.1, -0.1  # red less green, above left
    kernel[8, 1], kernel[7, 1] = 0.1, -0.1  # blue less green, below left
    dense.set_weights([kernel, np.array([-5.0, -5.0])])
    path = tmp_path_factory.mktemp("predict") / "best.keras"
    save_model(path, model, ("red", "blue"), resize="bilinear")
    return path


def predict(*args: object, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, TOOL, *map(str, args)], cwd=cwd, capture_output=True, text=True, timeout=120)


def test_pictures_of_any_format_are_seen_upright(checkpoint: Path, tmp_path: Path) -> None:
    quarters = draw_quarters()  # red and green above, blue and white below
    (tmp_path / "folder" / "deeper").mkdir(parents=True)
    quarters.save(tmp_path / "a.jpg", quality=95)
    quarters.save(tmp_path / "folder" / "b.png")
    exif = Image.Exif()
    exif[0x0112] = 3  # stored upside down
    (tmp_path / "folder" / "deeper" / "c.JPG").write_bytes(
        encode(quarters.transpose(Image.Transpose.ROTATE_180), "JPEG", exif=exif, quality=95)
    )
    Image.new("L", (30, 20), 128).save(tmp_path / "folder" / "grey.bmp")
    (tmp_path / "folder" / "notes.txt").write_text("no image")
    done = predict(f"--checkpoint={checkpoint}", "a.jpg", "folder", "--batch_size=2", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    lines = done.stdout.splitlines()
    # red: 0.1 * (220 - 30) - 5 = 14, blue: 0.1 * (210 - 60) - 5 = 10, both above 0.9999 as sigmoid; grey: -5, 0.0067
    assert lines[:4] == [
        "a.jpg: red 1.00, blue 1.00",
        "folder/b.png: red 1.00, blue 1.00",
        "folder/deeper/c.JPG: red 1.00, blue 1.00",
        "folder/grey.bmp: nothing above the threshold (red 0.007)",
    ]
    with open(tmp_path / "predicted" / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["predicted"] for row in rows] == ["red; blue"] * 3 + [""]
    assert [float(row["score_red"]) for row in rows] == pytest.approx([1.0, 1.0, 1.0, 1 / (1 + np.exp(5))], abs=1e-4)
    with Image.open(tmp_path / "predicted" / "pictures.png") as grid:
        assert grid.width > 400


def test_a_bad_picture_is_named_and_nothing_is_written(checkpoint: Path, tmp_path: Path) -> None:
    draw_quarters().save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    done = predict(f"--checkpoint={checkpoint}", "good.png", "bad.png", cwd=tmp_path)
    assert done.returncode == 1 and "bad.png" in done.stderr and "--on_error=skip" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "predicted").exists()
    done = predict(f"--checkpoint={checkpoint}", "good.png", "bad.png", "--on_error=skip", cwd=tmp_path)
    assert done.returncode == 0 and "bad.png" in done.stderr and "good.png: red" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--checkpoint=nope.keras"], "name the images"),
        (["--checkpoint=nope.keras", "nope.jpg"], "no file nope.jpg"),
        (["--checkpoint=nope.keras", "."], ". holds no image"),
        ([], "checkpoint"),
    ],
)
def test_what_is_missing_is_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = predict(*arguments, cwd=tmp_path)
    assert done.returncode in (1, 2) and message in done.stderr and "Traceback" not in done.stderr


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    done = predict("--checkpoint=none.keras", tmp_path / "pipe.jpg", cwd=tmp_path)
    assert done.returncode == 1 and "pipe.jpg is no file (a pipe, a device?)" in done.stderr


def test_an_image_of_a_format_that_is_not_read_is_named_and_not_passed_over(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    draw_quarters().save(folder / "a.jfif", "JPEG")
    done = predict(f"--checkpoint={checkpoint}", "folder", cwd=tmp_path)
    assert done.returncode == 1 and "phone.HEIC" in done.stderr and "HEIC" in done.stderr and "convert" in done.stderr
    done = predict(f"--checkpoint={checkpoint}", "folder", "--on_error=skip", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("folder/a.jfif: red 1.00") and "phone.HEIC" in done.stderr


def test_the_report_s_thresholds_decide_and_the_answers_are_json(checkpoint: Path, tmp_path: Path) -> None:
    own = tmp_path / "model" / "best.keras"
    own.parent.mkdir()
    own.write_bytes(checkpoint.read_bytes())
    (tmp_path / "model" / "metrics.json").write_text('{"best_threshold": {"red": null, "blue": 0.001}}')
    Image.new("L", (30, 20), 128).save(tmp_path / "grey.png")  # red and blue 0.0067
    done = predict(f"--checkpoint={own}", "grey.png", "--threshold=best", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("grey.png: blue 0.01\n"), done.stderr
    (answer,) = json.loads((tmp_path / "predicted" / "predictions.json").read_text())
    assert set(answer["scores"]) == {"red", "blue"} and answer["file"] == "grey.png"
    assert list(answer["predicted"]) == ["blue"]
    with open(tmp_path / "predicted" / "predictions.csv", newline="") as file:
        assert next(csv.DictReader(file))["predicted"] == "blue"
    assert done.stdout.splitlines()[-1].count("predicted/predictions.") == 2


def test_thresholds_and_the_likeliest(tmp_path: Path) -> None:
    names, row = ("a", "b", "c"), (0.3, 0.7, 0.5)
    half = find_thresholds("0.5", "best.keras", names)
    assert half == [0.5, 0.5, 0.5] and choose_classes(row, names, half) == ["b"]  # above, not at
    assert choose_classes(row, names, find_thresholds("0", "best.keras", names)) == ["b", "c", "a"]
    assert choose_classes(row, names, half, top_k=2) == ["b", "c"]
    for wrong in ("2", "-0.1", "nan", "half"):
        with pytest.raises(ValueError, match=f"^--threshold={wrong}; it is a number from 0 to 1, or best$"):
            find_thresholds(wrong, "best.keras", names)
    (tmp_path / "metrics.json").write_text("[]")
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(
            ValueError, match="^--threshold=best: no thresholds in .*metrics.json, .* voc_tfdata evaluate "
        ):
            find_thresholds("best", str(folder / "best.keras"), names)
