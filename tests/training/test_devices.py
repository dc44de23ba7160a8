from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf

from voc_tfdata.training import devices
from voc_tfdata.training.devices import (
    choose_jit_compile,
    choose_precision,
    choose_strategy,
    place_batches,
    precision_of_cpu,
    precision_of_gpus,
)


def test_gpus_of_capability_8_and_up_train_in_bfloat16() -> None:
    assert precision_of_gpus([(8, 0)]) == precision_of_gpus([(9, 0), (8, 6)]) == "mixed_bfloat16"


def test_one_older_gpu_makes_all_train_in_float16() -> None:
    assert precision_of_gpus([(7, 5)]) == precision_of_gpus([(9, 0), (7, 0)]) == "mixed_float16"


def test_a_gpu_of_unknown_capability_trains_in_float32() -> None:
    assert precision_of_gpus([(9, 0), None]) == "float32"


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ("fpu avx2 avx512f avx512_bf16", "mixed_bfloat16"),
        ("fpu amx_bf16 amx_tile", "mixed_bfloat16"),
        ("fpu avx2 avx512f avx512_vnni", "float32"),
        ("", "float32"),
    ],
)
def test_a_cpu_trains_in_bfloat16_if_it_has_the_instructions(flags: str, precision: str) -> None:
    assert precision_of_cpu(f"processor\t: 0\nmodel name\t: amx_bf16 in a name\nflags\t\t: {flags}\n") == precision


def test_a_precision_asked_for_is_taken() -> None:
    assert choose_precision("mixed_float16") == "mixed_float16"
    assert choose_precision("auto") in ("float32", "mixed_bfloat16", "mixed_float16")
    with pytest.raises(ValueError, match="precision='bf16'; allowed: auto, float32, mixed_bfloat16, mixed_float16"):
        choose_precision("bf16")


def test_one_device_needs_no_strategy() -> None:
    if len(tf.config.list_logical_devices("GPU")) > 1:
        pytest.skip("this machine has several GPUs")
    assert choose_strategy("auto") is tf.distribute.get_strategy()
    with pytest.raises(ValueError, match="strategy='tpu'; allowed: auto, none, mirrored"):
        choose_strategy("tpu")


def test_xla_is_for_one_gpu_or_for_whom_asks(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    one: Any = SimpleNamespace(num_replicas_in_sync=1)
    two: Any = SimpleNamespace(num_replicas_in_sync=2)
    gpus = ["a GPU"]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: gpus)
    assert choose_jit_compile(None, one) and not choose_jit_compile(None, two) and not choose_jit_compile(False, one)
    assert not choose_jit_compile(None, one, deterministic=True)
    with pytest.raises(ValueError, match="--jit_compile with 2 devices; it is for one"):
        choose_jit_compile(True, two)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise tf.errors.InternalError(None, None, "libdevice not found\nat all")

    monkeypatch.setattr(tf, "function", fail)
    assert not choose_jit_compile(None, one)
    assert caplog.messages == ["trains without XLA, which does not work on this GPU: libdevice not found"]
    gpus.clear()
    assert not choose_jit_compile(None, one) and choose_jit_compile(True, one)


def test_placing_batches_does_not_change_them() -> None:
    batches = tf.data.Dataset.range(5).batch(2)
    placed = list(place_batches(batches, tf.distribute.get_strategy()))
    assert [batch.numpy().tolist() for batch in placed] == [[0, 1], [2, 3], [4]]


def test_a_gpu_that_tensorflow_does_not_see_is_told_with_the_command_that_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if Path("/dev/nvidia0").exists() or tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    devices.tell_unused_gpu()
    assert not caplog.messages
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    devices.tell_unused_gpu()
    assert len(caplog.messages) == 1 and "pip install 'voc_tfdata[cuda]'" in caplog.messages[0]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")  # hidden on purpose
    devices.tell_unused_gpu()
    assert len(caplog.messages) == 1
