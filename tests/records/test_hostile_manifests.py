"""Manifests that lead out of their folder, served by a real server: one error, and not a file outside the cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import voc_tfdata
from tests.loopback import run_http
from tests.paths import ROOT
from voc_tfdata.remote.back_ends import find_back_end

HOSTILE: dict[str, Callable[[dict[str, Any], Path], None]] = {
    "ids up": lambda split, out: split.update(ids_file="../../escaped"),
    "ids absolute": lambda split, out: split.update(ids_file=str(out / "escaped")),
    "shard up": lambda split, out: split["shards"][0].update(file="../../escaped"),
    "shard absolute": lambda split, out: split["shards"][0].update(file=str(out / "escaped")),
    "shard is the manifest": lambda split, out: split["shards"][0].update(file="manifest.json"),
}


@pytest.fixture
def serve(noisy_records: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Returns a function that writes a copy of a data set with one hostile manifest."""

    def write(kind: str) -> Path:
        folder = tmp_path / "served"
        folder.mkdir()
        for path in noisy_records.iterdir():
            if path.is_file():
                (folder / path.name).write_bytes(path.read_bytes())
        fields = json.loads((folder / "manifest.json").read_text())
        del fields["checksum"]
        HOSTILE[kind](fields["splits"]["train"], tmp_path)
        (folder / "manifest.json").write_text(json.dumps(fields))
        return folder

    return write


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_manifest_is_one_error_and_writes_nothing(
    serve: Callable[[str], Path], tmp_path: Path, kind: str
) -> None:
    folder = serve(kind)
    with pytest.raises(ValueError, match="manifest.json is damaged: splits.train"):
        voc_tfdata.train_dataset(folder)  # read in place: it must not lead out of the folder either
    try:
        find_back_end("http://host")
    except ImportError:
        pytest.skip("nothing that reads http:// is installed")
    with run_http(tmp_path, folder) as web:
        for call in (
            lambda: voc_tfdata.train_dataset(web.url, cache_dir=tmp_path / "a" / "cache"),
            lambda: voc_tfdata.verify_records(web.url, cache_dir=tmp_path / "a" / "cache"),
            lambda: voc_tfdata.read_examples(web.url, "train"),
        ):
            with pytest.raises(ValueError, match="manifest.json is damaged: splits.train"):
                call()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["http.log", "served"]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["inspect", "train"])
def test_the_commands_say_it_in_one_line(serve: Callable[[str], Path], tmp_path: Path, command: str) -> None:
    try:
        find_back_end("http://host")
    except ImportError:
        pytest.skip("nothing that reads http:// is installed")
    folder = serve("ids up")
    with run_http(tmp_path, folder) as web:
        arguments = [web.url] if command == "inspect" else [f"--records={web.url}", f"--out_dir={tmp_path / 'run'}"]
        done = subprocess.run(
            [sys.executable, "-m", "voc_tfdata", command, *arguments, f"--cache_dir={tmp_path / 'a' / 'cache'}"],
            cwd=ROOT,
            env=os.environ | {"NO_PROXY": "127.0.0.1"},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: {web.url}/manifest.json is damaged: splits.train.ids_file")
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["http.log", "served"]
