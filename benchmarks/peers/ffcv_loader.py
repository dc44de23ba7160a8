"""FFCV: its jpg store for the tasks that decode, its raw store for the others.

The jpg store is encoded by FFCV (quality 95, full size). Its decoders decode the whole picture, with libjpeg-turbo's
fast DCT, then cut, and resize by area averaging: "decode" takes the largest centre square (CenterCropRGBImageDecoder,
ratio 1), which has fewer pixels to resize than the whole picture. The raw store is written at 224x224 for "store" and
at 256x256 for "store_crop_flip"; FFCV's one random crop is the resized one (RandomResizedCropRGBImageDecoder). Shuffled
globally (OrderOption.RANDOM), with the operating system's page cache.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers.measure import BATCH_SIZE, CROP_AREA, CROP_ASPECT, IMAGE_SIZE, list_pictures, measure

STORED_SIZE = {"store": 224, "store_crop_flip": 256}  # pixels a side; the tasks not named here store JPEGs


class Pictures:
    """What FFCV's writer asks for: picture i as uint8 [H, W, 3] RGB, and a label."""

    def __init__(self, paths: list[str], size: int | None) -> None:
        self.paths = paths
        self.size = size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple:
        import cv2

        image = cv2.cvtColor(cv2.imread(self.paths[i], cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        return (cv2.resize(image, (self.size, self.size)) if self.size else image), 0


def write_store(args: argparse.Namespace) -> Path:
    """Returns the .beton file of the task, written if it isn't there."""
    from ffcv.fields import IntField, RGBImageField
    from ffcv.writer import DatasetWriter

    size = STORED_SIZE.get(args.task)
    path = Path(args.work_dir or ".") / f"ffcv-{f'raw{size}' if size else 'jpg'}-x{args.repeat}.beton"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        image = RGBImageField(write_mode="raw") if size else RGBImageField(write_mode="jpg", jpeg_quality=95)
        temporary = path.with_suffix(".part")
        writer = DatasetWriter(str(temporary), {"image": image, "label": IntField()}, num_workers=args.threads)
        writer.from_indexed_dataset(Pictures(list_pictures(args), size))
        temporary.rename(path)
    return path


def make(args: argparse.Namespace) -> Callable[[], int]:
    from ffcv.fields import decoders
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import RandomHorizontalFlip

    size = (IMAGE_SIZE, IMAGE_SIZE)
    if args.task == "decode":
        stages = [decoders.CenterCropRGBImageDecoder(size, ratio=1)]
    elif args.task == "store":
        stages = [decoders.SimpleRGBImageDecoder()]
    else:
        stages = [decoders.RandomResizedCropRGBImageDecoder(size, CROP_AREA, CROP_ASPECT), RandomHorizontalFlip()]
    loader = Loader(
        str(write_store(args)),
        batch_size=BATCH_SIZE,
        num_workers=args.threads,
        order=OrderOption.RANDOM,
        os_cache=True,
        drop_last=False,
        pipelines={"image": stages, "label": [decoders.IntDecoder()]},
    )
    return lambda: sum(len(images) for images, _ in loader)


if __name__ == "__main__":
    measure(
        make,
        {"decode": "FFCV jpg", "crop_flip": "FFCV jpg", "store": "FFCV raw", "store_crop_flip": "FFCV raw"},
        packages=("ffcv", "torch", "numba", "numpy"),
    )
