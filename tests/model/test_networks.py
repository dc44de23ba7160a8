"""Networks by name: the same contract for all, preprocessing inside, weights of every kind of file, a user's own."""

from __future__ import annotations

import importlib
from pathlib import Path

import keras
import numpy as np
import pytest

from voc_tfdata.model import networks
from voc_tfdata.model.networks import build_model, find_backbone, find_head
from voc_tfdata.model.trained_model import load_model, save_model

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
OWN = """
import keras

def build(num_classes, image_size, weights="none"):
    images = keras.Input((image_size, image_size, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 3, name="backbone")(images))
    x = keras.layers.Dense(num_classes, name="logits")(x)
    return keras.Model(images, keras.layers.Activation("sigmoid")(x), name=f"own_{weights}")

def without_logits(num_classes, image_size):
    images = keras.Input((8, 8, 3))
    return keras.Model(images, keras.layers.Dense(1)(keras.layers.Flatten()(images)))

def no_model(num_classes, image_size):
    return 3
"""


@pytest.mark.parametrize("name", ["mobilenetv2", "densenet121", "resnet50", "mobilenetv3small"])
def test_a_network_takes_plain_pixels_and_preprocesses_them_as_its_module_does(name: str) -> None:
    model = build_model(name, num_classes=3, image_size=64, seed=1)
    assert model.input_shape == (None, 64, 64, 3) and model.output_shape == (None, 3)
    seen = keras.Model(model.input, model.get_layer("backbone")._inbound_nodes[-1].input_tensors[0])
    function = networks._applications()[name]
    preprocess = importlib.import_module(function.__module__).preprocess_input
    wanted = preprocess(IMAGES.astype(np.float32), data_format="channels_last")
    np.testing.assert_allclose(np.asarray(seen(IMAGES.astype(np.float32))), wanted, atol=1e-5)
    scores = np.asarray(model(IMAGES))
    assert scores.dtype == np.float32 and ((0 <= scores) & (scores <= 1)).all()


def test_a_network_is_saved_and_read_without_this_module(tmp_path: Path) -> None:
    model = build_model("mobilenetv2", num_classes=2, image_size=64, precision="mixed_bfloat16")
    save_model(tmp_path / "a.keras", model, ["a", "b"], resize="bilinear")
    again = load_model(tmp_path / "a.keras").model
    np.testing.assert_array_equal(np.asarray(model(IMAGES, training=False)), np.asarray(again(IMAGES, training=False)))
    assert keras.config.dtype_policy().name == "float32"  # the policy of others is left alone


def test_head_and_backbone_are_all_there_is() -> None:
    for name, num_head in (("mobilenetv2", 2), ("vgg16", 6)):  # VGG16's three Dense layers have two variables each
        model = build_model(name, num_classes=2, image_size=32)
        backbone, head = find_backbone(model), find_head(model)
        assert len(head) == num_head and len(backbone) + len(head) == len(model.trainable_variables)


def test_the_seed_fixes_the_head() -> None:
    kernels = [np.asarray(find_head(build_model("mobilenetv2", 2, 32, seed=seed))[0]) for seed in (1, 1, 2)]
    assert (kernels[0] == kernels[1]).all() and (kernels[0] != kernels[2]).any()


@pytest.mark.parametrize("kind", ["notop.h5", "top.h5", "own.weights.h5"])
def test_weights_of_every_kind_of_file_are_those_of_the_network(tmp_path: Path, kind: str) -> None:
    path = str(tmp_path / kind)
    source = keras.applications.MobileNetV2(weights=None, include_top=kind == "top.h5", input_shape=(64, 64, 3))
    rng = np.random.default_rng(1)
    source.set_weights([rng.uniform(0.1, 1, w.shape).astype(np.float32) for w in source.get_weights()])
    source.save_weights(path) if kind.endswith(".weights.h5") else save_legacy(source, path)
    model = build_model("mobilenetv2", num_classes=2, image_size=64, weights=path)
    found = model.get_layer("backbone").get_weights()
    assert len(found) == 260
    for a, b in zip(found, source.get_weights(), strict=False):
        np.testing.assert_array_equal(a, b)


def save_legacy(model: keras.Model, path: str) -> None:
    """Writes weights in the layout of keras.applications' files."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_weights_of_another_network_and_damaged_files_are_refused(tmp_path: Path) -> None:
    other = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(64, 64, 3))
    other.save_weights(tmp_path / "other.weights.h5")
    (tmp_path / "text.h5").write_text("no weights")
    for name, message in (("other.weights.h5", "does not hold the weights"), ("text.h5", "no HDF5 file or damaged")):
        with pytest.raises(ValueError, match=message):
            build_model("mobilenetv2", 2, 64, weights=str(tmp_path / name))
    with pytest.raises(FileNotFoundError, match="no file of weights"):
        build_model("mobilenetv2", 2, 64, weights=str(tmp_path / "none.h5"))


def test_with_weights_batch_normalisation_stays_as_it_was_trained(tmp_path: Path) -> None:
    source = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(64, 64, 3))
    source.save_weights(tmp_path / "a.weights.h5")
    for weights, moves in ((str(tmp_path / "a.weights.h5"), False), ("none", True)):
        model = build_model("mobilenetv2", 2, 64, weights=weights)
        before = [np.asarray(v) for v in model.non_trainable_variables]
        model(IMAGES, training=True)
        changed = any((np.asarray(v) != b).any() for v, b in zip(model.non_trainable_variables, before, strict=True))
        assert changed == moves


def test_what_is_unknown_or_does_not_fit_is_one_sentence() -> None:
    cases = {
        "no network 'resnet5'; did you mean resnet50": dict(name="resnet5"),
        "no network 'zzz'. Known are": dict(name="zzz"),
        "pooling='flatten'; it is one of avg, max": dict(pooling="flatten"),
        "batch_norm is an option of vgg16": dict(name="resnet50", batch_norm=True),
        "num_classes=0; at least 1": dict(name="resnet50", num_classes=0),
        "dropout=1.0; 0 <= dropout < 1": dict(name="resnet50", dropout=1.0),
        "xception cannot be built for images of 32 x 32 pixels": dict(name="xception", image_size=32),
    }
    for message, options in cases.items():
        with pytest.raises(ValueError, match=message):
            build_model(**{"name": "vgg16", "image_size": 64, **options})


def test_imagenet_weights_that_cannot_be_downloaded_are_told_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    if list((Path.home() / ".keras/models").glob("mobilenet_v2*")):
        pytest.skip("the weights lie in ~/.keras")
    with pytest.raises(ConnectionError, match="no ImageNet weights of mobilenetv2: .*--weights=FILE"):
        build_model("mobilenetv2", 2, 96, weights="imagenet")


def test_a_builder_of_ones_own_is_called_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "my_networks.py"
    path.write_text(OWN)
    model = build_model(f"{path}:build", num_classes=4, image_size=16)
    assert model.output_shape == (None, 4) and model.name == "own_none" and len(find_backbone(model)) == 2
    assert build_model(f"{path}:build", 4, 16, weights="x").name == "own_x"
    monkeypatch.syspath_prepend(str(tmp_path))
    assert build_model("my_networks:build", num_classes=4, image_size=16).output_shape == (None, 4)
    with pytest.raises(ValueError, match="takes .None, 8, 8, 3.*gives .None, 1.*no layer named 'logits'"):
        build_model(f"{path}:without_logits", num_classes=4, image_size=16)
    with pytest.raises(ValueError, match="returns int, not a keras.Model"):
        build_model(f"{path}:no_model", num_classes=4, image_size=16)
    for name, message in (("nowhere.py:build", "no such file"), ("nowhere:build", "no such module")):
        with pytest.raises(FileNotFoundError, match=message):
            build_model(name, num_classes=4, image_size=16)
    with pytest.raises(FileNotFoundError, match="has no function nothing"):
        build_model(f"{path}:nothing", num_classes=4, image_size=16)
