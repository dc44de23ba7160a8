"""tools/make_sample_voc.py: the drawn devkit is whole, true to its annotations, and the same each time."""

import hashlib
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.paths import ROOT
from voc_tfdata.classes import VOC_CLASSES
from voc_tfdata.sample import devkit as tool
from voc_tfdata.sample.devkit import make_sample_voc
from voc_tfdata.sample.drawings import DRAWINGS
from voc_tfdata.sample.pictures import find_box, paste, turn
from voc_tfdata.sample.shapes import box, render

TOOL = ROOT / "tools" / "make_sample_voc.py"
NUM_IMAGES = 60


@pytest.fixture(scope="module")
def devkit(tmp_path_factory) -> Path:
    return make_sample_voc(tmp_path_factory.mktemp("sample"), num_images=NUM_IMAGES)


@pytest.fixture(scope="module")
def annotations(devkit) -> dict[str, ET.Element]:
    return {path.stem: ET.parse(path).getroot() for path in sorted((devkit / "Annotations").iterdir())}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOL), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, timeout=120)


def read_list(devkit: Path, name: str) -> list[str]:
    return (devkit / "ImageSets/Main" / f"{name}.txt").read_text().splitlines()


def checksum(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def corners(element: ET.Element) -> list[int]:
    return [int(element.findtext(f"bndbox/{name}", "")) for name in ("xmin", "ymin", "xmax", "ymax")]


def test_another_process_with_another_hash_seed_writes_the_same_bytes(devkit, tmp_path):
    for hash_seed in ("1", "2"):
        done = run(str(tmp_path / hash_seed), f"--num_images={NUM_IMAGES}", PYTHONHASHSEED=hash_seed)
        assert done.returncode == 0, done.stderr
        assert checksum(tmp_path / hash_seed / "VOC2012") == checksum(devkit)


def test_another_seed_draws_other_pictures_of_the_same_things(tmp_path):
    plans = [tool.Plan("2012_000001", "train", ("dog",), ()), tool.Plan("2012_000002", "test", ("dog",), ())]
    for seed in (0, 1):
        tool.write_devkit(tmp_path / str(seed), plans, seed)
    assert len({path.read_bytes() for path in tmp_path.rglob("*.jpg")}) == 4
    assert tool.plan_pictures(30, 0) != tool.plan_pictures(30, 1)


def test_nothing_but_numpy_and_pillow_is_loaded(tmp_path):
    code = (
        "import sys, voc_tfdata.sample.devkit; print([m for m in sys.modules if m in ('tensorflow', 'absl', 'lxml')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=180)
    assert done.stdout == "[]\n", done.stderr


def test_every_picture_has_its_annotation_in_the_layout_of_the_devkit(devkit, annotations):
    pictures = {path.stem: path for path in (devkit / "JPEGImages").iterdir()}
    assert len(pictures) == NUM_IMAGES and pictures.keys() == annotations.keys()
    for image_id, annotation in annotations.items():
        assert [child.tag for child in annotation][:5] == ["folder", "filename", "source", "size", "segmented"]
        assert annotation.findtext("folder") == "VOC2012"
        assert annotation.findtext("filename") == f"{image_id}.jpg"
        with Image.open(pictures[image_id]) as picture:
            picture.load()
            assert (picture.format, picture.mode) == ("JPEG", "RGB")
            size = [int(annotation.findtext(f"size/{name}", "")) for name in ("width", "height", "depth")]
            assert size == [*picture.size, 3]
        for item in annotation.findall("object"):
            tags = [child.tag for child in item if child.tag != "part"]
            assert tags == ["name", "pose", "truncated", "occluded", "bndbox", "difficult"]
            assert item.findtext("name") in VOC_CLASSES
            for boxed in (item, *item.findall("part")):
                xmin, ymin, xmax, ymax = corners(boxed)
                assert 1 <= xmin < xmax <= size[0] and 1 <= ymin < ymax <= size[1]


def test_the_kinds_of_objects_that_a_reader_must_cope_with_are_there(annotations):
    objects = [item for annotation in annotations.values() for item in annotation.findall("object")]
    for flag in ("difficult", "truncated", "occluded"):
        assert {item.findtext(flag) for item in objects} == {"0", "1"}
    per_image = Counter(len(annotation.findall("object")) for annotation in annotations.values())
    assert per_image[1] and per_image[2] and per_image[3]
    heads = [part for item in objects for part in item.findall("part") if part.findtext("name") == "head"]
    assert heads and {item.findtext("name") for item in objects if item.find("part") is not None} == {"person"}


def test_heads_are_at_the_upper_end_of_their_persons(annotations):
    people = [item for annotation in annotations.values() for item in annotation.iterfind("object[part]")]
    whole = [item for item in people if item.findtext("truncated") == "0"]
    assert whole
    for item in whole:
        head = next(part for part in item.findall("part") if part.findtext("name") == "head")
        (left, top, right, bottom), (head_left, head_top, head_right, head_bottom) = corners(item), corners(head)
        assert left - 1 <= head_left and head_right <= right + 1  # a pixel: both are cut at half opacity
        assert abs(head_top - top) <= 0.1 * (bottom - top) and head_bottom < (top + bottom) / 2


def test_the_lists_share_out_the_pictures(devkit, annotations):
    train, val, test = (read_list(devkit, split) for split in ("train", "val", "test"))
    assert (len(train), len(val), len(test)) == (38, 10, 12)  # val: at least 10; test: 20 % of 60
    assert sorted(train + val + test) == list(annotations)
    assert read_list(devkit, "trainval") == sorted(train + val)
    assert train == sorted(train)
    lists = {path.stem for path in (devkit / "ImageSets/Main").iterdir()}
    splits = ("train", "val", "trainval", "test")
    assert lists == {*splits, *(f"{name}_{split}" for name in VOC_CLASSES for split in splits)}


def test_each_cell_of_the_class_lists_follows_from_the_annotation(devkit, annotations):
    cells: Counter[str] = Counter()
    both_kinds = 0
    for split in ("train", "val", "trainval", "test"):
        for name in VOC_CLASSES:
            wanted = []
            for image_id in read_list(devkit, split):
                items = [item for item in annotations[image_id].findall("object") if item.findtext("name") == name]
                both_kinds += {item.findtext("difficult") for item in items} == {"0", "1"}
                easy = any(item.findtext("difficult") == "0" for item in items)
                flag = " 1" if easy else " 0" if items else "-1"  # padded to two characters
                wanted.append(f"{image_id} {flag}")
                cells[flag] += 1
            assert read_list(devkit, f"{name}_{split}") == wanted
    assert cells[" 0"] and cells[" 1"] and cells["-1"] and both_kinds


@pytest.mark.parametrize("num_images", [30, 31, 100])
def test_every_class_is_in_every_split(num_images):
    for seed in range(5):
        plans = tool.plan_pictures(num_images, seed)
        assert len({plan.image_id for plan in plans}) == num_images
        for split in ("train", "val", "test"):
            assert {name for plan in plans if plan.split == split for name in plan.mains} == set(VOC_CLASSES)


def test_large_objects_are_in_the_picture_and_not_difficult(devkit, annotations):
    for plan in tool.plan_pictures(NUM_IMAGES, 0):
        items = annotations[plan.image_id].findall("object")
        easy = sorted(item.findtext("name", "") for item in items if item.findtext("difficult") == "0")
        assert easy == sorted(plan.mains)


@pytest.mark.parametrize("name", VOC_CLASSES)
def test_the_drawing_fills_its_canvas(name):
    drawing = DRAWINGS[name]
    patch = np.asarray(render(drawing.draw(np.random.default_rng(0)), drawing.aspect))
    found = find_box(patch, (0, 0), patch)
    assert found is not None
    xmin, ymin, xmax, ymax = found[0]
    assert xmax - xmin > 0.75 * patch.shape[1] and ymax - ymin > 0.75 * patch.shape[0]


@pytest.mark.parametrize("seed", range(4))
def test_the_box_is_where_the_object_was_drawn(seed):
    grey = np.full((200, 260, 3), 128, np.float32)
    picture = grey.copy()
    centre, room = np.array([130.0, 100.0]), np.array([150.0, 120.0])
    placed = paste(np.random.default_rng(seed), picture, "bird", centre, room, difficult=False)  # casts no shadow
    changed = np.abs(picture - grey).max(axis=2) > 2
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    drawn = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert placed is not None and not placed.truncated
    assert np.abs(np.subtract(drawn, placed.box)).max() <= 2  # the soft edge is outside


def test_the_box_is_cut_at_the_border_of_the_picture():
    square = turn([box((255, 0, 0), 0, 0, 100, 100)], 1.0, (20, 20), mirrored=False, angle=0.0)
    picture = np.zeros((50, 40, 3), np.float32)
    assert find_box(square, (10, 20), picture) == ((10, 20, 30, 40), False)
    assert find_box(square, (30, -5), picture) == ((30, 0, 40, 15), True)  # 10 of 20 columns, 15 of 20 rows
    assert find_box(square, (33, 0), picture) is None  # 7 columns are left, fewer than 8


def test_a_second_run_keeps_what_is_there(devkit):
    before = {path: path.stat().st_mtime_ns for path in devkit.rglob("*")}
    assert make_sample_voc(devkit.parent, num_images=NUM_IMAGES) == devkit
    assert {path: path.stat().st_mtime_ns for path in devkit.rglob("*")} == before
    with pytest.raises(FileExistsError, match="VOC2012 is there and is not this sample; remove it"):
        make_sample_voc(devkit.parent, num_images=NUM_IMAGES, seed=1)


def test_bad_arguments_end_in_one_line(tmp_path):
    done = run(str(tmp_path), "--num_images=29")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: num_images=29; at least 30, so that every split has every class"
    assert run().stderr.splitlines()[-1].startswith("error: 0 arguments; wanted one, the folder to write to")
    with pytest.raises(ValueError, match="seed=-1; at least 0"):
        make_sample_voc(tmp_path, seed=-1)
    assert not list(tmp_path.iterdir())


def test_a_terminated_run_leaves_nothing(tmp_path):
    process = subprocess.Popen([sys.executable, str(TOOL), str(tmp_path / "out"), "--num_images=100000"])
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("out/*/JPEGImages/*.jpg")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.terminate()
        assert process.wait(60) == 143  # 128 + SIGTERM
    finally:
        process.kill()
    assert not list(tmp_path.glob("out/*"))
