"""WebDataset: tar shards streamed by torch workers, decoded with cv2, shuffled by a buffer of 1,000 pictures."""

import argparse
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers.measure import BATCH_SIZE, IMAGE_SIZE, list_pictures, measure

NUM_SHARDS = 8


def write_shards(args: argparse.Namespace) -> list[str]:
    """Returns the paths of the tar shards, written if they aren't there: picture and label, uncompressed."""
    folder = Path(args.work_dir or ".") / "webdataset"
    if not folder.exists():
        temporary = folder.with_suffix(".part")
        temporary.mkdir(parents=True, exist_ok=True)
        pictures = sorted(set(list_pictures(args)))
        for n in range(NUM_SHARDS):
            with tarfile.open(temporary / f"{n:05d}.tar", "w") as tar:
                for path in pictures[n::NUM_SHARDS]:
                    tar.add(path, arcname=Path(path).name)
                    label = tarfile.TarInfo(Path(path).stem + ".cls")
                    label.size = 1
                    tar.addfile(label, io.BytesIO(b"0"))
        temporary.rename(folder)
    return sorted(str(path) for path in folder.glob("*.tar")) * args.repeat


def decode(sample: tuple[bytes, bytes]) -> tuple:
    import cv2
    import numpy as np

    image = cv2.imdecode(np.frombuffer(sample[0], np.uint8), cv2.IMREAD_COLOR)
    image = cv2.resize(image, (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_LINEAR)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB), int(sample[1])


def start_worker(worker: int) -> None:
    import cv2

    cv2.setNumThreads(0)  # the workers are the threads


def make(args: argparse.Namespace) -> Callable[[], int]:
    import cv2  # noqa: F401  a missing package shows here, not in a worker
    import webdataset as wds

    shards = write_shards(args)
    pictures = wds.WebDataset(shards, shardshuffle=len(shards)).shuffle(1000).to_tuple("jpg", "cls").map(decode)
    loader = wds.WebLoader(
        pictures.batched(BATCH_SIZE),
        batch_size=None,
        num_workers=args.threads,
        persistent_workers=True,
        worker_init_fn=start_worker,
    )
    return lambda: sum(len(images) for images, _ in loader)


if __name__ == "__main__":
    measure(
        make,
        {"decode": "WebDataset + cv2"},
        packages=("webdataset", "torch", "opencv-python-headless", "numpy"),
    )
