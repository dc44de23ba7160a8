"""Who serves an address, and what one is told where nobody can."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import voc_tfdata
from tests.loopback import ANY_BACK_END, CLIENT_ENVIRONMENT, S3
from tests.paths import ROOT
from voc_tfdata.remote import back_ends


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(back_ends, "_tensorflow_can", lambda scheme: False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *package: None)


@pytest.mark.parametrize(
    ("uri", "package", "command"),
    [
        ("s3://bucket/voc", "s3fs", "'voc_tfdata[s3]'"),
        ("gs://bucket/voc", "gcsfs", "'voc_tfdata[gcs]'"),
        ("az://account/box/voc", "adlfs", "'voc_tfdata[azure]'"),
        ("http://127.0.0.1/voc", "aiohttp", "aiohttp"),
        ("hdfs://host/voc", "pyarrow", "pyarrow"),
    ],
)
def test_where_nothing_can_one_line_says_what_to_install(
    nothing_installed: None, uri: str, package: str, command: str
) -> None:
    with pytest.raises(ImportError) as raised:
        back_ends.find_back_end(uri)
    message = str(raised.value)
    assert message.startswith(f"{uri}: {uri.partition(':')[0]} addresses need {package}; here is tensorflow")
    assert f"Install it by: pip install {command}" in message and "\n" not in message
    io_can = sys.version_info < (3, 13) and not uri.startswith(("gs", "az"))
    assert ("voc_tfdata[io]" in message) == io_can


def test_every_way_in_says_so(nothing_installed: None, tmp_path: Path) -> None:
    uri = "s3://bucket/voc"
    for call in (
        lambda: voc_tfdata.read_manifest(uri),
        lambda: voc_tfdata.epoch_steps(uri, batch_size=1),
        lambda: voc_tfdata.read_examples(uri, "train"),
        lambda: voc_tfdata.train_dataset(uri, cache_dir=tmp_path),
        lambda: voc_tfdata.eval_dataset(uri, "val", cache_dir=tmp_path),
        lambda: voc_tfdata.build_records(tmp_path, uri),
    ):
        with pytest.raises(ImportError, match=r"^s3://bucket/voc\S*: s3 addresses need .* 'voc_tfdata\[s3\]'"):
            call()


def test_google_storage_needs_nothing_but_tensorflow_and_azure_never_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"gcsfs": False, "adlfs": True, "tensorflow_io": True}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *package: installed.get(name) or None)
    assert back_ends.find_back_end("gs://bucket/voc").__name__.endswith("tensorflow_files")  # type: ignore[attr-defined]
    assert back_ends.find_back_end("az://account/box").__name__.endswith("fsspec_files")  # type: ignore[attr-defined]
    installed["gcsfs"] = True
    assert back_ends.find_back_end("gs://bucket/voc").__name__.endswith("fsspec_files")  # type: ignore[attr-defined]


def test_each_test_of_a_server_talks_by_the_back_end_that_it_names(s3: S3) -> None:
    module = {"tensorflow-io": "tensorflow_files", "fsspec": "fsspec_files"}[s3.back_end]
    for uri in ("s3://bucket/voc", "http://127.0.0.1/voc"):
        assert back_ends.find_back_end(uri).__name__ == f"voc_tfdata.remote.{module}"  # type: ignore[attr-defined]


@pytest.mark.slow
@ANY_BACK_END
def test_a_process_that_used_s3_keeps_its_exit_status_and_its_output(s3: S3) -> None:
    code = """
import sys
from pathlib import Path
from voc_tfdata.remote import files as remote_files
remote_files.write_file(Path(remote_files.__file__), "s3://bucket/exit/a.py")
print("used")
sys.exit(7)
"""
    environment = os.environ | CLIENT_ENVIRONMENT | {"S3_ENDPOINT": s3.way.url}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (7, "used\n"), done.stderr  # 134 without our care
    assert "pure virtual" not in done.stderr
