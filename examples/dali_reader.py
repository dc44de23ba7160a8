"""The same records in NVIDIA DALI: its TFRecord reader takes the shards and the .idx files beside them as they are.

pip install nvidia-dali-cuda120                     # runs on the CPU, too: no TensorFlow is loaded here
python examples/dali_reader.py records/voc2012
"""

import sys
from glob import glob
from typing import Any

import numpy as np
from nvidia.dali import fn, pipeline_def, tfrecord, types

NUM_CLASSES, SIZE = 20, 224


@pipeline_def(batch_size=32, num_threads=2, device_id=None, seed=0)
def read_pictures(shards: list[str]) -> Any:
    record = fn.readers.tfrecord(
        path=shards,
        index_path=[shard.removesuffix(".tfrecord") + ".idx" for shard in shards],
        features={
            "image/encoded": tfrecord.FixedLenFeature((), tfrecord.string, ""),
            "image/class/multi_hot": tfrecord.FixedLenFeature([NUM_CLASSES], tfrecord.int64, 0),
        },
        random_shuffle=True,
        name="reader",
    )
    images = fn.decoders.image(record["image/encoded"], device="cpu", output_type=types.RGB)
    return fn.resize(images, size=(SIZE, SIZE), antialias=False), record["image/class/multi_hot"]


pipeline = read_pictures(sorted(glob(f"{sys.argv[1]}/voc-train-*.tfrecord")))
pipeline.build()
print(f"{pipeline.epoch_size('reader')} records")
for _ in range(3):
    images, labels = (np.asarray(batch.as_tensor()) for batch in pipeline.run())
    print(images.shape, images.dtype, labels.shape, "labels a picture:", labels.sum(1).mean())
