"""A user's own augmentation, an end after some epochs, and a look at a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.devkit_fixture import difficult, draw_noise, encode, sample, write_devkit
from voc_tfdata.convert.build import build_records
from voc_tfdata.pipeline.dataset import epoch_steps, train_dataset
from voc_tfdata.pipeline.preview import draw_batch, preview

OPTIONS: dict[str, Any] = {"batch_size": 4, "image_size": 24, "with_ids": True}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    samples = {
        f"{k}": sample("dog", difficult("cat"), picture=encode(draw_noise(40, 30, seed=k), "JPEG")) for k in range(10)
    }
    root = write_devkit(folder / "VOC", samples)
    build_records(root, folder / "records", split_ratios="train=1", num_workers=1)
    return folder / "records"


def add_noise(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """With control flow, which a user's function may have."""
    assert image.shape == (24, 24, 3) and image.dtype == tf.uint8
    noise = tf.random.stateless_uniform([24, 24, 3], seed, 0, 2, tf.int32)
    odd = tf.equal(tf.random.stateless_uniform([], seed, 0, 2, tf.int32), 1)
    return tf.cond(odd, lambda: image // 2 + tf.cast(noise, tf.uint8), lambda: 255 - image // 4)


def run(records: Path, **options: Any) -> list[tuple[np.ndarray, ...]]:
    ds = train_dataset(records, **(OPTIONS | options))
    return list((ds if options.get("epochs") else ds.take(6)).as_numpy_iterator())


@pytest.mark.parametrize("cache", ["none", "decoded"])
def test_a_function_of_image_and_seed_changes_each_image_by_its_own_seed(records: Path, cache: str) -> None:
    plain, changed = run(records, cache=cache), run(records, cache=cache, augment=add_noise)
    seen = []
    for (images, labels, ids), (own, own_labels, own_ids) in zip(plain, changed, strict=True):
        np.testing.assert_array_equal(labels, own_labels)
        np.testing.assert_array_equal(ids, own_ids)
        for image, other in zip(images, own, strict=True):
            darker = np.isin(other - image // 2, (0, 1)).all()
            assert darker or (other == 255 - image // 4).all()
            seen.append((other - image // 2).tobytes() if darker else b"")
    assert 0 < sum(map(bool, seen)) < len(seen)
    assert len(set(filter(None, seen))) == sum(map(bool, seen))  # another seed for each image and epoch


def test_it_is_exact_for_any_threads_cache_start_and_hosts(records: Path) -> None:
    wanted = run(records, augment=add_noise, num_threads=1)
    for options in ({"num_threads": 3}, {"cache": "decoded"}):
        for one, other in zip(wanted, run(records, augment=add_noise, **options), strict=True):
            np.testing.assert_array_equal(one[0], other[0])
    (late,) = train_dataset(records, **OPTIONS, augment=add_noise, start_step=4).take(1).as_numpy_iterator()
    np.testing.assert_array_equal(late[0], wanted[4][0])
    hosts = [run(records, augment=add_noise, shard=(host, 2)) for host in range(2)]
    for step in range(6):
        both = np.concatenate([hosts[0][step][0], hosts[1][step][0]])
        assert {image.tobytes() for image in both} == {image.tobytes() for image in wanted[step][0]}


def test_with_colour_jitter_the_function_comes_last(records: Path) -> None:
    jittered = run(records, color_jitter=0.5)
    both = run(records, color_jitter=0.5, augment=lambda image, seed: 255 - image)
    for one, other in zip(jittered, both, strict=True):
        np.testing.assert_array_equal(255 - one[0], other[0])


def test_what_returns_something_else_is_told(records: Path) -> None:
    for function, message in (
        (lambda image, seed: tf.cast(image, tf.float32), r"returns float32 \(24, 24, 3\); it must return uint8"),
        (lambda image, seed: (image, seed), "returns tuple; it must return uint8"),
        (lambda image, seed: image[:20], r"returns uint8 \(20, 24, 3\); it must return uint8 \(24, 24, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            train_dataset(records, **OPTIONS, augment=function)


def test_it_ends_after_epochs(records: Path) -> None:
    steps = epoch_steps(records, batch_size=4)
    ds = train_dataset(records, **OPTIONS, epochs=2)
    assert steps == 3 and len(ds) == 6
    found = list(ds.as_numpy_iterator())
    for one, other in zip(found, run(records), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
    assert sorted(found[k][2].tolist() for k in range(3)) != sorted(found[k][2].tolist() for k in range(3, 6))
    assert len(train_dataset(records, **OPTIONS, epochs=2, start_step=5)) == 1
    assert list(train_dataset(records, **OPTIONS, epochs=2, start_step=6)) == []
    with pytest.raises(ValueError, match="epochs=0; it must be 1 or more"):
        train_dataset(records, **OPTIONS, epochs=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": "4"}, "batch_size='4' is of type str; it must be a whole number"),
        ({"batch_size": None}, "batch_size=None is of type NoneType; it must be a whole number"),
        ({"batch_size": 4.0}, "batch_size=4.0 is of type float; it must be a whole number"),
        ({"seed": None}, "seed=None is of type NoneType; it must be a whole number"),
        ({"image_size": (24, 24, 3)}, r"image_size=\(24, 24, 3\) is of type tuple; .*, or \(height, width\)"),
        ({"start_step": "1"}, "start_step='1' is of type str"),
        ({"color_jitter": "0.4"}, "color_jitter='0.4' is of type str; it must be a number"),
        ({"shard": 2}, r"shard=2; it is \(host, number of hosts\)"),
        ({"shard": ("0", 2)}, "shard_host='0' is of type str"),
        ({"num_threads": "2"}, "num_threads='2' is of type str"),
        ({"epochs": 1.5}, "epochs=1.5 is of type float"),
    ],
)
def test_a_wrong_type_is_one_sentence(records: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=f"^{message}"):
        train_dataset(records, **(OPTIONS | options))


def test_whole_numbers_of_numpy_are_whole_numbers(records: Path) -> None:
    train_dataset(records, batch_size=np.int32(4), image_size=np.int64(24), seed=np.uint8(3), epochs=np.int64(1))


def test_a_preview_is_the_first_batch_as_it_is_delivered(records: Path) -> None:
    options = {"batch_size": 4, "image_size": 160, "augment": "crop", "difficult": "ignore"}
    picture = preview(records, **options)
    ((images, *_),) = train_dataset(records, **options).take(1).as_numpy_iterator()
    pixels = np.asarray(picture)
    for k in range(4):
        np.testing.assert_array_equal(pixels[6:166, 6 + 166 * k : 166 + 166 * k], images[k])
    assert (pixels[168:] < 255).any()  # the text


def test_many_labels_and_long_names_are_cut(records: Path) -> None:
    names = [f"class with a long name {k}" for k in range(8)]
    picture = draw_batch(np.zeros((9, 8, 8, 3), np.uint8), np.ones((9, 8), np.float32), ["x" * 90] * 9, names)
    assert picture.size == (8 * 134 + 6, 2 * (134 + 70) + 6)


def test_a_function_of_other_arguments_is_told(records: Path) -> None:
    with pytest.raises(TypeError, match="augment: the function must take .image, seed."):
        train_dataset(records, **OPTIONS, augment=lambda image: image)
