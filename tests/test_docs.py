"""README and docs: their length, their links, the commands in them, what the notebooks hold."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.devkit_fixture import write_small_records
from tests.paths import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
NOTEBOOKS = sorted((ROOT / "docs").glob("*.ipynb"))


def name_of(path: Path) -> str:
    return path.name


def anchors_of(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands_of(path: Path) -> list[list[str]]:
    """Returns the words of each of our commands in the bash blocks of a page."""
    found = []
    for block in re.findall(r"^```bash\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|;(?= )", re.sub(r"\s#\s.*", "", line)):
                words = [Path(word).name for word in shlex.split(part)]
                while words and (re.fullmatch(r"python3?|sudo|-m|\w+=\S*", words[0])):
                    words = words[1:]
                if words and words[0] in ("voc_tfdata", "build_tfrecords", "train.py"):
                    found.append(words)
    return found


@cache
def help_of(*command: str) -> str:
    start = {"voc_tfdata": [], "build_tfrecords": ["convert"], "train.py": ["train"]}[command[0]]
    words = [sys.executable, "-m", "voc_tfdata", *start, *command[1:], "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readme_is_short() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120 and max(map(len, lines)) <= 120


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(\s*([^)\s]+)\s*\)", prose)
    for link in links:
        file, _, anchor = link.partition("#")
        if "://" not in link:
            target = (page.parent / file).resolve() if file else page
            assert target.exists(), link
            assert not anchor or anchor in anchors_of(target), link


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_flag_of_every_command_exists(page: Path) -> None:
    for words in commands_of(page):
        before = words[: words.index("--")] if "--" in words else words
        with_command = words[0] == "voc_tfdata" and len(words) > 1 and not words[1].startswith("-")
        text = help_of(*words[: 2 if with_command else 1])
        for word in before:
            flag = re.match(r"--(no)?([a-z_]+)", word)
            if flag and flag[2] not in ("help", "version", "flagfile", "verbosity"):
                assert f"--{flag[2]}" in text or f"--[no]{flag[2]}" in text, (words, word)


def test_the_commands_of_the_pages_are_found() -> None:
    assert len([words for page in PAGES for words in commands_of(page)]) > 25


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_a_notebook_holds_what_it_printed_and_no_error(path: Path) -> None:
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert len(outputs) >= 3
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert not re.search(r"/(home|root|tmp|Users)/\w", path.read_text(encoding="utf-8"))  # of one machine


def test_the_keras_layers_of_pipeline_md_change_images_and_labels(tmp_path: Path) -> None:
    text = (ROOT / "docs/pipeline.md").read_text(encoding="utf-8")
    (code,) = [block for block in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S) if "MixUp" in block]
    records = write_small_records(tmp_path, train=9, val=3, test=4)
    code = code.replace("records/voc2012", str(records)).replace("batch_size=32", "batch_size=8, image_size=32")
    script = tmp_path / "mix.py"
    script.write_text(
        "import keras\nimport tensorflow as tf\nimport voc_tfdata\n" + code + "images, labels = next(iter(train_ds))\n"
        "print(images.shape, float(tf.reduce_sum(tf.cast((labels > 0) & (labels < 1), tf.float32))) > 0)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=180, env=environment)
    assert done.stdout == "(8, 32, 32, 3) True\n", done.stderr[-2000:]
