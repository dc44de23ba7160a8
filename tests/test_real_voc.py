"""Real PASCAL VOC data, where it lies beside the checkout: every label equals the official lists, cell by cell."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.devkit_fixture import object_xml, plain_jpeg, read_examples
from tests.paths import ROOT
from voc_tfdata.classes import VOC_CLASSES
from voc_tfdata.records.manifest import read_manifest
from voc_tfdata.records.tfrecord import iterate_ids

VOC = ROOT.parent / "shared" / "voc"
pytestmark = pytest.mark.skipif(
    not VOC.is_dir(), reason=f"no {VOC}: a VOCdevkit with VOC2007, VOC2012 and objects/ (see its README) is needed"
)


def convert(root: Path, out: Path, *flags: str) -> Path:
    command = [sys.executable, str(ROOT / "tools" / "build_tfrecords.py"), f"--voc_root={root}", f"--out_dir={out}"]
    done = subprocess.run([*command, *flags], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def read_class_list(path: Path) -> dict[str, int]:
    """Returns {id: 1, 0 or -1} of a per-class list: 0 is 'difficult objects only'."""
    return {image_id: int(flag) for image_id, flag in (line.split() for line in path.read_text().splitlines())}


def cells_of(examples: dict[str, dict[str, list[Any]]]) -> dict[str, list[int]]:
    """Returns {id: [20]} in the values of the per-class lists."""
    return {
        image_id: [
            0 if ignore else 1 if hot else -1
            for hot, ignore in zip(e["image/class/multi_hot"], e["image/class/ignore"], strict=True)
        ]
        for image_id, e in examples.items()
    }


@pytest.fixture(scope="module")
def records2012(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("real") / "voc2012"
    return convert(VOC / "VOC2012", out, "--splits=held_train,held_val,held_trainval")


@pytest.fixture(scope="module")
def examples2012(records2012: Path) -> dict[str, dict[str, list[Any]]]:
    return read_examples(records2012)


def test_all_labels_of_voc2012_equal_the_lists(records2012: Path, examples2012: dict) -> None:
    assert len(examples2012) == 1100
    cells = cells_of(examples2012)
    manifest = read_manifest(records2012)
    for split in ("held_train", "held_val", "held_trainval"):
        ids = tuple(iterate_ids(records2012, manifest.splits[split]))
        for k, name in enumerate(VOC_CLASSES):
            wanted = read_class_list(VOC / f"VOC2012/ImageSets/Main/{name}_{split}.txt")
            assert wanted == {image_id: cells[image_id][k] for image_id in ids}, f"{name} in {split}"
            assert manifest.splits[split].positives[name] == sum(value == 1 for value in wanted.values())
            assert manifest.splits[split].ignores[name] == sum(value == 0 for value in wanted.values())
    assert sum(row.count(0) > 0 for row in cells.values()) == 176  # the README of the data


def test_no_part_gives_a_label(examples2012: dict) -> None:
    with_parts = []
    for path in sorted((VOC / "VOC2012/Annotations").glob("*.xml")):
        if b"<part>" in path.read_bytes():
            with_parts.append(path.stem)
            objects = ElementTree.parse(path).findall("object")
            names = [str(o.findtext("name")).encode() for o in objects]
            assert examples2012[path.stem]["image/object/class/text"] == names
    assert len(with_parts) == 7


def test_every_picture_is_stored_byte_for_byte(examples2012: dict) -> None:
    for image_id, example in examples2012.items():
        digest = hashlib.sha256((VOC / f"VOC2012/JPEGImages/{image_id}.jpg").read_bytes()).hexdigest()
        assert hashlib.sha256(example["image/encoded"][0]).hexdigest() == digest, image_id
        assert example["image/key/sha256"] == [digest.encode()]


def test_boxes_are_the_pixels_of_the_xml_over_the_size_of_the_picture(examples2012: dict) -> None:
    image_id = "2007_000027"  # objects/VOC2012.txt: person 0 174 101 349 351; the image is 486 x 500
    example = examples2012[image_id]
    assert (example["image/width"], example["image/height"]) == ([486], [500])
    sides = [example[f"image/object/bbox/{side}"][0] for side in ("xmin", "ymin", "xmax", "ymax")]
    np.testing.assert_allclose(sides, [174 / 486, 101 / 500, 349 / 486, 351 / 500], rtol=1e-6)


def test_every_class_is_within_one_image_of_its_share_in_every_split(tmp_path: Path) -> None:
    convert(VOC / "VOC2012", tmp_path / "out", "--num_shards=1")
    manifest = read_manifest(tmp_path / "out")
    sizes = [split.num_examples for split in manifest.splits.values()]
    assert sizes == [770, 220, 110]
    cells = np.array(
        [[split.positives[name] + split.ignores[name] for name in VOC_CLASSES] for split in manifest.splits.values()]
    )
    shares = np.outer(np.array(sizes) / 1100, cells.sum(axis=0))
    assert np.abs(cells - shares).max() <= 1


def write_voc2007(root: Path) -> None:
    """Writes the annotations of all 9,963 images of VOC2007 and links to one tiny picture."""
    objects: dict[str, list[str]] = defaultdict(list)
    for line in (VOC / "objects/VOC2007.txt").read_text().splitlines():
        image_id, name, flag, *box = line.split()
        objects[image_id].append(object_xml(name, box=[int(side) for side in box], difficult=flag))
    for folder in ("Annotations", "JPEGImages"):
        (root / folder).mkdir(parents=True)
    (root / "ImageSets").mkdir()
    (root / "ImageSets/Main").symlink_to(VOC / "VOC2007/ImageSets/Main")
    (root / "tiny.jpg").write_bytes(plain_jpeg(size=(8, 8)))
    for image_id, elements in objects.items():
        (root / f"Annotations/{image_id}.xml").write_text(f"<annotation>{''.join(elements)}</annotation>")
        (root / f"JPEGImages/{image_id}.jpg").symlink_to("../tiny.jpg")


# PASCAL VOC2007: 5,011 images in trainval and 4,952 in test; positive and difficult-only cells from its lists.
def test_all_labels_of_voc2007_equal_the_80_official_lists(tmp_path: Path) -> None:
    write_voc2007(tmp_path / "VOC2007")
    out = convert(tmp_path / "VOC2007", tmp_path / "out", "--splits=trainval,test")
    splits = read_manifest(out).splits
    totals = {
        name: (split.num_examples, sum(split.positives.values()), sum(split.ignores.values()))
        for name, split in splits.items()
    }
    assert totals == {"trainval": (5011, 7306, 607), "test": (4952, 7013, 619)}
    cells = cells_of(read_examples(out))
    compared = 0
    for split in ("train", "val", "trainval", "test"):
        for k, name in enumerate(VOC_CLASSES):
            wanted = read_class_list(VOC / f"VOC2007/ImageSets/Main/{name}_{split}.txt")
            assert wanted == {image_id: cells[image_id][k] for image_id in wanted}, f"{name} in {split}"
            compared += len(wanted)
    assert compared == 299_480  # (2,501 + 2,510 + 5,011 + 4,952) x 20
