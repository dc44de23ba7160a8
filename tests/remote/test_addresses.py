"""Addresses, and what has to be installed and set for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import voc_tfdata
from tests.loopback import CLIENT_ENVIRONMENT, S3
from tests.paths import ROOT
from voc_tfdata.remote import addresses


def test_only_addresses_are_remote() -> None:
    assert addresses.is_uri("s3://bucket/voc") and addresses.is_uri("http://host/voc")
    assert not addresses.is_uri("records/voc") and not addresses.is_uri(Path("/data/s3:/voc"))


def test_a_name_is_joined_with_one_slash() -> None:
    assert (
        addresses.join("s3://bucket/voc/", "a.txt")
        == addresses.join("s3://bucket/voc", "a.txt")
        == "s3://bucket/voc/a.txt"
    )


def test_an_unknown_scheme_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"^ftp://host/voc: unknown kind .* s3://, gs://, az://, hdfs://, http://, "):
        addresses.open_file_system("ftp://host/voc")


@pytest.mark.parametrize("name", ["S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
def test_an_endpoint_without_its_scheme_is_asked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_ENDPOINT", "")
    monkeypatch.setenv(name, "127.0.0.1:9000")
    with pytest.raises(
        ValueError, match=rf"^{name}=127.0.0.1:9000 lacks its scheme; set {name}=http://127.0.0.1:9000 "
    ):
        addresses.open_file_system("s3://bucket/voc")


def test_the_endpoint_that_other_s3_tools_use_is_taken(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_ENDPOINT", "")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000/")
    addresses.open_file_system("s3://bucket/voc")
    assert os.environ["S3_ENDPOINT"] == "http://127.0.0.1:9000"
    monkeypatch.setenv("S3_ENDPOINT", "")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://127.0.0.1:9001")  # the more special one
    addresses.open_file_system("s3://bucket/voc")
    assert os.environ["S3_ENDPOINT"] == "https://127.0.0.1:9001"


def test_what_the_user_has_set_is_kept(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_REQUEST_TIMEOUT_MSEC", "5000")
    monkeypatch.delenv("S3_CONNECT_TIMEOUT_MSEC", raising=False)
    addresses.open_file_system("s3://bucket/voc")
    assert os.environ["S3_REQUEST_TIMEOUT_MSEC"] == "5000"
    assert os.environ["S3_CONNECT_TIMEOUT_MSEC"] == "10000"


def skip_if_tensorflow_io_is_here() -> None:
    try:
        addresses.open_file_system("s3://bucket")
    except ImportError:
        return
    pytest.skip("tensorflow-io is installed")


@pytest.mark.parametrize("uri", ["s3://bucket/voc", "http://127.0.0.1/voc", "az://account/voc", "hdfs://host/voc"])
def test_without_a_tensorflow_io_that_fits_one_line_says_what_to_install(uri: str) -> None:
    skip_if_tensorflow_io_is_here()
    with pytest.raises(ImportError) as raised:
        addresses.open_file_system(uri)
    message = str(raised.value)
    assert message.startswith(f"{uri}: {uri.partition(':')[0]} addresses need tensorflow-io 0.37.1 with TensorFlow ")
    assert "pip install 'voc_tfdata[io]' (Python 3.10 to 3.12)" in message and "\n" not in message


def test_every_way_in_says_so(tmp_path: Path) -> None:
    skip_if_tensorflow_io_is_here()
    uri = "s3://bucket/voc"
    for call in (
        lambda: voc_tfdata.read_manifest(uri),
        lambda: voc_tfdata.epoch_steps(uri, batch_size=1),
        lambda: voc_tfdata.read_examples(uri, "train"),
        lambda: voc_tfdata.train_dataset(uri, cache_dir=tmp_path),
        lambda: voc_tfdata.eval_dataset(uri, "val", cache_dir=tmp_path),
        lambda: voc_tfdata.build_records(tmp_path, uri),
    ):
        with pytest.raises(
            ImportError, match=r"^s3://bucket/voc\S*: s3 addresses need .* pip install 'voc_tfdata\[io\]'"
        ):
            call()


def test_google_storage_needs_no_tensorflow_io() -> None:
    addresses.open_file_system("gs://bucket/voc")


@pytest.mark.slow
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
