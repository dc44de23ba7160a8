"""The card of a data set: its numbers by hand, nothing that runs, the same from the conversion and from the records."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.convert.converting import convert
from tests.devkit_fixture import difficult, object_xml, plain_jpeg, sample, write_devkit
from tests.paths import ROOT
from voc_tfdata.records.card import CARD_NAME, draw_tiles, format_card, read_facts
from voc_tfdata.records.examples import ExampleObject
from voc_tfdata.records.facts import SplitFacts
from voc_tfdata.records.manifest import read_manifest


def an_object(number: int, *, hard: bool = False, side: float = 0.5) -> ExampleObject:
    return ExampleObject(f"c{number}", number, (0.0, 0.0, side, side), hard, False, "")


def test_facts_are_counted_image_by_image_and_parts_add_up() -> None:
    first, second = SplitFacts(), SplitFacts()
    first.add(500, 375, [an_object(0), an_object(0, hard=True), an_object(2)])
    first.add(100, 400, [])
    second.add(300, 300, [an_object(2, side=0.05), an_object(0)])
    first.merge(second)
    assert first.num_images == 3
    assert (dict(first.objects), dict(+first.difficult)) == ({0: 3, 2: 2}, {0: 1})
    assert dict(first.together) == {(0, 2): 2}
    assert dict(first.num_labels) == {0: 1, 2: 2}
    assert (first.smallest, first.largest) == ((100, 400), (500, 375))
    # shorter sides 375, 100, 300: 256 to 384 twice, 64 to 128 once; 500/375 = 1.33, 0.25, 1
    assert dict(first.sides) == {4: 2, 1: 1} and dict(first.aspects) == {4: 1, 0: 1, 3: 1}
    # areas 0.25 (four times) and 0.0025
    assert dict(first.areas) == {3: 4, 0: 1}


def make_records(tmp_path: Path, **options: object) -> Path:
    nasty = "&lt;script src=x&gt;"  # as XML has it
    samples = {
        "a": sample("dog", difficult("cat"), object_xml("person", box=(0, 0, 31, 23))),
        "b": sample("dog"),
        "c": sample(),
        "d": sample("cat", filename=f"{nasty}.jpg"),
        "e": sample("dog", picture=plain_jpeg((9, 9, 9), (64, 200))),
        "f": sample("dog", picture=plain_jpeg((9, 9, 9), (64, 200))),
    }
    root = write_devkit(tmp_path / "VOC", samples)
    convert(root, tmp_path / "out", split_ratios="train=0.5,val=0.5", **options)
    return tmp_path / "out"


def test_the_card_tells_what_is_there_and_holds_nothing_that_runs(tmp_path: Path) -> None:
    records = make_records(tmp_path)
    page = (records / CARD_NAME).read_text(encoding="utf-8")
    text = re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.S)
    for wanted in ("images 6 train", "objects 7", "difficult: 1", "images without an object 1", "identical images 2"):
        assert wanted in " ".join(text.split()), wanted
    assert "<script" not in page and "http" not in page.replace("http-equiv", "")
    assert "&lt;script src=x&gt;.jpg" in page  # the warning's file name
    assert page.count("data:image/jpeg;base64,") == 6
    assert "&lt;filename&gt; disagrees: 1" in page and "identical images" in page
    assert "dog" in page and "aeroplane" in page


def test_the_card_is_the_same_from_the_conversion_and_from_the_records_and_for_any_workers(tmp_path: Path) -> None:
    records = make_records(tmp_path / "one")
    manifest = read_manifest(records)
    facts, duplicates = read_facts(records, manifest)
    lines = (records / "warnings.txt").read_text().splitlines()
    again = format_card(manifest, facts, duplicates, warnings=lines, tiles=draw_tiles(records, manifest))
    assert again == (records / CARD_NAME).read_text(encoding="utf-8")
    others = make_records(tmp_path / "two", num_workers=2)
    assert (others / CARD_NAME).read_bytes() == (records / CARD_NAME).read_bytes()
    command = [sys.executable, "-m", "voc_tfdata", "inspect", str(records), f"--html={tmp_path / 'card.html'}"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0
    assert (tmp_path / "card.html").read_bytes() == (records / CARD_NAME).read_bytes()


def test_many_classes_are_told_by_their_most_frequent_pairs(tmp_path: Path) -> None:
    classes = [f"c{n}" for n in range(30)]
    samples = {f"i{n}": sample(f"c{n}", f"c{(n + 1) % 30}") for n in range(30)}
    report = convert(write_devkit(tmp_path / "VOC", samples), tmp_path / "out", classes=classes)
    page = (Path(report.out_dir) / CARD_NAME).read_text(encoding="utf-8")
    assert 'class="matrix"' not in page and "c0, c1" in page


def test_a_data_set_without_objects_has_a_card_too(tmp_path: Path) -> None:
    report = convert(write_devkit(tmp_path / "VOC", {"a": sample()}), tmp_path / "out")
    page = (Path(report.out_dir) / CARD_NAME).read_text(encoding="utf-8")
    assert "No image has objects of two classes" in page
