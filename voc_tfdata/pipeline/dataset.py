"""train_dataset, eval_dataset, read_examples: a folder of records as an ordinary tf.data.Dataset.

train_ds = train_dataset("records/voc2012", batch_size=32, image_size=224, seed=0)      # repeats forever
val_ds = eval_dataset("records/voc2012", "val", batch_size=32, image_size=224)          # finite, in record order
model.fit(train_ds, steps_per_epoch=epoch_steps("records/voc2012", batch_size=32), validation_data=val_ds)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from voc_tfdata.image_size import ImageSize, read_size
from voc_tfdata.machine import count_cores
from voc_tfdata.pipeline import arguments, loading, order, own_augment, random_access, store_batches
from voc_tfdata.pipeline.data_service import distribute_steps, read_address
from voc_tfdata.pipeline.loading import set_threads
from voc_tfdata.pipeline.raw_ops import map_inline
from voc_tfdata.records import examples
from voc_tfdata.records.manifest import Split
from voc_tfdata.records.split_source import Records, SplitSource, find_source, iterate_source_ids, open_split
from voc_tfdata.records.streaming import stream_records
from voc_tfdata.remote.addresses import is_uri

_PREFETCH = 3  # batches; 2 made 6 % fewer of a decoded store, 4 no more


def train_dataset(
    records_dir: Records,
    split: str = "train",
    *,
    batch_size: int = 32,
    image_size: ImageSize = 224,
    seed: int = 0,
    start_step: int = 0,
    shard: tuple[int, int] | tf.distribute.InputContext = (0, 1),
    epochs: int | None = None,
    augment: str | own_augment.Augment = "none",
    color_jitter: float = 0.0,
    resize: str = "bilinear",
    difficult: str = "positive",
    with_ids: bool = False,
    cache: str = "none",
    cache_dir: str | Path | None = None,
    drop_remainder: bool = False,
    num_threads: int | None = None,
    check: str = "checksums",
    data_service: str = "",
) -> tf.data.Dataset:
    """Returns training batches of one split, shuffled and augmented, repeating forever or for some epochs.

    An epoch delivers every example once, in an order of its own; epoch_steps says how many batches it has. What a
    step delivers depends on (seed, step) alone, on neither num_threads nor cache; begun at start_step, the data set
    gives bit for bit what an unbroken one gives from there on.

    Args:
      records_dir: folder written by build_records, or its URI (s3://, gs://, http://, ...) with a cache_dir. Several
        (a list, or "records/voc2007,records/voc2012") are read as one; their classes must be the same.
      split: "train", or a union such as "train+val"; of several data sets each, or one for each: "train+val,train".
      batch_size: of the global batch, over all hosts.
      image_size: side of the images, or (height, width), in pixels.
      seed: fixes order and augmentation; any int64.
      start_step: the step to begin with, counted over all epochs; for resuming.
      shard: (host, number of hosts), or the InputContext that distribute_datasets_from_function passes. Each host
        delivers its part of every global batch, and the global batches are the same for any number of hosts.
      epochs: after which it ends, counted from step 0; None: never. model.fit without steps_per_epoch needs an end: it
        calls the whole data set one epoch.
      augment: "none"; "flip": each image is mirrored or not, at even odds; "crop": a random window of 8 to 100 % of
        the area and aspect 3/4 to 4/3 is resized (Inception), then flipped so. With cache="decoded", "crop" takes a
        random window of image_size from images stored at 8/7 of that. Or a function of (image uint8 [H, W, 3], seed
        int32 [2]) that returns such an image, of TensorFlow operations that are random by the seed alone (those of
        tf.image that are named stateless): the seed is another for each image and epoch, and the same on every run.
      color_jitter: brightness, contrast and saturation are changed by factors uniform in 1 +- color_jitter; 0 to 1.
      resize: "bilinear" as cv2.resize does it; "antialias" as Pillow does it; "pad" does that too, with the aspect
        kept and black around.
      difficult: the label of a class with difficult objects only: "positive" 1, "ignore" -1 (neither loss nor metric
        is to count it), "negative" 0.
      with_ids: whether to deliver the image ids, too.
      cache: "none" decodes each image whenever it is delivered; "decoded" decodes all of them once into a file of
        uint8 pixels (with augment, of twice the size: mirror images are stored) and maps that into memory.
      cache_dir: local folder of that file (records_dir/decoded by default), and of the mirror of remote records, which
        is made once: shard by shard, verified, shared by all processes.
      drop_remainder: whether an epoch leaves out its last, partial batch; all batches are of one shape then. Without
        it hosts share that batch, too: if it has fewer examples than there are hosts, some deliver empty ones.
      num_threads: that decode; by default as many as the process has cores.
      check: how the files are checked here: "checksums", or "sizes" only. Each record is checked again when read.
      data_service: "grpc://host:port" of a dispatcher of voc_tfdata data-service: its workers make the batches, each
        with num_threads, and must find records and store at the same path. The batches and their order are the same;
        a worker that died ends the iteration, see module data_service.

    Returns:
      Dataset of (images uint8 [B, H, W, 3] RGB, labels float32 [B, C]), and ids (string [B]) if asked for. B is the
      host's part of the batch.

    Raises:
      FileNotFoundError: records_dir has no manifest.json, or a file is missing.
      TypeError: an argument is of a wrong type.
      ValueError: an argument is out of its range, or the files are not what the manifest says.
      OSError: the decoded store cannot be written.
      ConnectionError, RuntimeError: the data service, or a worker of it, does not answer, or does not know its workers.
      ImportError, PermissionError, ConnectionError, OSError: the records are remote and cannot be mirrored; see
        mirror.localize.
      tf.errors.InvalidArgumentError: while iterating: a record is damaged or gone; the message names shard and record.
    """
    host, num_hosts = arguments.read_shard(shard, batch_size)
    arguments.check_numbers(batch_size=batch_size, num_threads=num_threads, epochs=epochs)
    named = "none" if callable(augment) else augment
    arguments.check_choices(resize=resize, difficult=difficult, cache=cache, augment=named)
    arguments.check_ranges(start_step=start_step, seed=seed, color_jitter=color_jitter)
    if data_service:
        read_address(data_service)
    source = find_source(records_dir, split, cache_dir=cache_dir)
    num_steps = order.steps_in_epoch(source.num_examples, batch_size, drop_remainder=drop_remainder)
    partial = num_steps * batch_size > source.num_examples
    delivery = loading.Delivery(
        num_classes=len(source.classes),
        label_names=source.label_names,
        image_size=read_size(image_size),
        resize=resize,
        augment=named,
        color_jitter=color_jitter,
        difficult=difficult,
        num_threads=num_threads or count_cores(),
    )
    plan = _plan_steps(
        source.num_examples,
        batch_size=batch_size,
        seed=seed,
        shard=(host, num_hosts),
        drop_remainder=drop_remainder,
        num_draws=loading.count_draws(named, color_jitter, cache) + own_augment.NUM_DRAWS * callable(augment),
    )
    share = order.host_share(batch_size, (host, num_hosts))
    load = _make_loader(
        source, plan, delivery, share=share, partial=partial, cache=cache, cache_dir=cache_dir, check=check
    )
    if callable(augment):
        load = own_augment.augmenting(load, plan, delivery, augment)
    length = None if epochs is None else max(0, epochs * num_steps - start_step)
    ds = _run_steps(load, start_step, length, data_service=data_service, num_threads=delivery.num_threads)
    return _finish(ds, source, delivery, with_ids=with_ids)


def _run_steps(
    load: Callable[[tf.data.Dataset], tf.data.Dataset],
    start_step: int,
    length: int | None,
    *,
    data_service: str,
    num_threads: int,
) -> tf.data.Dataset:
    """Returns the batches of `length` steps, or of all from start_step on, made here or by a data service."""
    if data_service:
        ds = distribute_steps(lambda steps: set_threads(load(steps), num_threads), data_service, start_step=start_step)
    else:
        ds = load(tf.data.Dataset.counter(start_step))
    if length is None:
        return ds.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    return ds.take(length).apply(tf.data.experimental.assert_cardinality(length))


def _make_loader(
    source: SplitSource,
    plan: Callable[[tf.Tensor], loading.StepPlan],
    delivery: loading.Delivery,
    *,
    share: int,
    partial: bool,
    cache: str,
    cache_dir: str | Path | None,
    check: str,
) -> Callable[[tf.data.Dataset], tf.data.Dataset]:
    """Returns the function from steps to batches: out of the decoded store, or of the records."""
    if cache == "decoded":
        store = store_batches.open_split_store(source, delivery, cache_dir=cache_dir, check=check)
        return lambda steps: store_batches.gather_planned(store, steps, plan, delivery, partial=partial)
    index = open_split(source, check=check)
    return lambda steps: loading.load_planned(steps, plan, index, delivery, share=share, partial=partial)


def _plan_steps(
    num_examples: int, *, batch_size: int, seed: int, shard: tuple[int, int], drop_remainder: bool, num_draws: int
) -> Callable[[tf.Tensor], loading.StepPlan]:
    """Returns the function that says what a step delivers: it depends on these numbers alone."""

    def plan(step: tf.Tensor) -> loading.StepPlan:
        batch = order.batch_of_step(
            step,
            num_examples=num_examples,
            batch_size=batch_size,
            seed=seed,
            shard=shard,
            drop_remainder=drop_remainder,
        )
        draws = order.uniform_draws(batch.indices, batch.epoch, num_draws=num_draws, seed=seed)
        return loading.StepPlan(batch.indices, draws, batch.count)

    return plan


def eval_dataset(
    records_dir: Records,
    split: str,
    *,
    batch_size: int = 32,
    image_size: ImageSize = 224,
    resize: str = "bilinear",
    difficult: str = "positive",
    with_ids: bool = False,
    cache: str = "none",
    cache_dir: str | Path | None = None,
    num_threads: int | None = None,
    check: str = "checksums",
) -> tf.data.Dataset:
    """Returns every example of one split once, in record order, the last partial batch included.

    Args:
      records_dir: folder written by build_records, or its URI with a cache_dir.
      split: "val", or a union such as "val+test".
      batch_size: images of a batch.
      image_size: side of the images, or (height, width), in pixels.
      resize: see train_dataset, as all that follow.
      difficult: 1, -1 or 0 for a class with difficult objects only.
      with_ids: whether to deliver the image ids, too.
      cache: "none" or "decoded".
      cache_dir: folder of the decoded store and of the mirror.
      num_threads: that decode.
      check: "checksums" or "sizes".

    Returns:
      Dataset of (images uint8 [B, H, W, 3] RGB, labels float32 [B, C]), and ids (string [B]) if asked for; len() is
      the number of batches.

    Raises:
      See train_dataset.
    """
    arguments.check_numbers(batch_size=batch_size, num_threads=num_threads)
    arguments.check_choices(resize=resize, difficult=difficult, cache=cache)
    source = find_source(records_dir, split, cache_dir=cache_dir)
    delivery = loading.Delivery(
        num_classes=len(source.classes),
        label_names=source.label_names,
        image_size=read_size(image_size),
        resize=resize,
        difficult=difficult,
        num_threads=num_threads or count_cores(),
    )
    if cache == "decoded":
        store = store_batches.open_split_store(source, delivery, cache_dir=cache_dir, check=check)
        ds = store_batches.gather_in_order(store, delivery, batch_size=batch_size)
    else:
        ds = loading.load_in_order(open_split(source, check=check), delivery, batch_size=batch_size)
    return _finish(ds, source, delivery, with_ids=with_ids)


def epoch_steps(records_dir: Records, split: str = "train", *, batch_size: int, drop_remainder: bool = False) -> int:
    """Returns how many batches train_dataset takes to deliver a split once. Of a URI, it reads the manifest only.

    Raises:
      FileNotFoundError: records_dir has no manifest.json.
      ValueError: unknown split, batch_size below 1, or drop_remainder leaves no batch.
    """
    arguments.check_numbers(batch_size=batch_size)
    num_examples = find_source(records_dir, split, stream=True).num_examples
    return order.steps_in_epoch(num_examples, batch_size, drop_remainder=drop_remainder)


def read_examples(records_dir: Records, split: str, *, cache_dir: str | Path | None = None) -> tf.data.Dataset:
    """Returns every field of every record of one split, streamed in record order.

    Args:
      records_dir: folder written by build_records, or its URI: streamed over the network, or mirrored into cache_dir.
      split: "train", or a union such as "train+val".
      cache_dir: local folder for the mirror of a URI; without it nothing is kept.

    Returns:
      Dataset of the dicts of parse_example; len() is the number of records.

    Raises:
      FileNotFoundError: records_dir has no manifest.json.
      ValueError: unknown or empty split.
      ImportError, PermissionError, ConnectionError, OSError: the records are remote and cannot be read.
      tf.errors.OpError: while iterating: a record is damaged or gone; the message names shard and record.
    """
    source = find_source(records_dir, split, cache_dir=cache_dir, stream=not cache_dir)
    ds = functools.reduce(tf.data.Dataset.concatenate, [_read_part(*part) for part in source.parts])

    @tf.autograph.experimental.do_not_convert
    def parse(record: tf.Tensor) -> dict[str, tf.Tensor]:
        return examples.parse_example(record, num_classes=len(source.classes), classes=source.label_names)

    return ds.map(parse).apply(tf.data.experimental.assert_cardinality(source.num_examples))


def _read_part(records_dir: str, split: Split) -> tf.data.Dataset:
    if is_uri(records_dir):
        return stream_records(records_dir, split.shards)
    return random_access.read_in_order(Path(records_dir), split.shards)


def _finish(ds: tf.data.Dataset, source: SplitSource, delivery: loading.Delivery, *, with_ids: bool) -> tf.data.Dataset:
    """Returns (images, labels[, ids]) of (images, labels, indices)."""
    if with_ids:
        with tf.device("CPU:0"):
            table = tf.constant(list(iterate_source_ids(source)))
        ds = map_inline(ds, lambda images, labels, indices: (images, labels, tf.gather(table, indices)))
    else:
        ds = map_inline(ds, lambda images, labels, indices: (images, labels))
    return set_threads(ds.prefetch(_PREFETCH), delivery.num_threads)
