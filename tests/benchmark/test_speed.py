"""What the benchmark times is what it says it times."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.devkit_fixture import COLOURS, sample, write_devkit
from voc_tfdata.benchmark import speed
from voc_tfdata.classes import VOC_CLASSES
from voc_tfdata.convert.build import build_records
from voc_tfdata.pipeline.dataset import train_dataset
from voc_tfdata.records.examples import decode_example
from voc_tfdata.records.manifest import read_manifest
from voc_tfdata.records.tfrecord import iterate_ids

NAMES = {"a": "dog", "b": "cat", "c": "car", "d": "bus", "e": "cow"}


@pytest.fixture(scope="module")
def records_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images of one colour each: COLOURS, in the order of NAMES."""
    folder = tmp_path_factory.mktemp("speed")
    root = write_devkit(folder / "VOC", {i: sample(name) for i, name in NAMES.items()})
    build_records(root, folder / "records", split_ratios="train=1", num_workers=1, num_shards=2)
    return folder / "records"


def settings_of(records_dir: Path | str, **values) -> speed.Settings:
    values = {"batch_size": 2, "image_size": 8, "epochs": 3, "seconds": 0.0, "check": "sizes"} | values
    return speed.Settings(records=str(records_dir), **values)


def test_a_rate_is_images_over_seconds_and_the_warm_up_is_not_in_it() -> None:
    batches = []

    def next_batch() -> tuple[tf.Tensor, tf.Tensor]:
        batches.append(tf.zeros([10, 1]))
        time.sleep(1.0 if len(batches) == 1 else 0.02)
        return batches[-1], tf.zeros([3])

    # seconds=0: a measurement is one batch of 10 images, which takes 0.02 s and some: under 500 images/s. The warm-up's
    # batch of 1 s, 10 images/s, is the first of four.
    rates, cpu_ms = speed.time_batches(next_batch, settings_of(""))
    assert len(batches) == 4 and len(rates) == 3
    assert all(11 < rate < 500 for rate in rates)
    assert cpu_ms < 1.5  # sleeping takes 2 ms an image, but no processor


def test_a_measurement_goes_on_until_its_seconds_have_passed() -> None:
    start = time.perf_counter()
    speed.time_batches(lambda: tf.zeros([1]), settings_of("", epochs=2, seconds=0.1))
    assert 0.3 <= time.perf_counter() - start < 60  # the warm-up and two measurements


def test_reading_delivers_the_bytes_of_every_record_once_an_epoch(records_dir: Path) -> None:
    # 5 records in batches of 2 are 3 steps; the last one's second row is filled up with a record of the same batch.
    batches = list(speed.read_dataset(settings_of(records_dir)).take(3).as_numpy_iterator())
    ids = [decode_example(payload)["image/source_id"][0].decode() for batch in batches for payload in batch]
    assert sorted(ids[:5]) == ["a", "b", "c", "d", "e"]
    assert ids[5] == ids[4]


def test_the_naive_pipeline_delivers_pictures_and_labels_in_record_order(records_dir: Path) -> None:
    ids = tuple(iterate_ids(records_dir, read_manifest(records_dir).splits["train"]))
    images, labels = next(iter(speed.naive_dataset(settings_of(records_dir, batch_size=5))))
    assert images.dtype == tf.uint8 and images.shape == (5, 8, 8, 3)
    for i, image_id in enumerate(ids):
        assert [VOC_CLASSES[k] for k in np.flatnonzero(labels[i])] == [NAMES[image_id]]
        colour = COLOURS[list(NAMES).index(image_id)]
        assert np.abs(images[i].numpy().astype(int) - colour).max() <= 4  # what JPEG does to a plain colour


@pytest.mark.parametrize("mode, options", [("original", {}), ("original+flip", {"augment": "flip"})])
def test_a_mode_is_train_dataset_with_its_options(records_dir: Path, mode: str, options: dict) -> None:
    ours = speed.make_dataset(mode, settings_of(records_dir, batch_size=5))
    wanted = train_dataset(records_dir, batch_size=5, image_size=8, **options)
    for got, want in zip(ours.take(2), wanted.take(2), strict=True):
        np.testing.assert_array_equal(got[0], want[0])
        np.testing.assert_array_equal(got[1], want[1])


def test_resized_modes_read_the_resized_records(records_dir: Path) -> None:
    settings = settings_of("not there", resized_records=str(records_dir))
    images, _ = next(iter(speed.make_dataset("resized", settings)))
    assert images.shape == (2, 8, 8, 3)
    with pytest.raises(FileNotFoundError, match="not there"):
        speed.make_dataset("original", settings)


def test_a_row_holds_the_median_and_opening_comes_before_the_first_batch(records_dir: Path) -> None:
    row = speed.measure_dataset("original", settings_of(records_dir))
    assert row.mode == "original" and len(row.images_per_s) == 3
    assert row.median == sorted(row.images_per_s)[1]
    assert 0 < row.open_s < row.first_s
    assert row.heap_mb < row.peak_mb


def test_all_modes_are_measured_but_those_without_records() -> None:
    assert speed.choose_modes(settings_of("x"), []) == [m for m in speed.MODES if not m.startswith("resized")]
    assert speed.choose_modes(settings_of("x", resized_records="y"), []) == list(speed.MODES)


def test_modes_are_measured_in_the_tables_order() -> None:
    assert speed.choose_modes(settings_of("x"), ["naive", "read"]) == ["read", "naive"]


def test_a_wrong_mode_is_refused_with_the_right_ones() -> None:
    with pytest.raises(ValueError, match="no mode 'red'; modes: empty, read, original"):
        speed.choose_modes(settings_of("x"), ["red"])
    with pytest.raises(ValueError, match="'resized.flip' needs --resized_records"):
        speed.choose_modes(settings_of("x"), ["resized+flip"])


@pytest.mark.slow
def test_a_training_step_is_timed_in_the_precision_of_its_mode(records_dir: Path) -> None:
    settings = settings_of(records_dir, train_image_size=32, epochs=1)
    for mode in speed.TRAIN_MODES:
        row = speed.measure_training(mode, settings)
        assert row.mode == mode and row.median > 0
        assert 0 < row.open_s < row.first_s
