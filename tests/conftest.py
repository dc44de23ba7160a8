"""What every test needs: one place for the shared data, and a line that says when it is not there."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loopback import noisy_records, s3, s3_of_session  # noqa: F401  (fixtures)
from tests.paths import SHARED

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # nohup, and some CI; commands under test would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # the tests compare to the bit, which holds on CPUs


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what is marked gpu where TensorFlow sees none; benchmarks/gpu.py runs it where it does."""
    if item.get_closest_marker("gpu"):
        import tensorflow as tf

        if not tf.config.list_physical_devices("GPU"):
            pytest.skip("no GPU that TensorFlow may use: see benchmarks/gpu.py")


@pytest.fixture(scope="session")
def shared_voc() -> Path:
    """The real images beside the checkout; skips, with the reason, where they are not."""
    folder = SHARED / "voc"
    if not folder.is_dir():
        pytest.skip(f"no real VOC images at {folder}")
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB; skips, with the reason, where none can be mounted (that needs root)."""
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], capture_output=True)
    if mount.returncode:
        pytest.skip(f"cannot mount a small file system: {mount.stderr.decode().strip()}")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)  # lazy: a test that failed may hold a file


def pytest_report_header() -> str:
    state = "used" if (SHARED / "voc").is_dir() else "not there: the tests on real images are skipped"
    return f"real VOC data at {SHARED / 'voc'}: {state}"
