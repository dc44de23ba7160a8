"""Addresses, and what has to be installed and set for them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
        addresses.check_address("ftp://host/voc")


@pytest.mark.parametrize("name", ["S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
def test_an_endpoint_without_its_scheme_is_asked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_ENDPOINT", "")
    monkeypatch.setenv(name, "127.0.0.1:9000")
    with pytest.raises(
        ValueError, match=rf"^{name}=127.0.0.1:9000 lacks its scheme; set {name}=http://127.0.0.1:9000 "
    ):
        addresses.check_address("s3://bucket/voc")


def test_the_endpoint_that_other_s3_tools_use_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_ENDPOINT", "")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000/")
    addresses.check_address("s3://bucket/voc")
    assert os.environ["S3_ENDPOINT"] == "http://127.0.0.1:9000"
    monkeypatch.setenv("S3_ENDPOINT", "")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://127.0.0.1:9001")  # the more special one
    addresses.check_address("s3://bucket/voc")
    assert os.environ["S3_ENDPOINT"] == "https://127.0.0.1:9001"


def test_what_the_user_has_set_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_REQUEST_TIMEOUT_MSEC", "5000")
    monkeypatch.delenv("S3_CONNECT_TIMEOUT_MSEC", raising=False)
    addresses.check_address("s3://bucket/voc")
    assert os.environ["S3_REQUEST_TIMEOUT_MSEC"] == "5000"
    assert os.environ["S3_CONNECT_TIMEOUT_MSEC"] == "10000"


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match=r"^https://me:\*\*\*@host/voc: a password in an address .* ~/.netrc$"):
        addresses.check_address("https://me:marked-secret@host/voc")
