"""torch.utils.data.DataLoader over the files, its workers decoding with Pillow.

As torch_cv2.py; Pillow's bilinear filter averages over all source pixels (antialias), which is more work.
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
        import numpy as np
        from PIL import Image, ImageOps

        with Image.open(self.paths[i]) as file:
            image = file.convert("RGB")
        box = None
        if self.crop_flip:
            top, left, height, width = random_crop(random, image.height, image.width)
            box = (left, top, left + width, top + height)
        image = image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR, box=box)
        if self.crop_flip and random.random() < 0.5:
            image = ImageOps.mirror(image)
        return np.array(image), 0


def make(args: argparse.Namespace) -> Callable[[], int]:
    import PIL  # noqa: F401  a missing package shows here, not in a worker
    from torch.utils.data import DataLoader

    loader = DataLoader(
        Pictures(list_pictures(args), args.task == "crop_flip"),
        batch_size=BATCH_SIZE,
        shuffle=True,
        num_workers=args.threads,
        persistent_workers=True,
    )
    return lambda: sum(len(images) for images, _ in loader)


if __name__ == "__main__":
    measure(
        make,
        dict.fromkeys(("decode", "crop_flip"), "torch DataLoader + Pillow"),
        packages=("torch", "Pillow", "numpy"),
    )
