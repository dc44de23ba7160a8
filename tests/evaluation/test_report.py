"""The report folder of one evaluation, and each writer on its own."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from voc_tfdata.evaluation import report
from voc_tfdata.evaluation.baselines import LabelCounts

NAMES = ("cat", "bus", "dog")
IDS = [b"a1", b"a2", b"a3", b"a4"]  # bytes, as TensorFlow hands them out
Y_TRUE = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 0], [0, -1, 0]], np.float32)
Y_SCORE = np.array([[0.9, 0.2, 0.1], [0.8, 0.7, 0.3], [0.7, 0.1, 0.2], [0.1, 0.9, 0.4]], np.float32)
HISTORY = {"loss": [0.4, 0.3], "val_loss": [0.5, 0.4]}
PICTURE = np.full((30, 30, 3), 128, np.uint8)


def write(folder, **changes):
    arguments = {"ids": IDS, "y_true": Y_TRUE, "y_score": Y_SCORE, "class_names": NAMES}
    return report.write_report(folder, **{**arguments, **changes})


def refuse_constant(name):
    raise AssertionError(f"{name} is not JSON")


def test_the_report_holds_every_file(tmp_path):
    out_dir = tmp_path / "runs" / "a"
    summary = write(
        out_dir,
        train_counts=LabelCounts((2, 0, 1), (0, 1, 0), 4),
        history=HISTORY,
        sample_images={"a3": PICTURE, "a1": PICTURE},
        mistake_images={"a2": PICTURE},
        facts={"model": "<b>vgg16"},
        flags_text="--epochs=2",
    )
    pngs = ["calibration.png", "curves.png", "mistakes.png", "pictures.png", "precision_recall.png"]
    tables = ["classes.csv", *[f"comp1_cls_test_{name}.txt" for name in ("bus", "cat", "dog")]]
    assert sorted(path.name for path in out_dir.iterdir()) == sorted(
        [*pngs, *tables, "metrics.json", "predictions.csv", "report.html"]
    )
    text = (out_dir / "metrics.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=refuse_constant) == summary
    assert summary["mAP"] == pytest.approx((5 / 6 + 1 / 2) / 2) and summary["ap"]["bus"] is None
    assert (out_dir / "comp1_cls_test_dog.txt").read_text() == "a1 0.1\na2 0.3\na3 0.2\na4 0.4\n"
    html = (out_dir / "report.html").read_text(encoding="utf-8")
    assert "--epochs=2" in html and "&lt;b&gt;vgg16" in html
    assert html.count("data:image/png;base64,") == 4 + len([name for name in HISTORY if not name.startswith("val_")])
    low, high = summary["mAP_interval"]
    assert low <= summary["mAP"] <= high
    for name in pngs:
        assert min(Image.open(out_dir / name).size) > 200


def test_without_history_and_pictures_those_files_are_left_out(tmp_path):
    write(tmp_path, history={"learning_rate": [0.1]}, split="val")
    names = {path.name for path in tmp_path.iterdir()}
    assert {"precision_recall.png", "report.html", "comp1_cls_val_cat.txt"} <= names
    assert names.isdisjoint({"curves.png", "pictures.png", "mistakes.png"})


def test_the_same_evaluation_gives_the_same_bytes(tmp_path):
    for folder in ("one", "two"):
        write(tmp_path / folder, history=HISTORY, sample_images={"a1": PICTURE})
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_samples_are_shown_with_the_labels_of_their_own_id(tmp_path):
    # a2 is row 1: cat 0.8 is a false alarm, bus 0.7 too, dog is missed. The same image drawn alone is the same PNG.
    write(tmp_path, sample_images={"a2": PICTURE})
    report.write_picture_grid([PICTURE], Y_TRUE[1:2], Y_SCORE[1:2], [b"a2"], NAMES, tmp_path / "alone.png")
    assert (tmp_path / "pictures.png").read_bytes() == (tmp_path / "alone.png").read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ids": IDS[:3]}, "3 ids for 4 rows"),
        ({"ids": ["a", "b", "a", "c"]}, "'a' comes twice"),
        ({"ids": ["a", "b", "c\n", "d"]}, "line break"),
        ({"sample_images": {"zz": PICTURE}}, "'zz', which is not in ids"),
        ({"sample_images": {"a1": PICTURE / 255}}, "picture a1 is float64"),
        ({"y_score": Y_SCORE * 3}, "apply the sigmoid"),
        ({"y_score": Y_SCORE * np.nan}, "12 NaN"),
        ({"definition": "coco"}, "allowed: voc2007"),
        ({"class_names": NAMES[:2]}, "2 class names for 3 columns"),
        ({"train_counts": LabelCounts((1,), (0,), 1)}, "1 classes, the labels have 3"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_the_class_table_names_the_definition_and_leaves_undefined_fields_empty(tmp_path):
    write(tmp_path, definition="voc2007")
    lines = list(csv.reader(io.StringIO((tmp_path / "classes.csv").read_text(encoding="utf-8"))))
    assert lines[0] == ["class", "positives", "ignored", "ap_voc2007", "chance_ap_voc2007"]
    # cat, ranking 1 0 1 0: precision 1 to recall 1/2 (six thresholds), 2/3 beyond (five): (6 + 10/3) / 11 = 28/33
    assert lines[1][:4] == ["cat", "2", "0", "0.848485"]
    assert lines[2] == ["bus", "0", "1", "", ""]
    assert lines[3][:4] == ["dog", "1", "0", "0.500000"]


def test_nan_becomes_null_in_metrics_json(tmp_path):
    report.write_metrics_json(tmp_path / "m.json", {"loss": float("nan"), "name": "猫"})
    assert (tmp_path / "m.json").read_text(encoding="utf-8") == '{\n "loss": null,\n "name": "猫"\n}\n'
