"""tools/inspect_records.py as a person runs it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.devkit_fixture import difficult, object_xml, sample, write_devkit
from tests.paths import ROOT
from voc_tfdata.convert.build import build_records

TOOL = ROOT / "tools" / "inspect_records.py"


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inspect")
    samples = {"a": sample(object_xml("dog", box=(8, 6, 24, 18)), difficult("cat")), "b": sample("person")}
    root = write_devkit(folder / "VOC", samples)
    build_records(root, folder / "records", split_ratios="train=1", num_workers=1)
    return folder / "records"


def inspect(*args: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, TOOL, *map(str, args)], capture_output=True, text=True, timeout=180)


def test_the_overview_shows_splits_and_classes(records: Path) -> None:
    run = inspect(records)
    assert run.returncode == 0 and run.stderr == ""
    lines = [line.split() for line in run.stdout.splitlines()]
    # train: 2 images, none without objects, 3 objects, 2 labels that count (dog, person), 1 difficult only (cat)
    assert ["train", "2", "0", "3", "2", "1", "1"] == lines[1][:7]
    assert ["cat", "0", "(1)"] in lines and ["dog", "1"] in lines


def test_one_image_is_printed_field_by_field(records: Path) -> None:
    run = inspect(records, "--image_id=a")
    assert run.returncode == 0
    assert "split: train" in run.stdout
    assert "image/object/class/text: ['dog', 'cat']" in run.stdout
    assert "image/object/bbox/xmin: [0.25, 0.125]" in run.stdout  # 8 of 32 and 4 of 32 pixels


def test_an_unknown_image_is_one_line_of_error(records: Path) -> None:
    run = inspect(records, "--image_id=nope")
    assert run.returncode == 1
    assert run.stderr.startswith("error: no image 'nope'") and "Traceback" not in run.stderr


def test_the_grid_shows_pictures_with_their_boxes(records: Path, tmp_path: Path) -> None:
    run = inspect(records, f"--grid={tmp_path}/grid.png")
    assert run.returncode == 0
    pixels = np.asarray(Image.open(tmp_path / "grid.png"))
    assert pixels.shape == (256, 512, 3)  # two tiles beside each other
    assert (pixels == (40, 200, 70)).all(axis=-1).any()  # boxes that count
    assert (pixels == (240, 150, 30)).all(axis=-1).any()  # difficult ones
    assert [p.name for p in tmp_path.iterdir()] == ["grid.png"]


def test_verify_says_whether_all_is_as_written(records: Path, tmp_path: Path) -> None:
    assert inspect(records, "--verify").stdout == "all 2 records are as written\n"
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in records.iterdir():
        data = bytearray(path.read_bytes())
        if path.suffix == ".tfrecord":
            data[100] ^= 1
        (damaged / path.name).write_bytes(data)
    run = inspect(damaged, "--verify")
    assert run.returncode == 1
    assert "record 0" in run.stdout and "2 faults" in run.stdout


def test_a_folder_without_a_manifest_is_one_line_of_error(tmp_path: Path) -> None:
    run = inspect(tmp_path)
    assert run.returncode == 1 and run.stderr.count("\n") == 1
    assert "build_tfrecords" in run.stderr


def test_help_lists_the_flags() -> None:
    run = inspect("--help")
    assert run.returncode == 0
    for flag in ("--image_id", "--grid", "--[no]verify", "--split", "--count"):
        assert flag in run.stdout
