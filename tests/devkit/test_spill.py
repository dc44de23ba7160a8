"""Lists that move to a file when they grow, sorted or not."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from voc_tfdata.devkit import spill


def test_items_read_back_in_any_order_before_and_after_they_move_to_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "_IN_MEMORY", 100)
    monkeypatch.setattr(spill, "_WRITE_BYTES", 50)
    monkeypatch.setattr(spill, "_READ_BYTES", 12)
    items: spill.Spill[bytes] = spill.Spill()
    written = [bytes([k]) * (k % 7) for k in range(200)]
    places = []
    for k, item in enumerate(written):
        places.append(items.append(item))
        assert items.at(places[k // 2]) == written[k // 2]
    assert [items.at(place) for place in reversed(places)] == written[::-1]
    assert list(items.items()) == list(zip(places, written, strict=True))


@pytest.mark.parametrize("count", [0, 1, 10, 11, 99, 100])
def test_items_come_out_sorted_however_many_runs_it_takes(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(spill, "_RUN_ITEMS", 10)
    monkeypatch.setattr(spill, "_BLOCK_ITEMS", 3)
    items = [(k * 37 % 50, str(k)) for k in range(count)]  # each first number twice
    sorter: spill.Sorter[tuple[int, str]] = spill.Sorter()
    sorter.extend(items)
    assert list(sorter) == sorted(items) and len(sorter) == count
    one, other = iter(sorter), iter(sorter)  # they do not disturb each other
    assert [pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]] == []
    sorter.add((25, "late"))
    assert list(sorter) == sorted([*items, (25, "late")]) and (25, "late") in sorter


def test_the_file_is_gone_even_after_sigkill(tmp_path: Path) -> None:
    program = """if True:
        import os, signal
        from voc_tfdata.devkit import spill
        spill._IN_MEMORY = 10
        items = spill.Spill()
        items.append(bytes(99))
        assert os.fstat(items._file).st_size > 99
        os.kill(os.getpid(), signal.SIGKILL)
    """
    run = subprocess.run([sys.executable, "-c", program], env={**os.environ, "TMPDIR": str(tmp_path)}, timeout=180)
    assert run.returncode == -signal.SIGKILL and list(tmp_path.iterdir()) == []


def test_sorted_items_are_copied_with_what_they_hold_and_a_spill_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "_IN_MEMORY", 10)
    monkeypatch.setattr(spill, "_RUN_ITEMS", 10)
    sorter: spill.Sorter[int] = spill.Sorter()
    sorter.extend(range(50, 0, -1))
    data = pickle.dumps(sorter)
    del sorter
    assert list(pickle.loads(data)) == list(range(1, 51))
    with pytest.raises(TypeError, match="a Spill stays in its process"):
        pickle.dumps(spill.Spill())


def test_without_any_temporary_folder_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(spill, "_IN_MEMORY", 10)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    monkeypatch.setenv("TMPDIR", "/gone")
    with pytest.raises(spill.TemporaryFolderError, match="No usable.*; set TMPDIR to another folder: '/gone'"):
        spill.Spill[bytes]().append(bytes(99))


def test_a_full_temporary_folder_is_named(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "_IN_MEMORY", 1000)
    monkeypatch.setattr(spill, "_WRITE_BYTES", 1000)
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    items: spill.Spill[bytes] = spill.Spill()
    with pytest.raises(OSError, match="No space left on device; set TMPDIR") as caught:
        for _ in range(3000):
            items.append(bytes(1000))
    assert caught.value.filename == str(small_disk)
