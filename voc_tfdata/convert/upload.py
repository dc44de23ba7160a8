"""Records for a remote folder: built in a temporary local one, then uploaded in parallel, the manifest last.

    with stage_upload("s3://bucket/voc2012") as staging:
        ...                                  # write the shards and manifest.json into staging
        upload(staging, "s3://bucket/voc2012", file_names)

The counterpart of publish.py. A remote folder has no lock: that two builds do not write to it at once is for its owner
to see to. The manifest's checksums show if they did.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from absl import logging

from voc_tfdata.convert.publish import is_ours
from voc_tfdata.records.manifest import MANIFEST_NAME
from voc_tfdata.remote.addresses import join
from voc_tfdata.remote.files import in_parallel, list_folder, remove_file, shared_progress, write_file

_NUM_THREADS = 4  # files at a time; the S3 client stages each in /tmp, and sends its parts in parallel


@contextlib.contextmanager
def stage_upload(uri: str) -> Iterator[Path]:
    """Yields an empty local folder (in TMPDIR) that is gone afterwards.

    Raises:
      OSError: it cannot be made.
    """
    with tempfile.TemporaryDirectory(prefix="voc_tfdata_") as folder:
        logging.info("builds in %s, to be uploaded to %s", folder, uri)
        yield Path(folder)


def upload(staging: Path, uri: str, names: Iterable[str]) -> None:
    """Uploads the named files and the manifest, in place of the data set that was there.

    The old manifest goes first and the new one comes last, so that no moment shows a mixture as a data set.

    Raises:
      PermissionError, ConnectionError, OSError: a file could not be uploaded; there is no data set there now.
    """
    keep = sorted(names)
    remove_file(join(uri, MANIFEST_NAME))
    total = sum((staging / name).stat().st_size for name in keep)
    logging.info("uploads %d files, %.1f MB, to %s", len(keep), total / 1e6, uri)
    stop = threading.Event()
    with shared_progress(total) as count:

        def send(name: str) -> None:
            write_file(staging / name, join(uri, name))
            count((staging / name).stat().st_size)

        in_parallel(send, keep, num_threads=_NUM_THREADS, stop=stop)
    for name in list_folder(uri):
        if is_ours(name) and name not in keep:
            remove_file(join(uri, name))
    write_file(staging / MANIFEST_NAME, join(uri, MANIFEST_NAME))
