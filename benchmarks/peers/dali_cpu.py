"""NVIDIA DALI on the CPU over our shards and their .idx files (the format of its own tfrecord2idx).

Its shuffle is a buffer of 1,024 records (the default); a larger one is slower. The crop is decoded as a region
of the JPEG, which is DALI's own way. A CPU pipeline needs no GPU and no driver.
"""

import argparse
from collections.abc import Callable
from typing import Any

from benchmarks.peers.measure import BATCH_SIZE, CROP_AREA, CROP_ASPECT, IMAGE_SIZE, list_shards, measure


def make(args: argparse.Namespace) -> Callable[[], int]:
    from nvidia.dali import fn, pipeline_def, tfrecord, types

    shards = list_shards(args) * args.repeat
    indices = [shard.removesuffix(".tfrecord") + ".idx" for shard in shards]

    @pipeline_def(batch_size=BATCH_SIZE, num_threads=args.threads, device_id=None, seed=0)
    def pipeline() -> Any:
        encoded = fn.readers.tfrecord(
            path=shards,
            index_path=indices,
            features={"image/encoded": tfrecord.FixedLenFeature((), tfrecord.string, "")},
            random_shuffle=True,
            initial_fill=1024,
            name="reader",
        )["image/encoded"]
        size = {"size": (IMAGE_SIZE, IMAGE_SIZE), "interp_type": types.INTERP_LINEAR, "antialias": False}
        if args.task == "decode":
            return fn.resize(fn.decoders.image(encoded, device="cpu", output_type=types.RGB), **size)
        cropped = fn.decoders.image_random_crop(
            encoded,
            device="cpu",
            output_type=types.RGB,
            random_area=list(CROP_AREA),
            random_aspect_ratio=list(CROP_ASPECT),
        )
        return fn.flip(fn.resize(cropped, **size), horizontal=fn.random.coin_flip(probability=0.5))

    pipe = pipeline()
    pipe.build()
    steps = -(-pipe.epoch_size("reader") // BATCH_SIZE)
    return lambda: sum(len(pipe.run()[0]) for _ in range(steps))


if __name__ == "__main__":
    measure(make, dict.fromkeys(("decode", "crop_flip"), "NVIDIA DALI, CPU"), packages=("nvidia-dali-cuda120",))
