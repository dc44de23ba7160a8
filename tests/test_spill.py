"""A list of bytes that moves to a file when it grows."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from voc_tfdata import spill


def test_items_read_back_in_any_order_before_and_after_they_move_to_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "_IN_MEMORY", 100)
    items = spill.Spill()
    written = [bytes([k]) * (k % 7) for k in range(200)]
    for k, item in enumerate(written):
        items.append(item)
        assert items[k // 2] == written[k // 2] and len(items) == k + 1
    assert [items[k] for k in range(199, -1, -1)] == written[::-1]


def test_the_file_is_gone_even_after_sigkill(tmp_path: Path) -> None:
    program = """if True:
        import os, signal
        from voc_tfdata import spill
        spill._IN_MEMORY = 10
        items = spill.Spill()
        items.append(bytes(99))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "TMPDIR": str(tmp_path)}, timeout=60)
    assert list(tmp_path.iterdir()) == []


def test_a_full_temporary_folder_is_named(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "_IN_MEMORY", 1000)
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    items = spill.Spill()
    with pytest.raises(OSError, match="No space left on device; set TMPDIR") as caught:
        for _ in range(3000):
            items.append(bytes(1000))
    assert caught.value.filename == str(small_disk)
