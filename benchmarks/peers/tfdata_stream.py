"""The usual tf.data stream: shards interleaved, shuffle(1,024), decoded by a parallel map, AUTOTUNE everywhere.

This is the pipeline of TFDS (tfds.load and what its guide tells to add), over our records. The task "store" reads
the same stream from records that hold 224x224 pixels in place of the JPEG.
"""

import argparse
import itertools
import os
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers.measure import (
    BATCH_SIZE,
    CROP_AREA,
    CROP_ASPECT,
    IMAGE_SIZE,
    list_pictures,
    list_shards,
    measure,
)

SHUFFLE_BUFFER = 1024
NUM_RAW_SHARDS = 4
SIZE = (IMAGE_SIZE, IMAGE_SIZE)


def write_raw_records(args: argparse.Namespace) -> list[str]:
    """Returns the paths of TFRecord files with the pixels of the pictures, written if they aren't there."""
    import tensorflow as tf

    folder = Path(args.work_dir or ".") / f"raw{IMAGE_SIZE}-x{args.repeat}"
    if not folder.exists():
        temporary = folder.with_suffix(".part")
        temporary.mkdir(parents=True, exist_ok=True)
        pictures = list_pictures(args)
        for n in range(NUM_RAW_SHARDS):
            with tf.io.TFRecordWriter(str(temporary / f"{n:05d}.tfrecord")) as writer:
                for path in pictures[n::NUM_RAW_SHARDS]:
                    image = tf.image.resize(tf.io.decode_jpeg(tf.io.read_file(path), channels=3), SIZE)
                    pixels = tf.train.BytesList(value=[tf.cast(tf.round(image), tf.uint8).numpy().tobytes()])
                    label = tf.train.Int64List(value=[0] * 20)
                    features = {
                        "image/encoded": tf.train.Feature(bytes_list=pixels),
                        "image/class/multi_hot": tf.train.Feature(int64_list=label),
                    }
                    writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
        temporary.rename(folder)
    return sorted(str(path) for path in folder.glob("*.tfrecord"))


def make(args: argparse.Namespace) -> Callable[[], int]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features = {
            "image/encoded": tf.io.FixedLenFeature([], tf.string),
            "image/class/multi_hot": tf.io.FixedLenFeature([20], tf.int64),
        }
        fields = tf.io.parse_single_example(record, features)
        return fields["image/encoded"], tf.cast(fields["image/class/multi_hot"], tf.float32)

    def decode(jpeg: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.io.decode_jpeg(jpeg, channels=3)
        return tf.cast(tf.round(tf.image.resize(image, SIZE)), tf.uint8), label

    def decode_crop_flip(jpeg: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        begin, extent, _ = tf.image.sample_distorted_bounding_box(
            tf.image.extract_jpeg_shape(jpeg),
            tf.zeros([1, 0, 4]),
            area_range=CROP_AREA,
            aspect_ratio_range=CROP_ASPECT,
            use_image_if_no_bounding_boxes=True,
        )
        window = tf.concat([begin[:2], extent[:2]], axis=0)
        image = tf.image.resize(tf.image.decode_and_crop_jpeg(jpeg, window, channels=3), SIZE)
        return tf.cast(tf.round(tf.image.random_flip_left_right(image)), tf.uint8), label

    def read_pixels(pixels: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.reshape(tf.io.decode_raw(pixels, tf.uint8), [*SIZE, 3]), label

    shards = write_raw_records(args) if args.task == "store" else list_shards(args) * args.repeat
    images = sum(1 for _ in tf.data.TFRecordDataset(shards))
    load = {"decode": decode, "crop_flip": decode_crop_flip, "store": read_pixels}[args.task]
    ds = tf.data.Dataset.from_tensor_slices(shards).shuffle(len(shards))
    ds = ds.interleave(tf.data.TFRecordDataset, num_parallel_calls=tf.data.AUTOTUNE)
    ds = ds.shuffle(SHUFFLE_BUFFER).repeat()
    ds = ds.map(parse, num_parallel_calls=tf.data.AUTOTUNE)
    ds = ds.map(load, num_parallel_calls=tf.data.AUTOTUNE)
    batches = iter(ds.batch(BATCH_SIZE).prefetch(tf.data.AUTOTUNE))
    steps = -(-images // BATCH_SIZE)
    return lambda: sum(len(images) for images, _ in itertools.islice(batches, steps))


if __name__ == "__main__":
    stream = "tf.data stream, shuffle(1024)"
    measure(
        make,
        {"decode": stream, "crop_flip": stream, "store": f"raw pixels in TFRecords, {stream}"},
        packages=("tensorflow", "numpy"),
    )
