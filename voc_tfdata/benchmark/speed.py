"""Times the stages and modes of the pipeline, and a training step.

    row = measure_dataset("original", Settings(records="records/voc2012"))
    row.median, row.first_s, row.heap_mb

The modes are explained in voc_tfdata.benchmark, the program.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from voc_tfdata.machine import call_in_new_process, count_cores, read_heap_mb, read_peak_mb, watch
from voc_tfdata.pipeline import order, random_access
from voc_tfdata.pipeline.dataset import train_dataset
from voc_tfdata.pipeline.loading import READY, set_threads
from voc_tfdata.pipeline.raw_ops import map_inline
from voc_tfdata.records.manifest import read_manifest
from voc_tfdata.records.split_source import find_source, open_split
from voc_tfdata.training.devices import place_batches

AUGMENTS = ("none", "flip", "crop")
STORES = ("original", "resized", "decoded")
DATASET_MODES = ("empty", "read", *(s if a == "none" else f"{s}+{a}" for s in STORES for a in AUGMENTS), "naive")
TRAIN_MODES = ("train_float32", "train_bfloat16", "train_jit", "train_records")
MODES = (*DATASET_MODES, *TRAIN_MODES)


@dataclass(frozen=True)
class Settings:
    """What is measured, and how long."""

    records: str
    split: str = "train"
    resized_records: str = ""  # a folder built with --store=resized; "" leaves those modes out
    cache_dir: str = ""  # of the decoded store
    batch_size: int = 32
    image_size: int = 224  # pixels
    num_threads: int = 0  # 0: one per core
    epochs: int = 5
    seconds: float = 2.0
    check: str = "checksums"  # on opening; see records.open_split
    train_image_size: int = 128  # pixels


@dataclass(frozen=True)
class Row:
    """One measured mode."""

    mode: str
    images_per_s: tuple[float, ...]  # of each measurement
    median: float
    cpu_ms: float  # processor time an image, all threads together
    open_s: float
    first_s: float
    heap_mb: float
    peak_mb: float


def choose_modes(settings: Settings, names: Sequence[str]) -> list[str]:
    """Returns the modes to measure, in the table's order: those named, or all that the settings allow.

    Raises:
      ValueError: an unknown mode, or one of resized records without any.
    """
    for name in names:
        if name not in MODES:
            raise ValueError(f"no mode {name!r}; modes: {', '.join(MODES)}")
        if name.startswith("resized") and not settings.resized_records:
            raise ValueError(f"mode {name!r} needs --resized_records: a folder built with --store=resized")
    possible = [mode for mode in MODES if settings.resized_records or not mode.startswith("resized")]
    return [mode for mode in possible if mode in names or not names]


def measure_modes(settings: Settings, modes: Sequence[str]) -> Iterator[Row]:
    """Yields one row a mode, each measured in a fresh process.

    The processes are spawned: call it under `if __name__ == "__main__"`.
    """
    for mode in modes:
        if mode.startswith("decoded"):
            call_in_new_process(build_store, mode, settings)
        yield call_in_new_process(measure_training if mode in TRAIN_MODES else measure_dataset, mode, settings)


def build_store(mode: str, settings: Settings) -> None:
    """Delivers one batch of a decoded mode, so that its store is there and the measured process only opens it."""
    next(iter(make_dataset(mode, settings)))


def measure_dataset(mode: str, settings: Settings) -> Row:
    """Returns images/s, opening times and memory of one of DATASET_MODES, in this process."""
    next(iter(tf.data.Dataset.range(1)))  # an idle TensorFlow: its runtime and thread pools are there
    idle_mb, stop = read_heap_mb(), watch(read_heap_mb)
    start = time.perf_counter()
    ds = make_dataset(mode, settings)
    open_s = time.perf_counter() - start
    batches = iter(ds)
    next(batches)
    first_s = time.perf_counter() - start
    rates, cpu_ms = time_batches(lambda: next(batches), settings)
    heap_mb = max(stop()) - idle_mb
    return _row(mode, rates, cpu_ms, open_s=open_s, first_s=first_s, heap_mb=heap_mb)


def measure_training(mode: str, settings: Settings) -> Row:
    """Returns images/s of the training step of voc_tfdata train with RMSprop, in this process.

    On one batch of noise, in bfloat16 but for "train_float32", compiled by XLA for "train_jit". For "train_records" on
    the batches of train_dataset, cropped and flipped.

    open_s is the time to build the model, first_s includes the first step, in which the graph is traced.
    """
    from voc_tfdata.model.vgg16 import build_vgg16
    from voc_tfdata.training.optimizers import build_optimizer
    from voc_tfdata.training.train_step import make_train_step

    next(iter(tf.data.Dataset.range(1)))
    idle_mb, stop = read_heap_mb(), watch(read_heap_mb)
    start = time.perf_counter()
    precision = "float32" if mode == "train_float32" else "mixed_bfloat16"
    num_classes = len(read_manifest(settings.records).classes)
    model = build_vgg16(num_classes, settings.train_image_size, precision=precision)
    optimizer = build_optimizer("rmsprop", learning_rate=1e-3)
    optimizer.build(model.trainable_variables)
    strategy = tf.distribute.get_strategy()
    train_step = make_train_step(model, optimizer, strategy, jit_compile=mode == "train_jit")
    open_s = time.perf_counter() - start
    if mode == "train_records":
        ds = train_dataset(
            settings.records,
            settings.split,
            batch_size=settings.batch_size,
            image_size=settings.train_image_size,
            augment="crop",
            num_threads=settings.num_threads or None,
            check=settings.check,
        )
    else:
        shape = (settings.batch_size, settings.train_image_size, settings.train_image_size, 3)
        images = tf.cast(tf.random.stateless_uniform(shape, (0, 0), maxval=256, dtype=tf.int32), tf.uint8)
        ds = tf.data.Dataset.from_tensors((images, tf.zeros([settings.batch_size, num_classes]))).repeat()
    batches = iter(place_batches(ds, strategy))
    running = train_step(*next(batches))

    def step() -> tuple[tf.Tensor, tf.Tensor]:
        nonlocal running
        images, labels = next(batches)
        before, running = running, train_step(images, labels)
        before.numpy()  # waits for the step before: a device is not held up, and does not run away from the clock
        return images, labels

    running.numpy()
    first_s = time.perf_counter() - start
    rates, cpu_ms = time_batches(step, settings)
    heap_mb = max(stop()) - idle_mb
    return _row(mode, rates, cpu_ms, open_s=open_s, first_s=first_s, heap_mb=heap_mb)


def make_dataset(mode: str, settings: Settings) -> tf.data.Dataset:
    """Returns the Dataset of one of DATASET_MODES, repeating forever."""
    if mode == "empty":
        side = settings.image_size
        batch = (tf.zeros([settings.batch_size, side, side, 3], tf.uint8), tf.zeros([settings.batch_size, 20]))
        return tf.data.Dataset.from_tensors(batch).repeat()
    if mode == "read":
        return read_dataset(settings)
    if mode == "naive":
        return naive_dataset(settings)
    store, _, augment = mode.partition("+")
    return train_dataset(
        settings.resized_records if store == "resized" else settings.records,
        settings.split,
        batch_size=settings.batch_size,
        image_size=settings.image_size,
        augment=augment or "none",
        cache="decoded" if store == "decoded" else "none",
        cache_dir=settings.cache_dir if store == "decoded" else None,
        num_threads=settings.num_threads or None,
        check=settings.check,
    )


def read_dataset(settings: Settings) -> tf.data.Dataset:
    """Returns batches of serialised records, string [B], shuffled, repeating forever."""
    index = open_split(find_source(settings.records, settings.split), check=settings.check)
    table = random_access.record_table(index)
    num_examples, threads = index.num_examples, settings.num_threads or count_cores()

    def indices_of(step: tf.Tensor) -> tf.Tensor:
        batch = order.batch_of_step(step, num_examples=num_examples, batch_size=settings.batch_size, seed=0)
        return batch.indices

    ds = tf.data.Dataset.counter().map(indices_of).unbatch()
    ds = map_inline(ds, lambda i: random_access.fetch_records(table, i[None])[0], num_calls=threads + READY)
    return set_threads(ds.batch(settings.batch_size).prefetch(2), threads)


def naive_dataset(settings: Settings) -> tf.data.Dataset:
    """Returns what a tutorial would write: in record order, decoded by a parallel map, AUTOTUNE everywhere."""
    side = settings.image_size

    def decode(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features = {
            "image/encoded": tf.io.FixedLenFeature([], tf.string),
            "image/class/multi_hot": tf.io.RaggedFeature(tf.int64),
        }
        fields = tf.io.parse_single_example(record, features)
        image = tf.image.resize(tf.io.decode_jpeg(fields["image/encoded"], channels=3), [side, side])
        return tf.cast(tf.round(image), tf.uint8), tf.cast(fields["image/class/multi_hot"], tf.float32)

    paths = open_split(find_source(settings.records, settings.split), check="sizes").paths
    ds = tf.data.TFRecordDataset(list(paths)).repeat()
    return ds.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(settings.batch_size).prefetch(tf.data.AUTOTUNE)


def time_batches(next_batch: Callable[[], Any], settings: Settings) -> tuple[list[float], float]:
    """Returns images/s of each measurement and the median processor time an image in ms, after a warm-up.

    Args:
      next_batch: returns a batch: a tensor, or a tuple of tensors, whose first has the images in its first axis.
      settings: epochs and seconds count here.
    """
    rates, cpu_ms = [], []
    for _ in range(settings.epochs + 1):  # the first is the warm-up
        images, start, cpu_start = 0, time.perf_counter(), time.process_time()
        while (elapsed_s := time.perf_counter() - start) < settings.seconds or not images:
            batch = next_batch()
            images += int((batch[0] if isinstance(batch, tuple) else batch).shape[0])
        rates.append(images / elapsed_s)
        cpu_ms.append(1000 * (time.process_time() - cpu_start) / images)
    return rates[1:], statistics.median(cpu_ms[1:])


def _row(mode: str, rates: list[float], cpu_ms: float, *, open_s: float, first_s: float, heap_mb: float) -> Row:
    return Row(mode, tuple(rates), statistics.median(rates), cpu_ms, open_s, first_s, heap_mb, read_peak_mb())
