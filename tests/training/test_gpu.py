"""What only a GPU can show: `python -m pytest -m gpu`. Without one these are skipped; see also test_train_step."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.devkit_fixture import write_small_records
from tests.paths import ROOT
from voc_tfdata.model.vgg16 import build_vgg16
from voc_tfdata.training.optimizers import build_optimizer
from voc_tfdata.training.train_step import make_train_step

pytestmark = pytest.mark.gpu
MEMORY = """
import tensorflow as tf
from voc_tfdata.model.vgg16 import build_vgg16
build_vgg16(20, 224)(tf.zeros([1, 224, 224, 3]))
device = tf.config.list_physical_devices("GPU")[0]
assert tf.config.experimental.get_memory_growth(device)
print(tf.config.experimental.get_memory_info("GPU:0")["peak"])
"""


@pytest.mark.parametrize("jit_compile", [False, True])
def test_bfloat16_learns_as_float32_does(jit_compile: bool) -> None:
    draw = np.random.default_rng(0)
    images, labels = draw.integers(0, 256, (16, 64, 64, 3), np.uint8), draw.integers(0, 2, (16, 20)).astype(np.float32)
    losses = {}
    for precision in ("float32", "mixed_bfloat16"):
        model = build_vgg16(20, 64, batch_norm=True, precision=precision)
        optimizer = build_optimizer("sgd", learning_rate=0.01, variables=model.trainable_variables)
        step = make_train_step(model, optimizer, tf.distribute.get_strategy(), jit_compile=jit_compile)
        sums = [step(tf.constant(images), tf.constant(labels)).numpy() for _ in range(20)]
        losses[precision] = np.array([loss / counted for loss, _, counted, _ in sums])
    assert losses["float32"][-1] < losses["float32"][0] - 0.05
    np.testing.assert_allclose(losses["mixed_bfloat16"], losses["float32"], atol=0.05)


def test_a_run_that_was_cut_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    write_small_records(tmp_path, train=9, val=3, test=4)
    for out, cuts in (("whole", [0]), ("cut", [3, 0])):
        for max_steps in cuts:
            flags = f"--records={tmp_path}/records --out_dir={tmp_path}/{out} --image_size=32 --batch_size=2 --epochs=2"
            flags += f" --max_steps={max_steps} --learning_rate=1e-4 --dropout=0.5 --deterministic --keep_state"
            command = [sys.executable, "train.py", *flags.split()]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "whole/state.npz") as whole, np.load(tmp_path / "cut/state.npz") as cut:
        for name in (name for name in whole if name.startswith("variable")):
            assert whole[name].tobytes() == cut[name].tobytes(), name


def test_memory_that_grows_leaves_the_rest_of_the_gpu_to_others() -> None:
    environment = {**os.environ, "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) < 4 << 30
