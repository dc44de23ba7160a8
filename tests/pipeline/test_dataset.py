"""train_dataset, eval_dataset, read_examples: what they deliver, in which order, and what they refuse."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.devkit_fixture import difficult, draw_noise, encode, sample, write_devkit
from tests.paths import ROOT
from voc_tfdata.convert.build import build_records
from voc_tfdata.pipeline.dataset import epoch_steps, eval_dataset, read_examples, train_dataset

SIZE = 32
COUNTS = {"train": 22, "val": 6, "test": 4}
CAT, DOG, PERSON = 7, 11, 14


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 images of noise, each another one; every fourth shows a cat as 'difficult' only."""
    folder = tmp_path_factory.mktemp("dataset")
    samples = {
        f"im{k:02d}": sample(
            "dog" if k % 2 else "person",
            *([difficult("cat")] if k % 4 == 0 else []),
            picture=encode(draw_noise(40 + k, 60 - k, seed=k), "JPEG"),
        )
        for k in range(32)
    }
    root = write_devkit(folder / "VOC", samples)
    build_records(
        root, folder / "records", split_ratios="train=0.6875,val=0.1875,test=0.125", num_shards=3, num_workers=1
    )
    return folder / "records"


def take(ds: tf.data.Dataset, steps: int) -> list[tuple[np.ndarray, ...]]:
    return [tuple(t.numpy() for t in batch) for batch in ds.take(steps)]


def assert_equal_batches(found: list, wanted: list) -> None:
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def ids_of(batches: list[tuple[np.ndarray, ...]]) -> list[str]:
    return [image_id.decode() for batch in batches for image_id in batch[-1]]


def test_no_source_is_read_again_when_a_data_set_is_made(records: Path, tmp_path: Path) -> None:
    # Autograph writes what it converts to TMPDIR, and takes it away at the end.
    program = f"""if True:
        import os
        from voc_tfdata import eval_dataset, read_examples, train_dataset
        for cache in ("none", "decoded"):
            for augment in ("none", "crop"):
                options = dict(batch_size=4, image_size=8, cache=cache, cache_dir={str(tmp_path / "store")!r})
                next(iter(train_dataset({str(records)!r}, augment=augment, **options)))
                next(iter(eval_dataset({str(records)!r}, "train", with_ids=True, **options)))
        next(iter(read_examples({str(records)!r}, "train")))
        print([name for name in os.listdir({str(tmp_path)!r}) if "autograph" in name])
    """
    env = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_batches_have_the_documented_shapes(records: Path) -> None:
    images, labels = take(train_dataset(records, batch_size=4, image_size=SIZE), 1)[0]
    assert images.shape == (4, SIZE, SIZE, 3) and images.dtype == np.uint8
    assert labels.shape == (4, 20) and labels.dtype == np.float32
    assert train_dataset(records, batch_size=4, image_size=SIZE).cardinality() == tf.data.INFINITE_CARDINALITY


def test_an_epoch_delivers_every_picture_once_and_the_next_another_order(records: Path) -> None:
    steps = epoch_steps(records, batch_size=4)
    assert steps == 6  # 22 images: five batches of 4, one of 2
    batches = take(train_dataset(records, batch_size=4, image_size=SIZE, with_ids=True), 3 * steps)
    epochs = [ids_of(batches[k * steps : (k + 1) * steps]) for k in range(3)]
    assert [len(b[0]) for b in batches[:steps]] == [4, 4, 4, 4, 4, 2]
    assert all(sorted(epoch) == sorted(epochs[0]) and len(set(epoch)) == 22 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_dropping_the_remainder_gives_full_batches_only(records: Path) -> None:
    ds = train_dataset(records, batch_size=4, image_size=SIZE, drop_remainder=True, with_ids=True)
    assert ds.element_spec[0].shape == (4, SIZE, SIZE, 3)  # static
    assert [len(b[0]) for b in take(ds, 10)] == [4] * 10
    assert epoch_steps(records, batch_size=4, drop_remainder=True) == 5


@pytest.mark.parametrize("cache", ["none", "decoded"])
@pytest.mark.parametrize("augment, jitter", [("none", 0.0), ("flip", 0.0), ("crop", 0.0), ("crop", 0.4)])
def test_start_step_goes_on_bit_for_bit(records: Path, tmp_path: Path, augment: str, jitter: float, cache: str) -> None:
    def make(start_step: int) -> tf.data.Dataset:
        return train_dataset(
            records,
            batch_size=5,
            image_size=SIZE,
            seed=3,
            start_step=start_step,
            augment=augment,
            color_jitter=jitter,
            cache=cache,
            cache_dir=tmp_path,
            with_ids=True,
        )

    unbroken = take(make(0), 12)  # more than two epochs of 5 steps
    for k in (1, 5, 7):
        assert_equal_batches(take(make(k), 12 - k), unbroken[k:])


@pytest.mark.parametrize("augment", ["none", "flip", "crop"])
def test_threads_do_not_change_what_is_delivered(records: Path, augment: str) -> None:
    one, four = (
        take(train_dataset(records, batch_size=5, image_size=SIZE, augment=augment, num_threads=n, with_ids=True), 7)
        for n in (1, 4)
    )
    assert_equal_batches(one, four)


@pytest.mark.parametrize("augment", ["none", "flip"])
def test_the_decoded_store_delivers_the_same_pictures(records: Path, tmp_path: Path, augment: str) -> None:
    plain, stored = (
        take(
            train_dataset(
                records,
                batch_size=5,
                image_size=SIZE,
                augment=augment,
                cache=cache,
                cache_dir=tmp_path,
                difficult="ignore",
                with_ids=True,
            ),
            7,
        )
        for cache in ("none", "decoded")
    )
    assert_equal_batches(stored, plain)


def test_windows_from_the_store_come_in_the_same_order_with_the_same_labels(records: Path, tmp_path: Path) -> None:
    plain, stored = (
        take(
            train_dataset(
                records,
                batch_size=5,
                image_size=SIZE,
                augment="crop",
                cache=cache,
                cache_dir=tmp_path,
                with_ids=True,
            ),
            7,
        )
        for cache in ("none", "decoded")
    )
    assert_equal_batches([batch[1:] for batch in stored], [batch[1:] for batch in plain])
    assert stored[0][0].shape == (5, SIZE, SIZE, 3)


def test_flips_mirror_about_half_of_the_pictures(records: Path) -> None:
    plain = {i: image for i, image in _pictures(records, augment="none")}
    flipped = 0
    pictures = _pictures(records, augment="flip")
    for image_id, image in pictures:
        if not (image == plain[image_id]).all():
            assert (image == plain[image_id][:, ::-1]).all()
            flipped += 1
    assert 3 <= flipped <= 19  # of 22; the seed is fixed


def _pictures(records: Path, **options: str) -> list[tuple[bytes, np.ndarray]]:
    batches = take(train_dataset(records, batch_size=4, image_size=SIZE, with_ids=True, **options), 6)
    return [(i, image) for images, _, ids in batches for image, i in zip(images, ids, strict=True)]


@pytest.mark.parametrize("num_hosts, batch_size", [(2, 8), (3, 8), (4, 8), (4, 21)])  # of 21 the last batch is 1
def test_hosts_share_each_global_batch(records: Path, num_hosts: int, batch_size: int) -> None:
    options: dict = {"batch_size": batch_size, "image_size": SIZE, "augment": "crop", "with_ids": True}
    whole = take(train_dataset(records, **options), 6)
    hosts = [take(train_dataset(records, **options, shard=(host, num_hosts)), 6) for host in range(num_hosts)]
    joined = [tuple(np.concatenate([host[k][t] for host in hosts]) for t in range(3)) for k in range(6)]
    assert_equal_batches(joined, whole)


def test_evaluation_is_finite_complete_and_in_record_order(records: Path) -> None:
    ds = eval_dataset(records, "val", batch_size=4, image_size=SIZE, with_ids=True)
    assert len(ds) == 2  # 6 images: 4 and 2
    batches = take(ds, 9)
    assert ids_of(batches) == (records / "voc-val-ids.txt").read_text().split()
    assert [len(b[0]) for b in batches] == [4, 2]
    assert_equal_batches(take(ds, 9), batches)  # a second time the same


def test_the_batch_size_changes_no_picture_of_the_evaluation(records: Path, tmp_path: Path) -> None:
    joined = []
    for batch_size, cache in ((1, "none"), (64, "none"), (8, "none"), (9, "none"), (4, "decoded")):
        ds = eval_dataset(
            records, "val+test", batch_size=batch_size, image_size=SIZE, with_ids=True, cache=cache, cache_dir=tmp_path
        )
        batches = take(ds, 99)
        joined.append([tuple(np.concatenate([b[t] for b in batches]) for t in range(3))])
    assert len(joined[0][0][0]) == 10
    for other in joined[1:]:
        assert_equal_batches(other, joined[0])


@pytest.mark.parametrize("choice, cat", [("positive", 1), ("ignore", -1), ("negative", 0)])
def test_a_class_of_difficult_objects_is_what_was_asked_for(records: Path, choice: str, cat: int) -> None:
    ds = eval_dataset(records, "train+val+test", image_size=SIZE, difficult=choice, with_ids=True)
    found = {i.decode(): labels for _, y, ids in take(ds, 9) for labels, i in zip(y, ids, strict=True)}
    assert len(found) == 32
    for k in range(32):
        wanted = np.zeros(20)
        wanted[DOG if k % 2 else PERSON] = 1
        wanted[CAT] = cat if k % 4 == 0 else 0
        assert found[f"im{k:02d}"].tolist() == wanted.tolist()


def test_read_examples_streams_all_fields_in_record_order(records: Path) -> None:
    ds = read_examples(records, "test+val")
    assert len(ds) == 10
    ids = [e["image/source_id"].numpy().decode() for e in ds]
    assert ids == ((records / "voc-test-ids.txt").read_text() + (records / "voc-val-ids.txt").read_text()).split()


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_record_that_went_bad_after_opening_is_named(records: Path, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in records.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    ds = eval_dataset(copy, "train", batch_size=4, image_size=SIZE)
    shard = copy / "voc-train-00001-of-00003.tfrecord"
    if damage == "gone":
        shard.unlink()
    elif damage == "cut":
        os.truncate(shard, 100)
    else:
        data = bytearray(shard.read_bytes())
        data[300] ^= 1
        shard.write_bytes(data)
    with pytest.raises(tf.errors.InvalidArgumentError, match="record.*0.*of.*voc-train-00001-of-00003.*--verify"):
        take(ds, 99)
    assert 0 < len(take(ds.ignore_errors(), 99)) < len(ds)  # whoever goes on in spite of it comes to an end


@pytest.mark.parametrize(
    "options, message",
    [
        ({"split": "tain"}, "no split 'tain'.*it has: train, val, test"),
        ({"split": "train+train"}, "twice"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"image_size": 0}, "image_size=0"),
        ({"augment": "flop"}, "augment='flop'; it is one of: none, flip, crop"),
        ({"resize": "x"}, "resize='x'"),
        ({"difficult": "x"}, "difficult='x'"),
        ({"cache": "x"}, "cache='x'"),
        ({"check": "x"}, "check='x'"),
        ({"shard": (2, 2)}, "shard"),
        ({"start_step": -1}, "start_step=-1"),
        ({"color_jitter": 2.0}, "color_jitter=2.0"),
        ({"batch_size": 64, "drop_remainder": True}, "leaves no batch of 22 examples"),
        ({"batch_size": 2, "shard": (0, 3)}, "batch_size=2 is over all hosts"),
    ],
)
def test_wrong_arguments_are_refused_with_what_is_allowed(records: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_dataset(records, **options)


def test_no_records_is_an_error_that_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run: build_tfrecords"):
        train_dataset(tmp_path)


def test_it_runs_under_model_fit_and_in_a_tf_function(records: Path) -> None:
    model = tf.keras.Sequential([tf.keras.layers.Flatten(), tf.keras.layers.Dense(20, activation="sigmoid")])
    model.compile("sgd", "binary_crossentropy")
    ds = train_dataset(records, batch_size=4, image_size=SIZE)
    val = eval_dataset(records, "val", batch_size=4, image_size=SIZE)
    history = model.fit(ds, steps_per_epoch=6, epochs=2, validation_data=val, verbose=0, shuffle=False)
    assert len(history.history["val_loss"]) == 2

    @tf.function
    def count(batches: tf.data.Dataset) -> tf.Tensor:
        total = tf.constant(0)
        for images, _ in batches:
            total += tf.shape(images)[0]
        return total

    assert count(ds.take(6)) == 22


def test_it_runs_in_a_data_service_worker(records: Path) -> None:
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer(service.DispatcherConfig(port=0))
    address = dispatcher.target.split("://")[1]
    worker = service.WorkerServer(service.WorkerConfig(dispatcher_address=address, port=0))
    assert worker is not None
    for ds in (
        eval_dataset(records, "train", batch_size=4, image_size=SIZE, with_ids=True),
        train_dataset(records, batch_size=4, image_size=SIZE, augment="crop", color_jitter=0.4, with_ids=True),
    ):
        remote = ds.apply(service.distribute(processing_mode=service.ShardingPolicy.OFF, service=dispatcher.target))
        assert_equal_batches(take(remote, 9), take(ds, 9))


def test_it_runs_under_a_distribution_strategy(records: Path) -> None:
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    batches = iter(
        strategy.distribute_datasets_from_function(
            lambda context: train_dataset(records, batch_size=4, image_size=SIZE, shard=context, with_ids=True)
        )
    )
    found = [tuple(t.numpy() for t in next(batches)) for _ in range(7)]
    assert_equal_batches(found, take(train_dataset(records, batch_size=4, image_size=SIZE, with_ids=True), 7))


@pytest.mark.parametrize("cache", ["none", "decoded"])
def test_iterators_can_be_saved_in_a_checkpoint(records: Path, tmp_path: Path, cache: str) -> None:
    ds = train_dataset(
        records, batch_size=4, image_size=SIZE, augment="flip", cache=cache, cache_dir=tmp_path / "cache"
    )
    batches, resumed = iter(ds), iter(ds)
    next(batches)
    tf.train.Checkpoint(batches=resumed).read(tf.train.Checkpoint(batches=batches).write(str(tmp_path / "saved")))
    assert_equal_batches(
        [tuple(t.numpy() for t in next(resumed)) for _ in range(6)],
        [tuple(t.numpy() for t in next(batches)) for _ in range(6)],
    )


def test_an_input_context_is_a_host_of_several(records: Path) -> None:
    context = tf.distribute.InputContext(num_input_pipelines=2, input_pipeline_id=1, num_replicas_in_sync=2)
    found = take(train_dataset(records, batch_size=8, image_size=SIZE, shard=context, with_ids=True), 3)
    wanted = take(train_dataset(records, batch_size=8, image_size=SIZE, shard=(1, 2), with_ids=True), 3)
    assert_equal_batches(found, wanted)
