"""Addresses (URIs) of remote records, and what their clients read from the environment.

if is_uri(path):
    check_address(path)                       # once; touches no network
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

SCHEMES = ("s3", "gs", "az", "hdfs", "http", "https")

# Defaults for what S3 clients read from the environment, once a process. tensorflow-io's own are ten attempts a
# request, which take 25 s for a server that refuses, times four for a read; and five minutes of silence.
_S3_DEFAULTS = {
    "AWS_RETRY_MODE": "standard",  # three attempts
    "S3_CONNECT_TIMEOUT_MSEC": "10000",
    "S3_REQUEST_TIMEOUT_MSEC": "60000",  # of silence
}
_CREDENTIALS_HINTS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, to those of somebody who may",
    "gs": "log in by: gcloud auth application-default login",
    "az": "set AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
    "http": "put user and password into ~/.netrc, or ask who runs the server",
    "https": "put user and password into ~/.netrc, or ask who runs the server",
}


def is_uri(path: str | Path) -> bool:
    """Returns whether a path is the address of something remote (s3://...)."""
    return "://" in str(path)


def join(uri: str, name: str) -> str:
    """Returns the URI of a file in a folder."""
    return f"{uri.rstrip('/')}/{name}"


def scheme_of(uri: str) -> str:
    """Returns e.g. s3."""
    return uri.partition("://")[0]


def bucket_of(uri: str) -> str:
    """Returns what stands between :// and the next slash: the bucket, the account, the host."""
    return uri.partition("://")[2].partition("/")[0]


def check_address(uri: str) -> None:
    """Checks an address and sets what its clients read from the environment, where the user has not.

    Raises:
      ValueError: no such scheme, a password in the address, or an endpoint without its http:// or https://.
    """
    scheme = scheme_of(uri)
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise ValueError(f"{uri}: unknown kind of address; it is a local folder, or begins with one of {known}")
    secret = urlsplit(uri).password
    if secret:
        raise ValueError(
            f"{uri.replace(secret, '***')}: a password in an address would stand in logs and manifests; "
            "put it into ~/.netrc"
        )
    if scheme == "s3":
        _configure_s3()


def credentials_hint(uri: str) -> str:
    """Returns what to do where access is refused."""
    return _CREDENTIALS_HINTS.get(scheme_of(uri), "ask who runs the server")


def endpoint_of(uri: str) -> str:
    """Returns " at " and the S3 server that is asked; "" for other addresses, which name theirs."""
    return f" at {os.environ.get('S3_ENDPOINT') or 'AWS'}" if scheme_of(uri) == "s3" else ""


def _configure_s3() -> None:
    for name in ("S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):  # the others are what boto3 and aws read
        endpoint = os.environ.get(name)
        if not endpoint:
            continue
        if not endpoint.startswith(("http://", "https://")):
            raise ValueError(
                f"{name}={endpoint} lacks its scheme; set {name}=http://{endpoint} (or https://{endpoint})"
            )
        os.environ["S3_ENDPOINT"] = endpoint.rstrip("/")
        break
    for name, value in _S3_DEFAULTS.items():
        os.environ.setdefault(name, value)
