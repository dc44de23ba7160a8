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

STEPS, BATCH, SIZE = 20, 8, 64


@pytest.mark.slow
@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_losses_of_the_first_20_steps_are_pytorchs(batch_norm: bool) -> None:
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (STEPS, BATCH, SIZE, SIZE, 3), np.uint8)
    labels = draw.integers(-1, 2, (STEPS, BATCH, 20)).astype(np.float32)
    model = build_vgg16(20, SIZE, batch_norm=batch_norm, precision="float32")
    twin_step = make_twin_step(build_twin(model), learning_rate=0.01)
    optimizer = build_optimizer("sgd", learning_rate=0.01, variables=model.trainable_variables)
    step = make_train_step(model, optimizer, tf.distribute.get_strategy())
    ours, theirs = [], []
    for batch, truth in zip(images, labels, strict=True):
        loss, _, counted, _ = step(tf.constant(batch), tf.constant(truth)).numpy()
        ours.append(loss / counted)
        theirs.append(float(twin_step(batch, truth)))
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    assert max(ours) - min(ours) > (0.05 if batch_norm else 1e-3)  # it did learn something, or nothing was compared
