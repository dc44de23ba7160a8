"""The Keras losses and metrics that leave out -1, against those of the trainer and of Keras."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import voc_tfdata
from tests.devkit_fixture import difficult, draw_noise, encode, sample, write_devkit
from voc_tfdata.convert.build import build_records
from voc_tfdata.training.losses import cross_entropy_sums

LABELS = np.array([[1, 0, -1], [-1, -1, 1], [0, 1, 0]], np.float32)
LOGITS = np.array([[0.3, -2.0, 5.0], [9.0, 1.0, -0.5], [0.1, 4.0, -3.0]], np.float32)


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize(("weights", "smoothing"), [(None, 0.0), ([2.0, 0.5, 3.0], 0.1)])
def test_the_loss_is_that_of_the_trainer(from_logits: bool, weights: list[float] | None, smoothing: float) -> None:
    loss = voc_tfdata.MaskedBinaryCrossentropy(weights, label_smoothing=smoothing, from_logits=from_logits)
    total, counted = cross_entropy_sums(
        tf.constant(LABELS),
        tf.constant(LOGITS),
        positive_weight=None if weights is None else np.array(weights, np.float32),
        label_smoothing=smoothing,
    )
    scores = LOGITS if from_logits else 1 / (1 + np.exp(-LOGITS))
    assert float(loss(LABELS, scores)) == pytest.approx(float(total / counted), rel=1e-5)


def test_by_hand() -> None:
    # -ln 0.8, -ln 0.5 over two cells that count of four
    loss = voc_tfdata.MaskedBinaryCrossentropy()
    assert float(loss(np.array([[1, -1], [-1, 0]]), np.array([[0.8, 0.9], [0.9, 0.5]]))) == pytest.approx(
        (0.223144 + 0.693147) / 2, rel=1e-5
    )
    assert float(loss(-np.ones((2, 2)), np.full((2, 2), 0.5))) == 0  # nothing counts


def test_without_a_masked_cell_it_is_that_of_keras() -> None:
    labels, scores = np.abs(LABELS), 1 / (1 + np.exp(-LOGITS))
    assert float(voc_tfdata.MaskedBinaryCrossentropy()(labels, scores)) == pytest.approx(
        float(keras.losses.BinaryCrossentropy()(labels, scores)), rel=1e-5
    )


def test_accuracy_counts_what_is_labelled() -> None:
    metric = voc_tfdata.MaskedBinaryAccuracy()
    metric.update_state(LABELS, 1 / (1 + np.exp(-LOGITS)))
    # counted: (1, .57) right, (0, .12) right; (1, .38) wrong; (0, .52) wrong, (1, .98) right, (0, .05) right
    assert float(metric.result()) == pytest.approx(4 / 6)
    metric.reset_state()
    metric.update_state(-np.ones((1, 2)), np.ones((1, 2)))
    assert float(metric.result()) == 0
    with pytest.raises(ValueError, match="label the cells that are not to count -1"):
        metric.update_state(LABELS, LABELS, sample_weight=np.ones(3))


def test_model_fit_learns_from_the_counted_cells_only_and_comes_back_from_a_file(tmp_path: Path) -> None:
    samples = {
        f"{k}": sample("dog", difficult("cat"), picture=encode(draw_noise(40, 30, seed=k), "JPEG")) for k in range(8)
    }
    build_records(write_devkit(tmp_path / "VOC", samples), tmp_path / "records", split_ratios="train=1", num_workers=1)
    weights = voc_tfdata.positive_weights(tmp_path / "records", difficult="ignore")
    assert weights.tolist() == [1.0] * 20  # a class with no 1, and one with no 0
    ds = voc_tfdata.train_dataset(tmp_path / "records", batch_size=4, image_size=16, difficult="ignore", epochs=30)
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(20, activation="sigmoid", kernel_initializer="zeros"),
        ]
    )
    loss = voc_tfdata.MaskedBinaryCrossentropy(weights)
    model.compile(keras.optimizers.SGD(1.0), loss=loss, metrics=[voc_tfdata.MaskedBinaryAccuracy()])
    history = model.fit(ds, epochs=1, verbose=0)  # ends by itself
    assert history.history["masked_binary_accuracy"][0] > 0.9
    (images, _), *_ = ds.take(1)
    scores = model.predict(images, verbose=0)[0]
    cat, dog = (voc_tfdata.VOC_CLASSES.index(name) for name in ("cat", "dog"))
    assert scores[dog] > 0.75 and scores[0] < 0.25
    assert scores[cat] == pytest.approx(0.5, abs=1e-6)  # every cat is 'difficult': nothing was learnt of it
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.loss.get_config() == loss.get_config()


def test_positive_weights_are_negatives_for_a_positive(tmp_path: Path) -> None:
    samples = {f"{k}": sample("dog" if k < 2 else "person") for k in range(8)}
    build_records(write_devkit(tmp_path / "VOC", samples), tmp_path / "records", split_ratios="train=1", num_workers=1)
    weights = voc_tfdata.positive_weights(tmp_path / "records")
    assert weights.dtype == np.float32 and weights.shape == (20,)
    assert (weights[11], weights[14], weights[0]) == (3.0, pytest.approx(1 / 3), 1.0)  # 6 of 2, 2 of 6, none
