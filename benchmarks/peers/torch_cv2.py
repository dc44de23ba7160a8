"""torch.utils.data.DataLoader over the files, its workers decoding with cv2.

Shuffled globally by the loader's own sampler; persistent workers, which torch gives
seeds of their own; the default collation and prefetching.
"""

import argparse
import random
from collections.abc import Callable

from benchmarks.peers.measure import BATCH_SIZE, IMAGE_SIZE, list_pictures, measure, random_crop


class Pictures:
    """A map-style dataset, as torch asks for: picture i as uint8 [224, 224, 3] RGB, and a label."""

    def __init__(self, paths: list[str], crop_flip: bool) -> None:
        self.paths = paths
        self.crop_flip = crop_flip

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple:
        import cv2

        image = cv2.imread(self.paths[i], cv2.IMREAD_COLOR)
        if self.crop_flip:
            top, left, height, width = random_crop(random, *image.shape[:2])
            image = image[top : top + height, left : left + width]
        image = cv2.resize(image, (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_LINEAR)
        if self.crop_flip and random.random() < 0.5:
            image = cv2.flip(image, 1)
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB), 0  # swapped last: there are fewer pixels


def start_worker(worker: int) -> None:
    import cv2

    cv2.setNumThreads(0)  # the workers are the threads


def make(args: argparse.Namespace) -> Callable[[], int]:
    import cv2  # noqa: F401  a missing package shows here, not in a worker
    from torch.utils.data import DataLoader

    loader = DataLoader(
        Pictures(list_pictures(args), args.task == "crop_flip"),
        batch_size=BATCH_SIZE,
        shuffle=True,
        num_workers=args.threads,
        persistent_workers=True,
        worker_init_fn=start_worker,
    )
    return lambda: sum(len(images) for images, _ in loader)


if __name__ == "__main__":
    measure(
        make,
        dict.fromkeys(("decode", "crop_flip"), "torch DataLoader + cv2"),
        packages=("torch", "opencv-python-headless", "numpy"),
    )
