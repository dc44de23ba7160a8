"""The comparison with other loaders: what is run, how it is timed, what the report makes of it."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import pytest
import tensorflow as tf

from benchmarks.peers import measure as measure_lib
from benchmarks.repeat_records import repeat_records
from benchmarks.results import draw_chart, format_results, ratio_of
from tests.devkit_fixture import sample, write_devkit
from voc_tfdata.convert.build import build_records
from voc_tfdata.records.manifest import read_manifest
from voc_tfdata.records.split_source import find_source, open_split
from voc_tfdata.records.tfrecord import iterate_ids


def line_of(number: int, median: float, name: str = "peer") -> dict:
    return {"round": number, "name": name, "median": median, "images_per_s": [median], "cpu_ms_per_image": 1.0}


def run_measure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, make, *arguments: str) -> dict:
    cores = f"--threads={len(os.sched_getaffinity(0))}"  # all: the test's own process must not lose any
    monkeypatch.setattr("sys.argv", ["peer", cores, *arguments])
    measure_lib.measure(make, {"decode": "A peer"}, packages=("numpy",))
    return json.loads(capsys.readouterr().out)


def test_a_peer_is_timed_over_whole_epochs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    epochs = []

    def run_epoch() -> int:
        epochs.append(10)
        time.sleep(0.02)
        return 10

    line = run_measure(monkeypatch, capsys, lambda args: run_epoch, "--epochs=2", "--min_seconds=0.05")
    # An epoch takes 0.02 s and some, so each measurement, like the warm-up, is 1 to 3 of them: under 500 images/s.
    assert 3 <= len(epochs) <= 9
    assert line["name"] == "A peer" and line["task"] == "decode"
    assert len(line["images_per_s"]) == 2 and all(0 < rate < 500 for rate in line["images_per_s"])
    assert line["cpu_ms_per_image"] < 1.5  # sleeping takes 2 ms an image, but no processor
    assert set(line["versions"]) == {"python", "numpy"}


def test_a_peer_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def make(args):
        import no_such_loader  # noqa: F401

    line = run_measure(monkeypatch, capsys, make)
    assert line["error"] == "not installed: No module named 'no_such_loader'"


def test_a_random_crop_keeps_to_the_picture_and_its_area() -> None:
    rng = random.Random(0)
    areas, aspects = [], []
    for _ in range(2000):
        top, left, height, width = measure_lib.random_crop(rng, 375, 500)
        assert 0 <= top <= 375 - height and 0 <= left <= 500 - width and height > 0 and width > 0
        areas.append(height * width / (375 * 500))
        aspects.append(width / height)
    assert 0.075 < min(areas) < 0.12 and 0.85 < max(areas) <= 1  # 8 to 100 %, sides rounded
    assert 0.72 < min(aspects) and max(aspects) < 1.37  # 3/4 to 4/3, sides rounded


def test_repeated_records_are_a_sound_data_set_so_many_times_as_large(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", {"a": sample("dog"), "b": sample("cat"), "c": sample("dog", "car")})
    build_records(root, tmp_path / "base", split_ratios="train=1", num_workers=1, num_shards=2)
    folder = repeat_records(tmp_path / "base", tmp_path / "x4", copies=4)
    index = open_split(find_source(folder, "train"))  # checks every checksum
    ids = tuple(iterate_ids(folder, read_manifest(folder).splits["train"]))
    assert index.num_examples == len(set(ids)) == 12
    assert sum(1 for _ in tf.data.TFRecordDataset(list(index.paths))) == 12
    assert {i.split("#")[0] for i in ids} == {"a", "b", "c"}
    assert repeat_records(tmp_path / "base", tmp_path / "x4", copies=4) == folder  # kept
    with pytest.raises(ValueError, match="x4 holds another data set"):
        repeat_records(tmp_path / "base", tmp_path / "x4", copies=5)


def test_a_ratio_is_taken_within_each_round() -> None:
    mine, other = ("ours", "decode"), ("peers.x", "decode")
    rounds = {
        mine: [line_of(0, 100), line_of(1, 90), line_of(2, 30)],
        other: [line_of(0, 50), line_of(1, 90), line_of(2, 10)],
    }
    assert ratio_of(rounds, mine, other) == 2  # of 2, 1 and 3; the medians, 90 and 50, would give 1.8
    rounds[other][0] = {"round": 0, "error": "failed"}
    assert ratio_of(rounds, mine, other) == 2  # of 1 and 3
    assert ratio_of(rounds, mine, ("peers.y", "decode")) is None


def test_the_report_says_what_is_met_missed_and_not_there(tmp_path: Path) -> None:
    rounds = {
        ("ours", "decode"): [line_of(0, 1500, "voc_tfdata")],
        ("peers.torch_cv2", "decode"): [line_of(0, 1000, "torch")],
        ("peers.dali_cpu", "decode"): [line_of(0, 1200, "DALI")],
        ("peers.grain_loader", "decode"): [{"round": 0, "name": "Grain", "error": "not installed: no grain"}],
        ("ours", "first"): [{"round": 0, "first_s": 0.3, "first_decoded_s": 1.2}],
    }
    report = {
        "machine": {"cpu": "A CPU", "cores": 2, "memory_gib": 4.0, "system": "Linux"},
        "command": "python -m benchmarks.run_all",
        "load_before": 0.0,
        "minutes": 1.0,
        "lines": [line for lines in rounds.values() for line in lines],
    }
    text = format_results(report, rounds)
    # 1,500 / 1,000 = 1.5, at least 1.05 is wanted; 1,500 / 1,200 = 1.25, at least 1.4
    assert "x torch DataLoader + cv2 | 1.05 | 1.50 | met |" in text
    assert "x NVIDIA DALI on the CPU | 1.4 | 1.25 | **missed** |" in text
    assert "x FFCV jpg | 1.8 |  | not measured |" in text
    assert "records: seconds more than an empty data set | at most 1 | 0.30 | met |" in text
    assert "decoded store: seconds more than an empty data set | at most 1 | 1.20 | **missed** |" in text
    assert "| Grain | not installed: no grain |" in text
    assert text.index("| voc_tfdata | 1,500 |") < text.index("| DALI | 1,200 |") < text.index("| torch | 1,000 |")
    draw_chart(rounds, tmp_path / "results.png")
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")
