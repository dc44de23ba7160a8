"""Cuts the power of a disk under the converter, hundreds of times, and looks at what is left. By hand, as root.

    pip install fusepy                                     # and libfuse2 of the system; Linux
    sudo .venv/bin/python -m tests.convert.power_cuts --cuts=200
    sudo .venv/bin/python -m tests.convert.power_cuts --cuts=200 --no-fsync    # the control: it must find faults

A conversion, and then another one with --overwrite, write to ext4 on a block device that notes every write and every
flush in their order (what dm-log-writes does, by a loop device over a file in FUSE). Afterwards the disk is built again
as it was at a random moment: everything that was flushed, and of the writes since then a random half, which a drive may
do in any order. It is mounted, and the folder of records must hold no data set, or a whole one, in which
`inspect --verify` finds no fault. After a cut in --overwrite the next run must find the old set or the new one, whole.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from voc_tfdata.convert.publish import stage
from voc_tfdata.records.manifest import MANIFEST_NAME
from voc_tfdata.records.verify import verify_records

ROOT = Path(__file__).resolve().parents[2]
_SIZE = 96 << 20  # of the disk, bytes
_ENTRY = struct.Struct("<QQ")  # of the log: offset and length of a write, whose bytes follow; length 0: a flush
_NO_FSYNC = """import os, runpy, sys
os.fsync = lambda handle: None
sys.argv[0] = {tool!r}
runpy.run_path({tool!r}, run_name="__main__")
"""


def main() -> None:
    """Records two conversions, cuts the power of both, prints what was found; exits with 1 if a set was damaged."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--no-fsync", action="store_true", help="the converter's fsync does nothing")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        work = Path(folder)
        ends = _record(work, options.no_fsync)
        states = _cut(work, ends, options.cuts, random.Random(options.seed))
    for name, count in sorted(states.items()):
        print(f"{count:5} {name}")
    sys.exit(any("DAMAGED" in name for name in states))


def _record(work: Path, no_fsync: bool) -> list[int]:
    """Runs the two conversions on the noting disk. Returns how long the log was when each returned, in entries."""
    sample = work / "sample"
    _run(sys.executable, str(ROOT / "tools/make_sample_voc.py"), str(sample), "--num_images=300")
    disk = work / "disk"
    with open(disk, "wb") as file:
        file.truncate(_SIZE)
    _run("mkfs.ext4", "-q", "-F", str(disk))
    shutil.copy(disk, work / "base")
    ends = []
    with _noting(work), _mounted(work / "fuse/disk", work / "mnt") as mnt:
        for more in (["--seed=1"], ["--seed=2", "--overwrite"]):
            tool = str(ROOT / "tools/build_tfrecords.py")
            start = ["-c", _NO_FSYNC.format(tool=tool)] if no_fsync else [tool]
            flags = [f"--voc_root={sample}/VOC2012", f"--out_dir={mnt}/out", "--num_shards=4", *more]
            _run(sys.executable, *start, *flags, env={**os.environ, "PYTHONPATH": str(ROOT)})
            ends.append(sum(1 for _ in _read_log(work / "log")))
            time.sleep(7)  # ext4 commits its journal every 5 s, and the bytes of new files after 30
    return ends


def _cut(work: Path, ends: list[int], cuts: int, draw: random.Random) -> Counter[str]:
    """Builds the disk as it was at `cuts` moments, and when each conversion had returned. Returns what was found."""
    log = list(_read_log(work / "log"))
    (first, second), last = ends, len(log)
    flushes = [k for k, (_, data) in enumerate(log) if not data]
    print(f"{len(log)} writes and flushes, {len(flushes)} of them flushes; the first conversion ends at {first}")
    near = [min(last - 1, max(1, draw.choice(flushes) + draw.randint(-9, 9))) for _ in range(cuts - cuts // 2)]
    found: Counter[str] = Counter()
    for moment in [*ends, *sorted(near + [draw.randrange(1, last) for _ in range(cuts // 2)])]:
        flushed = max((k for k in range(moment) if not log[k][1]), default=0)
        image = work / "cut"
        shutil.copy(work / "base", image)
        with open(image, "r+b") as file:
            for k, (offset, data) in enumerate(log[:moment]):
                if k < flushed or draw.random() < 0.5:
                    file.seek(offset)
                    file.write(data)
        with _mounted(image, work / "mnt") as mnt:
            state = _look(mnt / "out", overwriting=moment >= first)
        run = "in the first" if moment < first else "in --overwrite" if moment < second else "afterwards"
        if moment in ends:
            run = "returned"
            state += "" if state == "a whole set" else ", DAMAGED: it was said to be done"
        found[f"{run}: {state}"] += 1
    return found


def _look(out: Path, *, overwriting: bool) -> str:
    """Returns what is in a folder of records after a cut."""
    if (out / MANIFEST_NAME).exists():
        return "a DAMAGED set" if _is_damaged(out) else "a whole set"
    if not overwriting:
        return "no set"
    with stage(out):  # what every run does first: it undoes a publication that was not completed
        if not (out / MANIFEST_NAME).exists():
            return "no set, DAMAGED: the old one is lost"
        return "the next run finds a DAMAGED set" if _is_damaged(out) else "the next run finds a whole set"


def _is_damaged(out: Path) -> bool:
    try:
        return bool(verify_records(out))
    except (OSError, ValueError):
        return True


@contextlib.contextmanager
def _mounted(image: Path, folder: Path) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    _run("mount", "-o", "loop", str(image), str(folder))
    try:
        yield folder
    finally:
        _run("umount", str(folder))


@contextlib.contextmanager
def _noting(work: Path) -> Iterator[None]:
    """Shows work/disk as work/fuse/disk; every write and flush of that one is noted in work/log."""
    (work / "fuse").mkdir()
    server = subprocess.Popen([sys.executable, __file__, "serve", str(work)])
    while not (work / "fuse/disk").exists():
        time.sleep(0.05)
    try:
        yield
    finally:
        _run("umount", "-l", str(work / "fuse"))
        server.wait()


def _read_log(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yields the offset and bytes of each write; no bytes stand for a flush."""
    with open(path, "rb") as file:
        while len(head := file.read(_ENTRY.size)) == _ENTRY.size:
            offset, length = _ENTRY.unpack(head)
            yield offset, file.read(length)


def _serve(work: Path) -> None:
    """Is the file system of _noting: one file, whose writes and flushes are noted before they are answered."""
    from fuse import FUSE, Operations

    class Noting(Operations):  # type: ignore[misc]
        def __init__(self) -> None:
            self.disk, self.log = open(work / "disk", "r+b", buffering=0), open(work / "log", "wb", buffering=0)

        def getattr(self, path: str, handle: int | None = None) -> dict[str, int]:
            return (
                {"st_mode": 0o40755, "st_nlink": 2}
                if path == "/"
                else {"st_mode": 0o100600, "st_nlink": 1, "st_size": _SIZE}
            )

        def readdir(self, path: str, handle: int) -> list[str]:
            return [".", "..", "disk"]

        def read(self, path: str, size: int, offset: int, handle: int) -> bytes:
            return os.pread(self.disk.fileno(), size, offset)

        def write(self, path: str, data: bytes, offset: int, handle: int) -> int:
            self.log.write(_ENTRY.pack(offset, len(data)) + data)
            return os.pwrite(self.disk.fileno(), data, offset)

        def fsync(self, path: str, data_only: bool, handle: int) -> int:
            self.log.write(_ENTRY.pack(0, 0))
            return 0

    FUSE(Noting(), str(work / "fuse"), foreground=True, nothreads=True)


def _run(*command: str, env: dict[str, str] | None = None) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        _serve(Path(sys.argv[2]))
    else:
        main()
