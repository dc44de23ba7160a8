"""What the tests of whole conversions share: small devkits, and what came out of them."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.devkit_fixture import annotation_xml, draw_noise, encode, read_examples, sample, write_devkit
from voc_tfdata.convert.build import BuildReport, build_records
from voc_tfdata.records.manifest import read_manifest
from voc_tfdata.records.tfrecord import iterate_ids

ALL = "all=1"


def convert(root: Path, out: Path, **options) -> BuildReport:
    options.setdefault("num_workers", 1)
    if "splits" not in options:
        options.setdefault("split_ratios", ALL)
    return build_records(root, out, **options)


def convert_samples(tmp_path: Path, samples: dict, **options) -> tuple[BuildReport, dict[str, dict]]:
    report = convert(write_devkit(tmp_path / "VOC", samples), tmp_path / "out", **options)
    return report, read_examples(tmp_path / "out")


def kinds_of(report: BuildReport) -> dict[str, int]:
    return dict(report.manifest.warnings)


def ids_of(out: Path) -> dict[str, tuple[str, ...]]:
    return {name: tuple(iterate_ids(out, split)) for name, split in read_manifest(out).splits.items()}


# P2

BAD = {
    "ghost": sample("dog", picture=None),
    "cut_xml": sample(xml=annotation_xml("dog")[:80]),
    "unknown": sample("unicorn"),
    "empty_xml": sample(xml=b" "),
    "empty_jpg": sample("dog", picture=b"\n"),
    "cut_jpg": sample("dog", picture=encode(draw_noise(), "JPEG")[:1500]),
    "html": sample("dog", picture=b"<html>404</html>"),
}


GOOD = {"good1": sample("dog"), "good2": sample("cat")}


# P10

TEN = {f"im{k}": sample("dog" if k % 2 else "cat") for k in range(10)}


def flat(folder: Path, names: dict[str, str]) -> None:
    """Writes annotations beside their images into one folder."""
    samples = {
        stem: sample(name, picture=encode(draw_noise(32, 24, seed=ord(stem)), "JPEG")) for stem, name in names.items()
    }
    root = write_devkit(folder.with_name(f"{folder.name}_kit"), samples)
    folder.mkdir(parents=True)
    for path in [*(root / "Annotations").iterdir(), *(root / "JPEGImages").iterdir()]:
        path.rename(folder / path.name)
    shutil.rmtree(root)
