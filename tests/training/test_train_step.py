import math
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.paths import ROOT
from tests.tiny_model import build_tiny_model, make_batches, values_of
from voc_tfdata.training.learner import TrainStep
from voc_tfdata.training.optimizers import build_optimizer
from voc_tfdata.training.train_step import make_train_step

# Compares one device with two: logical devices must be set before TensorFlow opens any, so in its own process.
TWO_DEVICES = """
import keras
import numpy as np
import tensorflow as tf
from tests.tiny_model import build_tiny_model, make_batches, values_of
from voc_tfdata.training.devices import choose_strategy, place_batches
from voc_tfdata.training.optimizers import build_optimizer
from voc_tfdata.training.train_step import make_train_step

device = tf.config.list_physical_devices("DEVICE")[0]
limit = 4096 if "DEVICE" == "GPU" else None  # MiB
tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration(limit)] * 2)
strategies = choose_strategy("none"), choose_strategy("mirrored")
assert [s.num_replicas_in_sync for s in strategies] == [1, 2]
for clip_norm, loss_scaling in ((0.0, False), (0.01, False), (0.01, True)):
    curves, weights = [], []
    for strategy in strategies:
        with strategy.scope():
            model = build_tiny_model()
            model.get_layer("logits").kernel.regularizer = keras.regularizers.L2(0.01)
            optimizer = build_optimizer("sgd", learning_rate=0.5, clip_norm=clip_norm, loss_scaling=loss_scaling)
            optimizer.build(model.trainable_variables)
        step = make_train_step(model, optimizer, strategy)
        batches = place_batches(tf.data.Dataset.from_tensor_slices(make_batches(6)), strategy)
        curves.append([step(images, labels).numpy() for images, labels in batches])
        weights.append(np.concatenate([w.ravel() for w in values_of(model.trainable_variables)]))
    assert abs(weights[0] - np.concatenate([w.ravel() for w in values_of(build_tiny_model().weights)])).max() > 1e-3
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-5)
    np.testing.assert_allclose(weights[0], weights[1], rtol=1e-4, atol=1e-6)
print("equal")
"""


def make_step(model: keras.Model, rate: float = 0.0, **options: bool) -> TrainStep:
    optimizer = build_optimizer("sgd", learning_rate=rate, **options)
    optimizer.build(model.trainable_variables)
    return make_train_step(model, optimizer, tf.distribute.get_strategy())


def test_a_step_returns_loss_right_cells_cells_and_pictures() -> None:
    model = build_tiny_model()
    model.get_layer("logits").set_weights([np.zeros((8, 2)), np.zeros(2)])  # probability 0.5 for all
    step = make_step(model)
    labels = np.array([[1, 0], [-1, 0], [-1, -1]], np.float32)
    sums = step(np.zeros((3, 4, 4, 3), np.uint8), labels)
    # three cells count, ln 2 each; the two 0 are right, as 0.5 is not above 0.5
    np.testing.assert_allclose(sums, [3 * math.log(2), 2, 3, 3], rtol=1e-6)


def test_the_gradient_is_of_the_mean_over_counted_cells() -> None:
    model = build_tiny_model()
    model.get_layer("logits").set_weights([np.zeros((8, 2)), np.zeros(2)])
    step = make_step(model, rate=1.0)
    step(np.zeros((3, 4, 4, 3), np.uint8), np.array([[1, 0], [-1, 0], [-1, -1]], np.float32))
    # bias of class 0: one counted cell of three, gradient (0.5 - 1) / 3; class 1: two cells, 2 * 0.5 / 3.
    # Nesterov momentum 0.9: the first step is 1.9 times the gradient
    np.testing.assert_allclose(model.get_layer("logits").bias, [1.9 * 0.5 / 3, -1.9 * 1.0 / 3], rtol=1e-5)


def test_a_batch_of_ignored_cells_changes_nothing() -> None:
    model = build_tiny_model()
    before = values_of(model.weights)
    step = make_step(model, rate=1.0)
    sums = step(np.full((2, 4, 4, 3), 9, np.uint8), np.full((2, 2), -1, np.float32))
    assert sums.numpy().tolist() == [0, 0, 0, 2]
    for a, b in zip(before, values_of(model.weights), strict=True):
        np.testing.assert_array_equal(a, b)


def test_loss_scaling_does_not_change_the_step() -> None:
    images, labels = make_batches(1)
    weights = []
    for scaling in (False, True):
        model = build_tiny_model()
        step = make_step(model, rate=0.1, loss_scaling=scaling)
        step(images[0], labels[0])
        weights.append(values_of(model.trainable_variables))
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_jit_compiled_steps_are_the_same_steps() -> None:
    images, labels = make_batches(2)
    losses = []
    for jit_compile in (False, True):
        model = build_tiny_model()
        optimizer = build_optimizer("adam", learning_rate=0.1)
        optimizer.build(model.trainable_variables)
        step = make_train_step(model, optimizer, tf.distribute.get_strategy(), jit_compile=jit_compile)
        losses.append([step(images[i], labels[i]).numpy() for i in range(2)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


@pytest.mark.parametrize("device", ["CPU", pytest.param("GPU", marks=pytest.mark.gpu)])
def test_two_devices_train_as_one_does(device: str) -> None:
    program = TWO_DEVICES.replace("DEVICE", device)
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.stdout == "equal\n", run.stderr[-3000:]


@pytest.mark.parametrize("rate", [0.0, 0.25])
def test_the_rate_can_be_changed_between_steps(rate: float) -> None:
    model = build_tiny_model()
    images, labels = make_batches(2)
    optimizer = build_optimizer("rmsprop", learning_rate=0.1)
    optimizer.build(model.trainable_variables)
    step = make_train_step(model, optimizer, tf.distribute.get_strategy())
    step(images[0], labels[0])
    before = values_of(model.weights)
    optimizer.learning_rate = rate
    step(images[1], labels[1])
    changed = any((a != b).any() for a, b in zip(before, values_of(model.weights), strict=True))
    assert changed == (rate > 0)


def test_the_loss_that_is_told_is_the_plain_one_whatever_is_trained_on() -> None:
    images, labels = make_batches(1)
    told, kernels = [], []
    for options in ({}, {"label_smoothing": 0.5, "positive_weight": np.array([3, 7], np.float32)}):
        model = build_tiny_model()
        optimizer = build_optimizer("sgd", learning_rate=0.5)
        optimizer.build(model.trainable_variables)
        step = make_train_step(model, optimizer, tf.distribute.get_strategy(), **options)
        told.append(step(images[0], labels[0]).numpy())
        kernels.append(np.asarray(model.get_layer("logits").kernel))
    np.testing.assert_array_equal(*told)
    assert abs(kernels[0] - kernels[1]).max() > 1e-3


def test_penalties_of_the_layers_are_trained_on_and_not_returned() -> None:
    model = build_tiny_model()
    regular = keras.models.clone_model(model)
    regular.set_weights(model.get_weights())
    regular.get_layer("logits").kernel.regularizer = keras.regularizers.L2(0.01)
    images, labels = make_batches(1)
    sums = [make_step(network, rate=0.5)(images[0], labels[0]).numpy() for network in (model, regular)]
    np.testing.assert_array_equal(*sums)
    kernel, penalised = (np.asarray(network.get_layer("logits").kernel) for network in (model, regular))
    start = np.asarray(build_tiny_model().get_layer("logits").kernel)
    # Nesterov momentum 0.9: the first step is 1.9 times the gradient, of the penalty 2 * 0.01 * kernel.
    np.testing.assert_allclose(kernel - penalised, 0.5 * 1.9 * 0.02 * start, rtol=1e-3, atol=1e-6)


def test_a_network_whose_logits_are_bfloat16_is_trained_all_the_same() -> None:
    images = keras.Input((4, 4, 3))
    x = keras.layers.Dense(2, name="logits", dtype="mixed_bfloat16")(keras.layers.Flatten()(images))
    model = keras.Model(images, keras.layers.Activation("sigmoid", dtype="mixed_bfloat16")(x))
    step = make_step(model, rate=0.1)
    loss, _, counted, _ = step(np.zeros((3, 4, 4, 3), np.uint8), np.ones((3, 2), np.float32)).numpy()
    assert loss / counted == pytest.approx(math.log(2), rel=1e-2)
