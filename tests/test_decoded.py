"""The store of decoded pictures: its content, what makes it stale, and what happens when it cannot be written."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from voc_tfdata.decoded import Store, crop_pictures, map_pictures, open_store

N, S, C = 10, 8, 3
PICTURES = np.random.RandomState(0).randint(0, 256, (N, S, S, 3)).astype(np.uint8)
CODES = np.arange(N * C).reshape(N, C).astype(np.uint8) % 3
KEY = {"records": "abc", "split": "train", "resize": "bilinear"}


def make_batches() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((PICTURES, CODES)).batch(4)  # 4, 4, 2


def refuse() -> tf.data.Dataset:
    raise AssertionError("the store is there: nothing is to be read")


def make(path: Path, *, batches: Callable = make_batches, mirrored: bool = False, **key: str) -> Store:
    return open_store(
        path, key=KEY | key, num_examples=N, num_classes=C, size=S, mirrored=mirrored, make_batches=batches
    )


def test_the_pictures_and_labels_are_those_that_went_in(tmp_path: Path) -> None:
    store = make(tmp_path / "new" / "a.u8")
    assert (map_pictures(store).numpy() == PICTURES).all()
    assert (store.labels == CODES).all()
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["a.u8", "a.u8.lock"]


def test_a_mirrored_store_holds_each_picture_mirrored_in_its_second_half(tmp_path: Path) -> None:
    pictures = map_pictures(make(tmp_path / "a.u8", mirrored=True)).numpy()
    assert (pictures[:N] == PICTURES).all()
    assert (pictures[N:] == PICTURES[:, :, ::-1]).all()


def test_a_second_opening_reads_no_record(tmp_path: Path) -> None:
    make(tmp_path / "a.u8")
    assert (map_pictures(make(tmp_path / "a.u8", batches=refuse)).numpy() == PICTURES).all()


@pytest.mark.parametrize("change", ["key", "mirrored", "cut", "longer", "foreign", "empty"])
def test_a_store_of_something_else_is_built_anew(tmp_path: Path, change: str) -> None:
    path = tmp_path / "a.u8"
    make(path)
    size = path.stat().st_size
    if change in ("cut", "longer", "empty"):
        os.truncate(path, {"cut": size - 1, "longer": size + 1, "empty": 0}[change])
    if change == "foreign":
        path.write_bytes(os.urandom(size))
    with pytest.raises(AssertionError, match="nothing is to be read"):
        make(path, batches=refuse, mirrored=change == "mirrored", **({"records": "xyz"} if change == "key" else {}))
    store = make(path, mirrored=change == "mirrored", **({"records": "xyz"} if change == "key" else {}))
    assert (map_pictures(store).numpy()[:N] == PICTURES).all()


def test_windows_are_cut_where_they_were_asked_for(tmp_path: Path) -> None:
    pictures = map_pictures(make(tmp_path / "a.u8"))
    rows, tops, lefts = (tf.constant(v, tf.int64) for v in ([7, 0, 7], [0, 3, 4], [4, 1, 0]))
    windows = crop_pictures(pictures, rows, tops, lefts, 4).numpy()
    assert windows.shape == (3, 4, 4, 3)
    assert (windows[0] == PICTURES[7, 0:4, 4:8]).all()
    assert (windows[1] == PICTURES[0, 3:7, 1:5]).all()
    assert (windows[2] == PICTURES[7, 4:8, 0:4]).all()


def test_the_mapping_works_inside_a_pipeline_without_captured_pixels(tmp_path: Path) -> None:
    store = make(tmp_path / "a.u8")
    rows = tf.data.Dataset.from_tensor_slices(np.array([[3, 1], [9, 9]]))
    held = tf.data.Dataset.from_tensors(0).map(lambda _: map_pictures(store))
    ds = held.flat_map(lambda pictures: rows.map(lambda r: tf.gather(pictures, r), num_parallel_calls=2))
    found = np.concatenate(list(ds.as_numpy_iterator()))
    assert (found == PICTURES[[3, 1, 9, 9]]).all()


def test_a_build_that_fails_leaves_no_file(tmp_path: Path) -> None:
    def broken() -> tf.data.Dataset:
        return make_batches().map(lambda p, c: (tf.ensure_shape(p, [4, S, S, 3]), c))  # the last batch has 2

    with pytest.raises(tf.errors.InvalidArgumentError):
        make(tmp_path / "a.u8", batches=broken)
    assert [p.name for p in tmp_path.iterdir()] == ["a.u8.lock"]


def test_what_a_killed_build_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "a.u8.12345.part").write_bytes(b"half")
    make(tmp_path / "a.u8")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.u8", "a.u8.lock"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="decoded pictures cannot be made here.*file/a.u8"):
        make(tmp_path / "file" / "a.u8")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_disk_without_room_is_refused_with_the_size(tmp_path: Path) -> None:
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], capture_output=True)
    if mount.returncode:
        pytest.skip(f"cannot mount a small file system: {mount.stderr.decode().strip()}")
    try:
        with pytest.raises(OSError, match=r"No space left on device \(57.2 MiB are needed for 100 pictures, .* are free"):
            open_store(
                tmp_path / "a.u8",  # 100 x 447 x 447 x 3 bytes = 57.2 MiB
                key=KEY,
                num_examples=100,
                num_classes=C,
                size=447,
                mirrored=False,
                make_batches=refuse,
            )
        assert not list(tmp_path.glob("*.u8")) and not list(tmp_path.glob("*.part"))
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def build_in_process(path: str, results: multiprocessing.Queue) -> None:
    store = make(Path(path))
    results.put(bool((map_pictures(store).numpy() == PICTURES).all()))


def test_two_processes_that_build_at_once_end_with_one_good_file(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=build_in_process, args=(str(tmp_path / "a.u8"), results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    assert [results.get(timeout=120) for _ in workers] == [True, True]
    for worker in workers:
        worker.join()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.u8", "a.u8.lock"]
