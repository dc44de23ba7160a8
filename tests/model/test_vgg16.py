import keras
import numpy as np
import pytest

from tests.tiny_model import values_of
from voc_tfdata.model.vgg16 import build_vgg16, set_prior, with_logits
from voc_tfdata.training.losses import cross_entropy_sums


@pytest.fixture(scope="module")
def reference() -> keras.Model:
    return build_vgg16(20, 32)


@pytest.fixture(scope="module")
def with_batch_norm() -> keras.Model:
    return build_vgg16(3, 32, batch_norm=True, dropout=0.5, precision="mixed_bfloat16")


def pictures(count: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)


def test_the_reference_recipe_is_configuration_d(reference: keras.Model) -> None:
    kinds = [type(layer).__name__ for layer in reference.layers]
    convolution, pool = "Conv2D", "MaxPooling2D"
    blocks = [convolution] * 2 + [pool] + [convolution] * 2 + [pool] + ([convolution] * 3 + [pool]) * 3
    assert kinds == ["InputLayer", "Rescaling", *blocks, "Flatten", "Dense", "Dense", "Dense", "Activation"]
    filters = [layer.filters for layer in reference.layers if isinstance(layer, keras.layers.Conv2D)]
    assert filters == [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    # The paper's table 2 gives 138 million with 1000 classes at 224 pixels. The convolutions are 14,714,688 of them.
    # At 32 pixels with 20 classes: fc1 512 * 4096 + 4096, fc2 4096 * 4096 + 4096, logits 4096 * 20 + 20.
    assert reference.count_params() == 14_714_688 + 2_101_248 + 16_781_312 + 81_940
    for layer in reference.layers:
        if isinstance(layer, keras.layers.Conv2D):
            assert (layer.kernel_size, layer.padding, layer.activation.__name__) == ((3, 3), "same", "relu")


def test_initial_weights_are_glorot_and_zero(reference: keras.Model) -> None:
    kernel, bias = values_of(reference.get_layer("block3_conv1").weights)
    limit = (6 / (9 * 128 + 9 * 256)) ** 0.5  # Glorot uniform: sqrt(6 / (inputs + outputs))
    assert 0.99 * limit < np.abs(kernel).max() <= limit and not bias.any()


def test_bytes_and_floats_of_0_to_255_are_the_same_pictures(reference: keras.Model) -> None:
    images = pictures()
    probabilities = reference(images)
    assert probabilities.shape == (2, 20) and probabilities.dtype == "float32"
    np.testing.assert_array_equal(probabilities, reference(images.astype(np.float32)))
    assert (probabilities.numpy() > 0).all() and (probabilities.numpy() < 1).all()


def test_the_first_convolution_gets_pixels_of_0_to_1(reference: keras.Model) -> None:
    first = keras.Model(reference.input, reference.get_layer("block1_conv1").input)
    white = first(np.full((1, 32, 32, 3), 255, np.uint8)).numpy()
    assert white.min() == white.max() == pytest.approx(1.0)


def test_batch_norm_comes_before_each_relu(with_batch_norm: keras.Model) -> None:
    names = [layer.name for layer in with_batch_norm.layers]
    at = names.index("block5_conv3")
    assert names[at : at + 4] == ["block5_conv3", "block5_conv3_bn", "block5_conv3_relu", "block5_pool"]
    assert sum(name.endswith("_bn") for name in names) == 13
    assert [name for name in names if "dropout" in name] == ["fc1_dropout", "fc2_dropout"]
    assert len(with_batch_norm.get_layer("block1_conv1").weights) == 1  # no bias: batch normalisation has one
    (kernel,) = values_of(with_batch_norm.get_layer("block3_conv1").weights)
    assert kernel.std() == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.01)  # He: sqrt(2 / inputs)


def test_logits_and_probabilities_are_float32_in_mixed_precision(with_batch_norm: keras.Model) -> None:
    assert with_batch_norm.get_layer("block1_conv1").compute_dtype == "bfloat16"
    assert all(weight.dtype == "float32" for weight in with_batch_norm.weights)
    logits = with_batch_norm.get_layer("logits")
    assert logits.compute_dtype == with_batch_norm.get_layer("probabilities").compute_dtype == "float32"
    before = values_of(logits.weights)
    logits.set_weights([np.zeros((4096, 3)), np.array([50.0, -50.0, 0.5])])
    probabilities = with_batch_norm(pictures(1)).numpy()[0]
    # sigmoid(-50) = 1.93e-22 and sigmoid(0.5) = 0.622459: float16 would give 0, bfloat16 0.621
    assert probabilities[0] == 1.0 and probabilities[1] == pytest.approx(1.928750e-22, rel=1e-5)
    assert probabilities[2] == pytest.approx(0.6224593, rel=1e-6)
    loss, _ = cross_entropy_sums(np.array([[0, 1, -1]], np.float32), with_logits(with_batch_norm)(pictures(1)))
    assert loss.numpy() == pytest.approx(100.0)  # wrong by 50 twice
    logits.set_weights(before)


def test_a_seed_gives_the_same_weights_dropout_or_not(reference: keras.Model) -> None:
    again = build_vgg16(20, 32, dropout=0.5)
    for a, b in zip(values_of(reference.weights), values_of(again.weights), strict=True):
        np.testing.assert_array_equal(a, b)
    other = build_vgg16(20, 32, seed=1)
    assert (values_of(reference.weights)[0] != values_of(other.weights)[0]).any()


def test_set_prior_makes_an_empty_head_predict_the_class_frequencies(with_batch_norm: keras.Model) -> None:
    logits = with_batch_norm.get_layer("logits")
    before = values_of(logits.weights)
    logits.kernel.assign(np.zeros((4096, 3)))
    set_prior(with_batch_norm, np.array([0.25, 0.0, 1.0]))
    np.testing.assert_allclose(with_batch_norm(pictures(1))[0], [0.25, 0.001, 0.999], rtol=1e-4)  # never quite 0 or 1
    logits.set_weights(before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 31}, "image_size=31; each side must be 32 or more"),
        ({"num_classes": 0}, "num_classes=0; at least 1"),
        ({"dropout": 1.0}, "dropout=1.0; 0 <= dropout < 1"),
        ({"weights": "imagenet", "batch_norm": True}, "weights='imagenet' were trained without batch_norm"),
    ],
)
def test_arguments_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_vgg16(**options)
