"""The decoded store: its content, what makes it stale, and what happens when it cannot be written."""

from __future__ import annotations

import multiprocessing
import os
import re
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from voc_tfdata.machine import call_in_new_process, read_heap_mb
from voc_tfdata.pipeline.decoded import DecodedStore, StoreKey, map_store, open_or_build

N, S, C = 10, 8, 3
PICTURES = np.random.RandomState(0).randint(0, 256, (N, S, S, 3)).astype(np.uint8)
LABELS = (np.arange(N * C).reshape(N, C) % 3 - 1).astype(np.float32)  # -1, 0, 1
KEY = StoreKey(
    manifest="abc", split="train", num_examples=N, num_classes=C, size=(S, S), resize="bilinear", mirrored=False
)


def load() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((PICTURES, LABELS)).batch(4)  # 4, 4, 2


def refuse() -> tf.data.Dataset:
    raise AssertionError("the store is there: nothing is to be read")


def make(folder: Path, *, read: Callable[[], tf.data.Dataset] = load, **key: Any) -> DecodedStore:
    return open_or_build(folder, replace(KEY, **key), read)


def pixels_of(store: DecodedStore) -> np.ndarray:
    ds = map_store(store, lambda pixels: tf.data.Dataset.range(store.key.num_pictures).map(lambda i: pixels[i]))
    return np.stack(list(ds.as_numpy_iterator()))


def test_the_pictures_and_labels_are_those_that_went_in(tmp_path: Path) -> None:
    store = make(tmp_path / "new")
    assert (pixels_of(store) == PICTURES).all()
    assert (store.labels == LABELS).all()
    assert [p.name for p in (tmp_path / "new").iterdir()] == [store.path.name]


def test_a_mirrored_store_holds_each_picture_and_its_mirror_image(tmp_path: Path) -> None:
    pixels = pixels_of(make(tmp_path, mirrored=True))
    assert (pixels[::2] == PICTURES).all()
    assert (pixels[1::2] == PICTURES[:, :, ::-1]).all()


def test_a_second_opening_reads_no_record(tmp_path: Path) -> None:
    make(tmp_path)
    assert (pixels_of(make(tmp_path, read=refuse)) == PICTURES).all()


def grow_heap(store: DecodedStore) -> float:
    """Returns by how many MiB reading one image of a store makes this process's own memory grow."""
    next(iter(tf.data.Dataset.range(1)))
    before = read_heap_mb()
    ds = map_store(store, lambda pixels: tf.data.Dataset.range(store.key.num_pictures).map(lambda i: pixels[i]))
    next(iter(ds))
    return read_heap_mb() - before


def test_the_mapped_pixels_are_not_copied_into_memory(tmp_path: Path) -> None:
    key = replace(KEY, num_examples=600, size=(512, 512))
    with open(tmp_path / "pixels", "wb") as file:
        file.truncate(key.num_bytes)  # 450 MiB, a hole
    growth = call_in_new_process(grow_heap, DecodedStore(tmp_path / "pixels", key, np.zeros((600, C), np.int8)))
    assert not growth > 100  # nan where there is no /proc


@pytest.mark.parametrize(
    "change", [{"manifest": "xyz"}, {"split": "val"}, {"resize": "pad"}, {"mirrored": True}, {"num_examples": 9}]
)
def test_another_key_is_another_store(tmp_path: Path, change: dict) -> None:
    make(tmp_path)
    with pytest.raises(AssertionError, match="nothing is to be read"):
        make(tmp_path, read=refuse, **change)


@pytest.mark.parametrize("damage", ["cut", "longer", "foreign", "empty"])
def test_a_file_that_is_not_what_it_should_be_is_built_anew(tmp_path: Path, damage: str) -> None:
    path = make(tmp_path).path
    size = path.stat().st_size
    if damage == "foreign":
        path.write_bytes(os.urandom(size))
    else:
        os.truncate(path, {"cut": size - 1, "longer": size + 1, "empty": 0}[damage])
    with pytest.raises(AssertionError, match="nothing is to be read"):
        make(tmp_path, read=refuse)
    assert (pixels_of(make(tmp_path)) == PICTURES).all()


def test_a_build_that_fails_leaves_no_file(tmp_path: Path) -> None:
    def broken() -> tf.data.Dataset:
        return load().map(lambda p, y: (tf.ensure_shape(p, [4, S, S, 3]), y))  # the last batch has 2

    with pytest.raises(tf.errors.InvalidArgumentError):
        make(tmp_path, read=broken)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_build_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / f".{Path(KEY.file_name).stem}.77.tmp.decoded").write_bytes(b"half")
    store = make(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [store.path.name]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file.*cache_dir"):
        make(tmp_path / "file" / "cache")


def test_a_disk_without_room_is_refused_with_the_size(small_disk: Path) -> None:
    # 10 x 200 x 200 x 3 bytes + 10 x 3 labels + 4,096 = 1.20 MB
    with pytest.raises(OSError, match=r"takes 1\.20 MB, 1\.05 MB are free.*cache_dir="):
        make(small_disk, read=refuse, size=(200, 200))
    assert list(small_disk.iterdir()) == []


def build_under_a_file_size_limit(folder: str, results: multiprocessing.Queue) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # bytes: the 10 images of 192 do not fit
    try:
        make(Path(folder))
    except OSError as err:
        results.put(str(err))


def test_a_write_that_fails_names_the_store_and_leaves_no_file(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    worker = context.Process(target=build_under_a_file_size_limit, args=(str(tmp_path), results))
    worker.start()
    message = results.get(timeout=120)
    worker.join()
    assert re.search(r"cannot write the decoded store .*voc-train-8.* \(0\.01 MB\): File too large", message)
    assert list(tmp_path.iterdir()) == []


def build_in_process(folder: str, results: multiprocessing.Queue) -> None:
    results.put(bool((pixels_of(make(Path(folder))) == PICTURES).all()))


def test_two_processes_that_build_at_once_end_with_one_good_file(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=build_in_process, args=(str(tmp_path), results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    assert [results.get(timeout=120) for _ in workers] == [True, True]
    for worker in workers:
        worker.join()
    assert [p.name for p in tmp_path.iterdir()] == [KEY.file_name]
