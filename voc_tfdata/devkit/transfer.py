"""Downloads over HTTP that go on where they broke off, and say how far they are.

with open("archive.tar.part", "a+b") as file:                        # what is in it already is not asked for again
    url = download(["http://host/archive.tar"], file, timeout_s=30.0, retry_wait_s=1.0)
    md5 = compute_md5(file)
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from absl import logging

from voc_tfdata.files import check_free_disk, format_bytes, show_progress

_MAX_FAILURES = 4  # requests in a row that bring nothing new
_TRANSIENT_STATUS = (408, 425, 429, 500, 502, 503, 504)


def compute_md5(file: BinaryIO) -> str:
    """Returns the md5 of a whole open file, as 32 lower-case hex digits; it is read from its beginning to its end."""
    digest = hashlib.md5(usedforsecurity=False)
    file.seek(0)
    while chunk := file.read(1 << 20):  # 1 MiB
        digest.update(chunk)
    return digest.hexdigest()


def download(
    urls: Sequence[str],
    file: BinaryIO,
    *,
    timeout_s: float,
    retry_wait_s: float,
    max_bytes: int = 16 << 30,  # 16 GiB
    max_s: float = 24 * 3600.0,
) -> str:
    """Appends to the file what is missing of it, with as many requests as it takes, and returns the address used.

    What is in the file already is taken for the beginning of the right one; it is emptied where a server shows that
    it is not, or cannot resume. Only a checksum says whether the whole is right.

    Args:
      urls: http(s) addresses; the next one is asked where one does not have the file or cannot be reached.
      file: opened by its path, for reading and appending ("a+b").
      timeout_s: longest silence of the server.
      retry_wait_s: wait after the first failure; doubles with each further one in a row.
      max_bytes: a file that is larger, by the server's word or in fact, is refused.
      max_s: limit of the whole; what came until then is kept.

    Raises:
      ConnectionError: all addresses refuse, 4 requests in a row brought nothing new, or a limit is passed.
      OSError: the disk has no room for the rest of the file and for its content, unpacked.
    """
    refusals: list[str] = []
    most, failures = file.seek(0, os.SEEK_END), 0
    limits = _Limits(timeout_s, max_bytes, time.monotonic() + max_s)
    while True:
        url = urls[len(refusals)]
        try:
            trouble = _fetch(url, file, limits, has_other=len(refusals) + 1 < len(urls))
        except _LimitPassed as err:
            raise ConnectionError(f"{url}: {err}") from err
        except ConnectionError as err:
            refusals.append(f"{url}: {err}")
            if len(refusals) == len(urls):
                raise ConnectionError("; ".join(refusals)) from err
            continue
        if not trouble:
            return url
        have = file.seek(0, os.SEEK_END)
        failures = 0 if have > most else failures + 1
        most = max(most, have)
        if failures == _MAX_FAILURES:
            refusals.append(f"{url}: {trouble} (tried {failures} times; {format_bytes(have)} are kept)")
            raise ConnectionError("; ".join(refusals))
        wait_s = retry_wait_s * 2**failures
        logging.warning("%s; trying again in %.0f s, from %s on", trouble, wait_s, format_bytes(have))
        time.sleep(wait_s)


class _Limits(NamedTuple):
    timeout_s: float  # longest silence
    max_bytes: int
    deadline: float  # of time.monotonic


class _LimitPassed(Exception):
    """No further request would help."""


def _fetch(url: str, file: BinaryIO, limits: _Limits, *, has_other: bool) -> str:
    """Does one request for the bytes that the file lacks (RFC 9110, section 14) and appends them.

    Returns:
      What went wrong, for a further try; "" if the file is complete.

    Raises:
      ConnectionError: the server does not have it, refuses, or answers with a web page; or it cannot be reached, and
        there is another address.
      _LimitPassed: the file is too large, or the time is over.
    """
    have = file.seek(0, os.SEEK_END)
    logging.info("downloading %s%s", url, f" from {format_bytes(have)} on" if have else "")
    headers = {"User-Agent": "voc_tfdata"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=limits.timeout_s)
    except urllib.error.HTTPError as err:
        if err.code == 416:  # it has nothing from here on: what we have is not the beginning of its file
            file.truncate(0)
        elif err.code not in _TRANSIENT_STATUS:
            raise ConnectionError(f"HTTP status {err.code} {err.reason}") from err
        return f"HTTP status {err.code} {err.reason}"
    except (OSError, http.client.HTTPException) as err:  # no route, refused, timeout, not HTTP
        if has_other:
            raise ConnectionError(_describe(err)) from err
        return _describe(err)
    with response:
        if response.headers.get_content_type() == "text/html":  # a firewall's or a moved site's
            raise ConnectionError("the server sent a web page (text/html), not the archive")
        if response.status not in (200, 206):  # 204, for one: nothing that could be the file
            return f"HTTP status {response.status} {response.reason}"
        span = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if response.status == 206 and (span is None or int(span[1]) != have):
            file.truncate(0)
            return "the server sent another range than asked for"
        if response.status != 206 and have:
            logging.warning("the server cannot resume: starting again")
            file.truncate(0)
            have = 0
        length = response.headers.get("Content-Length", "").strip()
        total = have + int(length) if re.fullmatch(r"[0-9]{1,19}", length) else None  # rubbish is no word at all
        if total is not None:
            _check_limits(total, limits)
            needed = total - have + total
            remedy = "make room or choose another --out_dir"
            check_free_disk(Path(file.name).parent, needed, what="downloading and unpacking", remedy=remedy)
        try:
            with show_progress(have, total) as update:
                for chunk in _read_chunks(response):
                    have += len(chunk)
                    _check_limits(have, limits)
                    file.write(chunk)
                    update(len(chunk))
        except ConnectionError as err:
            return str(err)
    missing = (total or 0) - file.seek(0, os.SEEK_END)
    return f"the connection was closed {format_bytes(missing)} before the end" if missing > 0 else ""


def _check_limits(num_bytes: int, limits: _Limits) -> None:
    if num_bytes > limits.max_bytes:
        raise _LimitPassed(f"the file is larger than {format_bytes(limits.max_bytes)}, which no archive of VOC is")
    if time.monotonic() > limits.deadline:
        raise _LimitPassed("it takes too long; what came is kept, and the same command goes on from there")


def _read_chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yields the body as it comes in; every fault of the transfer is a ConnectionError, unlike those of the disk."""
    try:
        while chunk := response.read1(1 << 20):  # at most 1 MiB
            yield chunk
    except (OSError, http.client.HTTPException) as err:
        raise ConnectionError(_describe(err)) from err


def _describe(err: Exception) -> str:
    """Returns the innermost reason of a failed request as a phrase."""
    reason = getattr(err, "reason", err)
    return str(getattr(reason, "strerror", None) or reason) or type(err).__name__
