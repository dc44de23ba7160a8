"""Weights in keras.applications' layout, written by keras.applications itself."""

import socket
import time
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from tests.tiny_model import values_of
from voc_tfdata.model.pretrained import WEIGHTS_URL, find_imagenet_weights, load_vgg16_weights
from voc_tfdata.model.vgg16 import build_vgg16

# What reaches VGG16 with ImageNet weights: blue, green, red, less (103.939, 116.779, 123.68).
FIRST_INPUTS = {
    (0, 0, 0): (-103.939, -116.779, -123.68),
    (255, 0, 0): (-103.939, -116.779, 131.32),
    (255, 255, 255): (151.061, 138.221, 131.32),
}


@pytest.fixture(scope="module")
def original() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.applications.VGG16(weights=None, include_top=True, input_shape=(32, 32, 3), classes=2)
    model.get_layer("block1_conv1").bias.assign(np.linspace(-1, 1, 64))  # initial biases are all 0
    return model


@pytest.fixture(scope="module")
def with_top(original: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "whole.h5"
    original.save(path)
    return path


@pytest.fixture(scope="module")
def without_top(with_top: Path) -> Path:
    """The layout of the published file: layers at the root, no classifier."""
    path = with_top.with_name("notop.h5")
    with h5py.File(with_top) as whole, h5py.File(path, "w") as file:
        for name, group in whole["model_weights"].items():
            if name.startswith("block"):
                whole.copy(group, file)
    return path


def test_features_are_those_of_keras_applications(original: keras.Model, with_top: Path) -> None:
    model = build_vgg16(20, 32, weights=str(with_top))
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    ours = keras.Model(model.input, model.get_layer("fc2").output)(images)
    theirs = keras.Model(original.input, original.get_layer("fc2").output)(
        keras.applications.vgg16.preprocess_input(images.astype(np.float32))
    )
    assert np.ptp(theirs) > 0.1
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_file_without_top_leaves_the_hidden_layers_as_they_were(
    original: keras.Model, without_top: Path, tmp_path: Path
) -> None:
    model = build_vgg16(20, 32, weights=str(without_top), precision="mixed_bfloat16")
    for name in ("block1_conv1", "block5_conv3"):
        theirs, ours = (values_of(it.get_layer(name).weights) for it in (original, model))
        np.testing.assert_array_equal(theirs[0], ours[0])
        np.testing.assert_array_equal(theirs[1], ours[1])
    assert (values_of(model.get_layer("fc2").weights)[0] != values_of(original.get_layer("fc2").weights)[0]).any()
    first = keras.Model(model.input, model.get_layer("block1_conv1").input)
    for colour, expected in FIRST_INPUTS.items():
        found = first(np.full((1, 32, 32, 3), colour, np.uint8)).numpy()
        np.testing.assert_allclose(
            found[0, 0, 0], expected, rtol=1e-6
        )  # in float32: bfloat16 would round 151.061 to 151

    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    first = keras.Model(again.input, again.get_layer("block1_conv1").input)
    found = first(np.full((1, 32, 32, 3), (255, 0, 0), np.uint8)).numpy()
    np.testing.assert_allclose(found[0, 0, 0], FIRST_INPUTS[255, 0, 0], rtol=1e-6)


def test_hidden_layers_of_another_size_are_not_taken(with_top: Path) -> None:
    model = build_vgg16(20, 64)  # fc1 has four times the inputs
    before = values_of(model.get_layer("fc1").weights)
    load_vgg16_weights(model, str(with_top))
    np.testing.assert_array_equal(before[0], values_of(model.get_layer("fc1").weights)[0])


def test_files_that_do_not_fit_are_named(without_top: Path, tmp_path: Path) -> None:
    model = build_vgg16(20, 32)
    with pytest.raises(FileNotFoundError, match="no file of weights nope.h5"):
        load_vgg16_weights(model, "nope.h5")
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(ValueError, match="text.h5 is no HDF5 file or damaged"):
        load_vgg16_weights(model, str(tmp_path / "text.h5"))
    with h5py.File(without_top) as file, h5py.File(tmp_path / "part.h5", "w") as part:
        for name, group in file.items():
            if name != "block2_conv1":
                file.copy(group, part)
    with pytest.raises(ValueError, match="part.h5 .*no layer block2_conv1"):
        load_vgg16_weights(model, str(tmp_path / "part.h5"))


def test_weights_on_disk_are_found_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    path = tmp_path / "models" / WEIGHTS_URL.rpartition("/")[2]
    path.parent.mkdir()
    path.write_bytes(b"")
    assert find_imagenet_weights() == str(path)


@pytest.mark.parametrize("answers", [False, True])
def test_no_network_is_said_within_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # as a proxy: closed, or open and silent forever
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        monkeypatch.delenv("no_proxy", raising=False)
        if not answers:
            server.close()
        started = time.monotonic()
        with pytest.raises(ConnectionError, match=f"put it at {tmp_path}/models/vgg16_weights.*--weights=FILE.h5"):
            build_vgg16(20, 32, weights="imagenet")
        assert time.monotonic() - started < 60
