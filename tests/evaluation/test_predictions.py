import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tiny_model import build_tiny_model, make_batches
from voc_tfdata.evaluation.predictions import collect_predictions, evaluate, make_predictor


def dataset_of(batch_size: int) -> tf.data.Dataset:
    images, labels = make_batches(1, batch_size=7)
    ids = [f"图 {i}" for i in range(7)]
    return tf.data.Dataset.from_tensor_slices((images[0], labels[0], ids)).batch(batch_size)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 50])
def test_ids_labels_and_scores_stay_together_for_any_batch_size(batch_size: int) -> None:
    model = build_tiny_model()
    images, labels = make_batches(1, batch_size=7)
    ids, y_true, y_score = evaluate(model, dataset_of(batch_size))
    assert ids == [f"图 {i}" for i in range(7)]
    np.testing.assert_array_equal(y_true, labels[0])
    np.testing.assert_allclose(y_score, [model(image[None])[0] for image in images[0]], rtol=1e-5)


def test_dropout_is_off() -> None:
    model = build_tiny_model(dropout=0.9)
    first, second = (evaluate(model, dataset_of(7)).y_score for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_data_set_without_ids_or_pictures_is_refused() -> None:
    model = build_tiny_model()
    with pytest.raises(ValueError, match="with_ids=True"):
        evaluate(model, dataset_of(7).map(lambda images, labels, ids: (images, labels)))
    with pytest.raises(ValueError, match="empty data set"):
        evaluate(model, dataset_of(7).take(0))


def test_a_model_of_other_classes_is_refused() -> None:
    images, labels = make_batches(1, batch_size=4)
    ds = tf.data.Dataset.from_tensor_slices((images[0], np.pad(labels[0], ((0, 0), (0, 1))), list("abcd"))).batch(4)
    with pytest.raises(ValueError, match="the model has 2 outputs, the data set 3 classes"):
        evaluate(build_tiny_model(), ds)


def test_a_predictor_is_traced_once_for_all_epochs_and_batch_sizes() -> None:
    traces = []

    class Noted(keras.layers.Layer):
        def call(self, images: tf.Tensor) -> tf.Tensor:
            traces.append(images.shape)
            return tf.reduce_mean(tf.cast(images, tf.float32), axis=[1, 2])

    inputs = keras.Input([4, 4, 3], dtype="uint8")
    predict = make_predictor(keras.Model(inputs, Noted()(inputs)))
    del traces[:]  # of building the model
    images = tf.zeros([5, 4, 4, 3], tf.uint8)
    dataset = tf.data.Dataset.from_tensor_slices((images, tf.zeros([5, 3]), list("abcde"))).batch(2)
    for _ in range(3):
        assert collect_predictions(predict, dataset).y_score.shape == (5, 3)
    assert len(traces) == 1
