"""Grain over the files, decoding with cv2 in its own reading threads; shuffled globally by its index shuffle.

cv2 releases the interpreter lock, so that threads serve it better here than worker processes, which pass every
batch through shared memory.
"""

import argparse
import itertools
from collections.abc import Callable

from benchmarks.peers.measure import BATCH_SIZE, IMAGE_SIZE, list_pictures, measure


def decode(path: str) -> tuple:
    import cv2

    image = cv2.imread(path, cv2.IMREAD_COLOR)
    image = cv2.resize(image, (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_LINEAR)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB), 0


def make(args: argparse.Namespace) -> Callable[[], int]:
    import cv2
    import grain

    cv2.setNumThreads(0)
    paths = list_pictures(args)
    pictures = grain.MapDataset.source(paths).seed(0).shuffle().repeat().map(decode)
    options = grain.ReadOptions(num_threads=args.threads, prefetch_buffer_size=4 * BATCH_SIZE)
    batches = iter(pictures.to_iter_dataset(options).batch(BATCH_SIZE))
    steps = -(-len(paths) // BATCH_SIZE)
    return lambda: sum(len(images) for images, _ in itertools.islice(batches, steps))


if __name__ == "__main__":
    measure(make, {"decode": "Grain + cv2"}, packages=("grain", "opencv-python-headless", "numpy"))
