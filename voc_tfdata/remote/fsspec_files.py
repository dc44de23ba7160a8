"""Remote files by fsspec and its packages (s3fs, gcsfs, adlfs, aiohttp, pyarrow): a back end, see back_ends.BackEnd.

Facts that shape this module: nothing is cached or tried again below (remote.files does that, and says so; gcsfs' six
tries, half a minute in all, cannot be turned off); a shard is read by ranges of 8 MiB; each package has exceptions of
its own, told by their names and HTTP status, so that none of the packages is imported to explain another's.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from voc_tfdata.remote.addresses import bucket_of, credentials_hint, endpoint_of, scheme_of
from voc_tfdata.remote.frames import read_frames

_READ_BYTES = 8 << 20  # 8 MiB a request
_WORTH_ANOTHER_TRY = {
    *("ConnectionError", "TimeoutError", "IncompleteReadError"),  # built in, asyncio's
    *("ClientConnectionError", "ClientPayloadError", "FSTimeoutError"),  # aiohttp's, fsspec's
    *("HTTPClientError", "ConnectionClosedError", "IncompleteRead", "ResponseParserError"),  # botocore's
    *("ServiceRequestError", "ServiceResponseError", "TransportError"),  # Azure's, Google's
}
_REFUSALS = {
    *("PermissionError", "NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"),
    *("ClientAuthenticationError", "CredentialUnavailableError", "DefaultCredentialsError", "RefreshError"),
}


def read(uri: str) -> bytes:
    with _explained(uri):
        file_system, path = _open(uri)
        return bytes(file_system.cat_file(path))


def read_records(uri: str, offset: int) -> Iterator[bytes]:
    where = f"{uri} from byte {offset:,}" if offset else uri
    with _explained(uri):
        file_system, path = _open(uri)
        with file_system.open(path, "rb", block_size=_READ_BYTES, cache_type="readahead") as file:
            if file.size is None:
                raise OSError(_NO_RANGES)
            if offset:
                file.seek(offset)
            yield from read_frames(file.read, file.size - offset, where)


def write(local: Path, uri: str) -> None:
    with _explained(uri):
        file_system, path = _open(uri)
        file_system.put_file(str(local), path)


def remove(uri: str) -> None:
    with _explained(uri):
        file_system, path = _open(uri)
        file_system.rm_file(path)


def make_folder(uri: str) -> None:
    with _explained(uri):
        file_system, path = _open(uri)
        file_system.makedirs(path, exist_ok=True)


_NO_RANGES = "the server ignores Range requests; use one that answers them (nginx, Apache, ...)"


def _open(uri: str) -> tuple[Any, str]:
    """Returns fsspec's file system for an address and the path in it."""
    scheme, rest = scheme_of(uri), uri.partition("://")[2]
    if scheme == "s3":
        return _s3(_environment("AWS_", "S3_")), rest
    if scheme == "az":  # az://account/container/path, as tensorflow-io has it
        account, _, path = rest.partition("/")
        return _azure(account.partition(".")[0], _environment("AZURE_")), path
    if scheme == "hdfs":
        return _hdfs(bucket_of(uri)), f"/{rest.partition('/')[2]}"
    return (_google(_environment("GOOGLE_", "STORAGE_")), rest) if scheme == "gs" else (_http(), uri)


def _environment(*prefixes: str) -> tuple[tuple[str, str], ...]:
    """Returns what a client reads from the environment: after a change there must be another client."""
    return tuple(item for item in sorted(os.environ.items()) if item[0].startswith(prefixes))


@functools.cache
def _s3(environment: tuple[tuple[str, str], ...]) -> Any:
    import s3fs

    logging.getLogger("aiobotocore.credentials").setLevel(logging.WARNING)  # it tells where it found some
    settings = dict(environment)
    file_system = s3fs.S3FileSystem(
        endpoint_url=settings.get("S3_ENDPOINT") or None,
        use_listings_cache=False,
        skip_instance_cache=True,
        config_kwargs={
            "connect_timeout": float(settings["S3_CONNECT_TIMEOUT_MSEC"]) / 1000,
            "read_timeout": float(settings["S3_REQUEST_TIMEOUT_MSEC"]) / 1000,
        },
    )
    file_system.retries = 1
    return file_system


@functools.cache
def _google(environment: tuple[tuple[str, str], ...]) -> Any:
    from gcsfs.core import GCSFileSystem  # gcsfs.GCSFileSystem asks for the kind of each bucket first, and warns

    return GCSFileSystem(use_listings_cache=False, skip_instance_cache=True)


@functools.cache
def _azure(account: str, environment: tuple[tuple[str, str], ...]) -> Any:
    import adlfs

    settings = dict(environment)
    own = {"use_listings_cache": False, "skip_instance_cache": True}
    if "AZURE_STORAGE_CONNECTION_STRING" in settings:
        file_system = adlfs.AzureBlobFileSystem(connection_string=settings["AZURE_STORAGE_CONNECTION_STRING"], **own)
    else:
        file_system = adlfs.AzureBlobFileSystem(
            account_name=account,
            account_key=settings.get("AZURE_STORAGE_ACCOUNT_KEY"),
            sas_token=settings.get("AZURE_STORAGE_SAS_TOKEN"),
            anon=False,
            **own,
        )
    policy = getattr(getattr(file_system.service_client, "_config", None), "retry_policy", None)
    # There is no public way; with its own four tries of 15 s and more a dead server takes minutes.
    if policy is not None:
        policy.total_retries = 0
    return file_system


@functools.cache
def _hdfs(host: str) -> Any:
    from fsspec.implementations.arrow import HadoopFileSystem

    name, _, port = host.partition(":")
    return HadoopFileSystem(host=name or "default", port=int(port or 0))


@functools.cache
def _http() -> Any:
    import aiohttp
    from fsspec.implementations.http import HTTPFileSystem

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
    return HTTPFileSystem(use_listings_cache=False, client_kwargs={"timeout": timeout, "trust_env": True})


@contextlib.contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Turns what fsspec's packages raise into a built-in exception of one line."""
    try:
        yield
    except Exception as err:
        if isinstance(err, ValueError) and str(err).startswith(uri):
            raise  # read_frames'
        raise _explain(err, uri) from err


def _explain(err: BaseException, uri: str) -> Exception:
    if isinstance(err, FileNotFoundError) and err.__cause__ and scheme_of(uri) in ("http", "https"):
        return _explain(err.__cause__, uri)  # fsspec calls all that fails there a missing file
    names = {kind.__name__ for kind in type(err).__mro__}
    codes = [str(getattr(err, name, "")) for name in ("status", "status_code", "code")]
    status = next((int(code) for code in codes if code.isdigit()), 0)
    what = re.sub(r"\s+", " ", str(err)).strip() or type(err).__name__
    what = re.sub(r"[?&](sig|X-Amz-\w+|access_token)=\S*", "", what)  # what signs a request is as good as a password
    if isinstance(err, FileNotFoundError) or status == 404 or "ResourceNotFoundError" in names:
        if scheme_of(uri) == "s3" and _is_bucket_missing(uri):
            return OSError(f"{uri}: there is no bucket {bucket_of(uri)!r}{endpoint_of(uri)}; make it, or fix the name")
        return FileNotFoundError(f"{uri} is not there")
    if names & _REFUSALS or status in (401, 403):
        return PermissionError(f"{uri}: access refused; {credentials_hint(uri)}")
    if what == _NO_RANGES or "more bytes" in what or "range requests" in what:
        return OSError(f"{uri}: {_NO_RANGES}")
    if names & _WORTH_ANOTHER_TRY or status == 429 or status >= 500:
        return ConnectionError(f"{uri}: {what}{endpoint_of(uri)}")
    return OSError(f"{uri}: {what}")


def _is_bucket_missing(uri: str) -> bool:
    file_system, _ = _open(uri)
    try:
        file_system.call_s3("head_bucket", Bucket=bucket_of(uri))
    except FileNotFoundError:
        return True
    except Exception:
        return False  # not known
    return False
