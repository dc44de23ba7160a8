"""Small inputs that break converters, from beside the checkout, where they are: each comes out as it must."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.convert.converting import ALL, convert
from tests.devkit_fixture import labels_of, read_examples
from tests.paths import SHARED

CASES = SHARED / "cases"
# How each of these is tried is a test of its own: a full disk (C43), metrics (C51, C52), roots (C16), lists (C41).
OTHERS = ("C16", "C43", "C51", "C52")
FOUND = sorted(path.parent.name for path in CASES.glob("*/expected.json")) if CASES.is_dir() else []

pytestmark = pytest.mark.skipif(not FOUND, reason="no ../shared/cases here")


def read_case(name: str) -> dict[str, Any]:
    return json.loads((CASES / name / "expected.json").read_text(encoding="utf-8"))


def accepted(case: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Returns every complete answer that a case accepts."""
    others = [{**case, **other} for other in case.get("also_acceptable", []) if isinstance(other, dict)]
    return [case, *others]


def said_of(case: Mapping[str, Any], key: str) -> list[str]:
    return [str(text) for text in case.get(key) or []]


def check_colours(case: Mapping[str, Any], examples: Mapping[str, Mapping[str, list]]) -> None:
    for stem, checks in (case.get("pixel_checks") or {}).items():
        if stem not in examples:
            continue
        picture = np.asarray(Image.open(io.BytesIO(examples[stem]["image/encoded"][0])).convert("RGB"), int)
        height, width = picture.shape[:2]
        for check in checks:
            x, y = (min(int(share * side), side - 1) for share, side in zip(check["xy"], (width, height), strict=True))
            assert np.abs(picture[y, x] - check["rgb"]).max() <= check["tol"], (stem, check, picture[y, x])


@pytest.mark.parametrize("name", [name for name in FOUND if name not in OTHERS])
def test_a_case_comes_out_right_or_is_refused_by_name(name: str, tmp_path: Path) -> None:
    case = read_case(name)
    root = tmp_path / name
    shutil.copytree(CASES / name, root, copy_function=shutil.copyfile)
    (root / "expected.json").unlink()
    has_lists = (root / "ImageSets/Main/trainval.txt").exists()
    options = {"split_ratios": ALL} if has_lists or not (root / "train").is_dir() else {"split_ratios": None}
    answers = accepted(case)
    try:
        report = convert(root, tmp_path / "out", on_error="fail", **options)
    except (ValueError, OSError) as err:
        message = str(err)
        refused = [a for a in answers if a["outcome"] in ("error", "skip-with-warning")]
        assert refused, f"refused, though it must be read: {message}"
        assert all(text in message for text in said_of(case, "error_mentions")), message
        report = convert(root, tmp_path / "out", on_error="skip", **options)
    else:
        assert any(a["outcome"] == "ok" for a in answers), "read, though it must be refused"
        told = "\n".join(f"{notice.kind}: {notice.text}" for notice in report.warnings)
        for text in said_of(case, "warning_mentions"):
            assert text in told or text in str(len(report.warnings)), f"{text!r} is not in: {told}"
    examples = read_examples(tmp_path / "out")
    found = labels_of(examples)
    wanted = [{stem: sorted(set(labels)) for stem, labels in a["labels"].items()} for a in answers if "labels" in a]
    if name != "C41":  # which ids depends on the list; test_pairing has these
        assert found in wanted, (found, wanted)
    check_colours(case, examples)


@pytest.mark.parametrize("root", ["empty", "no_annotations", "annotations_only"])
def test_empty_and_half_empty_folders_are_refused_and_leave_nothing(root: str, tmp_path: Path) -> None:
    folder = tmp_path / root
    shutil.copytree(CASES / "C16" / root, folder, copy_function=shutil.copyfile)
    for keep in folder.rglob(".gitkeep"):
        keep.unlink()
    with pytest.raises((ValueError, OSError), match="Annotations|JPEGImages"):
        convert(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())
