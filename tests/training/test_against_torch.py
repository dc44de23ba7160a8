"""The training step beside PyTorch's on the same network, weights and batches; needs torch, else it is skipped."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

pytest.importorskip("torch")

from benchmarks.torch_twin import build_twin, make_twin_step
from voc_tfdata.model.vgg16 import build_vgg16
from voc_tfdata.training.optimizers import build_optimizer
from voc_tfdata.training.train_step import make_train_step

STEPS, BATCH, SIZE = 20, 16, 64
# A higher rate lets the roundings grow that both do in another order: at 1e-4 they differ by 1.2e-3 after 20 steps.
RATE = 5e-5


@pytest.mark.slow
def test_the_losses_of_the_first_20_steps_are_pytorchs() -> None:
    draw = np.random.default_rng(0)
    colours = draw.integers(0, 256, (STEPS, BATCH, 4, 4, 3), np.uint8)
    images = colours.repeat(SIZE // 4, axis=2).repeat(SIZE // 4, axis=3)
    labels = (colours.reshape(STEPS, BATCH, -1)[..., :20] > 127).astype(np.float32)  # there is something to learn
    labels[draw.random(labels.shape) < 0.1] = -1
    model = build_vgg16(20, SIZE, batch_norm=True, precision="float32")
    twin_step = make_twin_step(build_twin(model), learning_rate=RATE)
    optimizer = build_optimizer("sgd", learning_rate=RATE, variables=model.trainable_variables)
    step = make_train_step(model, optimizer, tf.distribute.get_strategy())
    ours, theirs = [], []
    for batch, truth in zip(images, labels, strict=True):
        loss, _, counted, _ = step(tf.constant(batch), tf.constant(truth)).numpy()
        ours.append(loss / counted)
        theirs.append(float(twin_step(batch, truth)))
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    assert np.mean(ours[-5:]) < np.mean(ours[:5]) - 0.05, ours
