"""How conversion on a Dask cluster falls with its workers, beside a local one, in alternating rounds.

    python -m benchmarks.cluster --voc_root=VOCdevkit/VOC2012 --repeat=8          # needs the extra [dask]

Scheduler and workers are processes of this machine that talk over TCP; a worker does one task at a time. Printed are
the median images/s of the rounds, whole command, and its ratio to one local process of the same round.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.convert import ROOT, link_devkit, run_one


@contextlib.contextmanager
def cluster(folder: Path, workers: int) -> Iterator[tuple[str, list[subprocess.Popen]]]:
    """Yields the address of a scheduler and the processes of its workers."""
    from distributed import Client

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    dask = [sys.executable, "-m", "dask"]
    commands = [[*dask, "scheduler", "--host=127.0.0.1", f"--port={address.rpartition(':')[2]}", "--no-dashboard"]]
    commands += [[*dask, "worker", address, "--nthreads=1", "--no-nanny", "--no-dashboard"]] * workers
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in commands
    ]
    try:
        with Client(address, timeout=60) as client:
            client.wait_for_workers(workers, timeout=60)
        yield address, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voc_root", type=Path, required=True, help="folder with Annotations/ and JPEGImages/")
    parser.add_argument("--work_dir", type=Path, default=Path(tempfile.gettempdir()), help="where all of it goes")
    parser.add_argument("--repeat", type=int, default=8, help="how often each picture is linked")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("options", nargs="*", help="of Dask's runner, after --, e.g. --dask_npartitions=1")
    args = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="benchmark-cluster-", dir=args.work_dir))
    root, out = work / "VOC", work / "out"
    command = [sys.executable, str(ROOT / "tools" / "build_tfrecords.py"), f"--voc_root={root}", f"--out_dir={out}"]
    rates: dict[str, list[float]] = {}
    try:
        count = link_devkit(args.voc_root, root, args.repeat)
        for _ in range(args.rounds):
            for workers in args.workers:
                for place in ("local", "Dask"):
                    shutil.rmtree(out, ignore_errors=True)
                    with contextlib.ExitStack() as stack:
                        more = [f"--num_workers={workers}"]
                        if place == "Dask":
                            address, _ = stack.enter_context(cluster(work, workers))
                            more = ["--runner=DaskRunner", f"--shared_dir={work / 'shared'}"]
                            more += ["--", f"--dask_client_address={address}", *args.options]
                        seconds, _ = run_one([*command, *more])
                    rates.setdefault(f"{place}, {workers}", []).append(count / seconds)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{count} images, {args.rounds} rounds")
    first = next(iter(rates.values()))
    for name, found in rates.items():
        ratio = statistics.median(rate / base for rate, base in zip(found, first, strict=True))
        print(f"{name:12}{statistics.median(found):>10,.0f} images/s{ratio:>8.2f}")


if __name__ == "__main__":
    main()
