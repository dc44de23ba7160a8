"""The limit: libjpeg-turbo and cv2.resize in bare threads, no loader around them.

Each thread takes its share of a permutation of the files, reads, decodes and resizes one after the other, into the
batch. There is no queue and no hand-over.
"""

import argparse
import random
import threading
from collections.abc import Callable

from benchmarks.peers.measure import BATCH_SIZE, IMAGE_SIZE, list_pictures, measure, random_crop


def make(args: argparse.Namespace) -> Callable[[], int]:
    import cv2
    import numpy as np
    import simplejpeg

    cv2.setNumThreads(0)
    paths = list_pictures(args)
    rng = random.Random(0)
    size = (IMAGE_SIZE, IMAGE_SIZE)

    def work(mine: list[str], seed: int) -> None:
        crop_rng = random.Random(seed)
        batch = np.empty((BATCH_SIZE, *size, 3), np.uint8)
        for i, path in enumerate(mine):
            slot = i % BATCH_SIZE
            if slot == 0:
                batch = np.empty((BATCH_SIZE, *size, 3), np.uint8)
            with open(path, "rb") as file:
                image = simplejpeg.decode_jpeg(file.read(), "RGB")  # releases the interpreter lock, as cv2 does
            if args.task == "crop_flip":
                top, left, height, width = random_crop(crop_rng, *image.shape[:2])
                image = image[top : top + height, left : left + width]
            cv2.resize(image, size, dst=batch[slot], interpolation=cv2.INTER_LINEAR)
            if args.task == "crop_flip" and crop_rng.random() < 0.5:
                cv2.flip(batch[slot], 1, dst=batch[slot])

    def run_epoch() -> int:
        order = rng.sample(paths, len(paths))
        threads = [
            threading.Thread(target=work, args=(order[n :: args.threads], rng.getrandbits(32)))
            for n in range(args.threads)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(paths)

    return run_epoch


if __name__ == "__main__":
    measure(
        make,
        dict.fromkeys(("decode", "crop_flip"), "libjpeg-turbo + cv2 (the limit)"),
        packages=("simplejpeg", "opencv-python-headless", "numpy"),
    )
