"""A local copy of remote records, made once: shard by shard, in parallel, verified, resumable, shared by processes.

    records_dir = localize("s3://bucket/voc2012", cache_dir="/data/cache")     # a local folder comes back as it is
    index = records.open_split(records_dir, "train")

A mirror is a folder in cache_dir that is named after the content of the manifest. It never changes: other records at
the same address get another folder. The manifest comes last, so a half mirror is no data set; what is whole of it is
kept and not loaded again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import google_crc32c
from absl import logging

from voc_tfdata.files import check_free_disk, locked, sync_file, write_whole
from voc_tfdata.records.manifest import MANIFEST_NAME, Manifest, Shard, Split, format_manifest, read_manifest
from voc_tfdata.records.streaming import REMEDY, read_frames
from voc_tfdata.records.tfrecord import (
    crc32c_of_file,
    find_faults,
    format_index,
    frame_bytes,
    index_name,
    iterate_records,
)
from voc_tfdata.remote import addresses
from voc_tfdata.remote.files import in_parallel, read_file, shared_progress

_NUM_THREADS = 4  # shards at a time; the S3 client loads the parts of each in parallel, too
_LOCK_NAME = ".lock"


def localize(records_dir: str | Path, cache_dir: str | Path | None = None) -> Path:
    """Returns the local folder of records: the folder itself, or a complete mirror of what a URI names.

    Args:
      records_dir: folder written by build_records, or its URI.
      cache_dir: local folder for mirrors; needed for a URI.

    Raises:
      ValueError: a URI without cache_dir; a shard is damaged at its source; no such bucket or kind of address.
      ImportError: nothing that reads such an address is installed; the message says what to install.
      FileNotFoundError, PermissionError, ConnectionError, OSError: the records cannot be read, or cache_dir cannot be
        written.
    """
    if not addresses.is_uri(records_dir):
        return Path(records_dir)
    if not cache_dir:
        raise ValueError(
            f"{records_dir} is remote: give cache_dir=... (--cache_dir=...), a local folder to mirror it into once; "
            "or stream it without a mirror by read_examples"
        )
    return mirror_records(str(records_dir), Path(cache_dir))


def mirror_records(uri: str, cache_dir: Path, *, num_threads: int = _NUM_THREADS, retry_wait_s: float = 1.0) -> Path:
    """Returns the folder of a complete mirror, after loading what is missing of it. For Raises, see localize.

    Args:
      uri: of a folder written by build_records.
      cache_dir: local folder; made if it is not there.
      num_threads: shards loaded at a time.
      retry_wait_s: wait after the first failure of a shard; doubles with each further one in a row, up to the fourth.
    """
    manifest = read_manifest(uri)
    folder = cache_dir / _mirror_name(uri, manifest)
    if _is_complete(folder, manifest):
        logging.info("%s: mirrored in %s", uri, folder)
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        if _is_complete(folder, manifest):  # by the process that held the lock
            return folder
        (folder / MANIFEST_NAME).unlink(missing_ok=True)
        shards = [shard for split in manifest.splits.values() for shard in split.shards]
        needed = sum(shard.num_bytes for shard in shards if not (folder / shard.file).exists())
        check_free_disk(folder, needed, what="the mirror", remedy="make room or take another --cache_dir")
        _mirror_shards(uri, folder, shards, num_threads=num_threads, retry_wait_s=retry_wait_s)
        for split in manifest.splits.values():
            _mirror_ids(uri, folder, split)
        write_whole(folder / MANIFEST_NAME, format_manifest(manifest).encode())
    return folder


def _mirror_name(uri: str, manifest: Manifest) -> str:
    """Returns e.g. voc2012-3f9a0c1b22d4: where it came from, for people, and what it holds."""
    last = uri.rstrip("/").rpartition("/")[2]
    return f"{''.join(c if c.isalnum() or c in '._-' else '_' for c in last)}-{manifest.checksum[:12]}"


def _is_complete(folder: Path, manifest: Manifest) -> bool:
    """Whether all is there, by name and size. The checksums were right when it was loaded; open_split checks them."""
    try:
        if (folder / MANIFEST_NAME).read_bytes() != format_manifest(manifest).encode():
            return False
    except FileNotFoundError:
        return False
    return not any(find_faults(folder, split, check="sizes") for split in manifest.splits.values())


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keeps other processes from loading the same mirror; waits for one that does."""
    lock = folder / _LOCK_NAME
    lock.touch()
    with locked(lock, wait=f"waits for the process that loads {folder}") as held:
        if not held:
            raise OSError(f"{folder} cannot be locked; take a --cache_dir on a local disk")
        yield


def _mirror_shards(uri: str, folder: Path, shards: list[Shard], *, num_threads: int, retry_wait_s: float) -> None:
    total = sum(shard.num_bytes for shard in shards)
    logging.info("mirrors %s, %d shards, %.1f MB, into %s", uri, len(shards), total / 1e6, folder)
    stop = threading.Event()
    with shared_progress(total) as count:

        def bring(shard: Shard) -> None:
            _mirror_shard(uri, folder, shard, count, stop, retry_wait_s)

        try:
            in_parallel(bring, shards, num_threads=num_threads, stop=stop)
        except ConnectionError as err:
            raise ConnectionError(f"{err}. The shards that are complete are kept: run again to go on") from err
        except OSError as err:
            if err.errno == errno.ENOSPC:  # from writing, which names no file
                raise OSError(err.errno, err.strerror, str(folder)) from err
            raise


def _mirror_shard(
    uri: str, folder: Path, shard: Shard, count: Callable[[int], None], stop: threading.Event, retry_wait_s: float
) -> None:
    """Brings one shard and its index to the folder, if they are not there already."""
    path = folder / shard.file
    if path.exists() and path.stat().st_size == shard.num_bytes and crc32c_of_file(path) == shard.crc32c:
        sizes = [frame_bytes(len(payload)) for payload in iterate_records(path)]
        count(shard.num_bytes)
    else:
        part, sizes = folder / f"{shard.file}.part", []
        with open(part, "wb") as file:
            for frame in read_frames(uri, shard, retry_wait_s=retry_wait_s, stop=stop):
                file.write(frame)
                sizes.append(len(frame))
                count(len(frame))
        if stop.is_set():
            return
        sync_file(part)
        os.replace(part, path)
    write_whole(folder / index_name(shard.file), format_index(sizes).encode())


def _mirror_ids(uri: str, folder: Path, split: Split) -> None:
    source = addresses.join(uri, split.ids_file)
    for _ in range(2):  # twice: what looks like damage may be of the way
        data = read_file(source)
        found = f"{google_crc32c.value(data):08x}"
        if found == split.ids_crc32c:
            return write_whole(folder / split.ids_file, data)
    raise ValueError(f"{source} is damaged (crc32c {found}, manifest {split.ids_crc32c}). {REMEDY}")
