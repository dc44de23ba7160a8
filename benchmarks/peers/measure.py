"""What every peer shares: its flags, the pictures it reads, how an epoch is timed, the line it prints.

    def make(args):                                    # builds the loader, returns a function
        return lambda: sum(len(batch) for batch in loader)   # that runs one epoch and returns its images

    if __name__ == "__main__":
        measure(make, {"decode": "torch + cv2", "crop_flip": "torch + cv2"})

Tasks, all in batches of 32, uint8 RGB, in an order that is shuffled anew each epoch:
  decode            original JPEG -> whole picture at 224x224, bilinear
  crop_flip         original JPEG -> random resized crop (8 to 100 % of the area, aspect 3/4 to 4/3) at 224x224,
                    flipped every other time
  store             stored 224x224 pixels -> 224x224
  store_crop_flip   stored pixels -> random crop and flip -> 224x224

Run one from the repository's top folder: python -m benchmarks.peers.torch_cv2 --voc_root=VOCdevkit/VOC2012. This file
and the peers import nothing of voc_tfdata: they run in environments of their own.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

IMAGE_SIZE = 224
BATCH_SIZE = 32
CROP_AREA = (0.08, 1.0)
CROP_ASPECT = (3 / 4, 4 / 3)


def measure(
    make: Callable[[argparse.Namespace], Callable[[], int]],
    names: dict[str, str],
    *,
    packages: tuple[str, ...] = (),
) -> None:
    """Parses the flags, builds the peer, times its epochs and prints one JSON line.

    The line holds name, task, threads, images_per_s (a list), their median, cpu_ms_per_image (processor time of all
    its threads and workers), and versions.

    A measurement runs whole epochs until `--min_seconds` have passed, so that a fast peer pays for its epoch
    boundaries as it would in training and a slow one is not stopped in the middle.

    Args:
      make: takes the flags, returns a function that runs one epoch and returns the number of images it delivered.
        An ImportError from it means that the peer is not installed; the line says so and the status is 0.
      names: what the tables call the peer in each task it knows; the first task is the default.
      packages: distributions whose versions are reported.
    """
    args = _parse_flags(tuple(names))
    if hasattr(os, "sched_setaffinity"):  # 2 threads on 2 cores, also on a larger machine
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    line: dict = {"name": names[args.task], "task": args.task, "threads": args.threads}
    try:
        run_epoch = make(args)
    except ImportError as err:
        print(json.dumps({**line, "error": f"not installed: {err}"}), flush=True)
        return
    _time(run_epoch, args.min_seconds)
    timings = [_time(run_epoch, args.min_seconds) for _ in range(args.epochs)]
    rates = [images / elapsed_s for images, elapsed_s, _ in timings]
    line["images_per_s"] = [round(rate, 1) for rate in rates]
    line["median"] = round(statistics.median(rates), 1)
    line["cpu_ms_per_image"] = round(1000 * statistics.median(cpu_s / images for images, _, cpu_s in timings), 4)
    line["versions"] = {"python": platform.python_version(), **{name: _version(name) for name in packages}}
    print(json.dumps(line), flush=True)


def list_pictures(args: argparse.Namespace) -> list[str]:
    """Returns the paths of the pictures, the whole list --repeat times: those in --records if given, else all."""
    folder = Path(args.voc_root) / "JPEGImages"
    paths = sorted(str(path) for path in folder.glob("*.jpg"))
    if args.records:
        ids = {line for file in Path(args.records).glob("*-ids.txt") for line in file.read_text("utf-8").splitlines()}
        paths = [path for path in paths if Path(path).stem in ids]
    if not paths:
        raise FileNotFoundError(f"no *.jpg of the set in {folder}; point --voc_root at a folder with JPEGImages/")
    return paths * args.repeat


def list_shards(args: argparse.Namespace) -> list[str]:
    """Returns the paths of the .tfrecord files in --records, once each."""
    shards = sorted(str(path) for path in Path(args.records).glob("*.tfrecord"))
    if not shards:
        raise FileNotFoundError(f"no *.tfrecord in {args.records!r}; point --records at a folder of records")
    return shards


def random_crop(rng: Any, height: int, width: int) -> tuple[int, int, int, int]:
    """Returns (top, left, height, width) of a random resized crop, in pixels.

    Area and aspect are drawn as in "Going deeper with convolutions" (Szegedy et al. 2014, section 6), ten tries, then
    the whole picture.

    Args:
      rng: a random.Random, or the module random.
      height: of the picture.
      width: of the picture.
    """
    for _ in range(10):
        area = rng.uniform(*CROP_AREA) * height * width
        aspect = CROP_ASPECT[0] * (CROP_ASPECT[1] / CROP_ASPECT[0]) ** rng.random()
        h, w = round((area / aspect) ** 0.5), round((area * aspect) ** 0.5)
        if 0 < h <= height and 0 < w <= width:
            return rng.randint(0, height - h), rng.randint(0, width - w), h, w
    return 0, 0, height, width


def _parse_flags(tasks: tuple[str, ...]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Prints images/s as one JSON line.", allow_abbrev=False)
    parser.add_argument("--task", choices=tasks, default=tasks[0])
    parser.add_argument("--threads", type=int, default=2, help="threads or workers, and cores")
    parser.add_argument("--epochs", type=int, default=3, help="measurements after the warm-up")
    parser.add_argument("--min_seconds", type=float, default=2.0, help="a measurement runs epochs for at least so long")
    parser.add_argument("--repeat", type=int, default=1, help="how often an epoch goes over the pictures")
    parser.add_argument("--voc_root", default="../shared/voc/VOC2012", help="folder with JPEGImages/")
    parser.add_argument("--records", default="", help="folder of records, for peers that read them")
    parser.add_argument("--work_dir", default="", help="where a peer puts files in its own format")
    return parser.parse_args()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # run from a checkout
        return "not installed"


def _time(run_epoch: Callable[[], int], min_seconds: float) -> tuple[int, float, float]:
    """Returns (images, seconds, processor seconds) of whole epochs that last `min_seconds` or longer together."""
    images, cpu_s, start = 0, _cpu_seconds("self"), time.perf_counter()
    while (elapsed_s := time.perf_counter() - start) < min_seconds or not images:
        images += run_epoch()
    return images, elapsed_s, _cpu_seconds("self") - cpu_s


def _cpu_seconds(pid: str) -> float:
    """Returns the processor seconds that a process and its living descendants have used; Linux only, else 0.

    What other programs do on the machine changes it far less than it changes images/s.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = [
            child for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()
        ]
    except OSError:  # another system, or a worker that has just ended
        return 0.0
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # proc(5): utime and stime
    return own + sum(_cpu_seconds(child) for child in children)
