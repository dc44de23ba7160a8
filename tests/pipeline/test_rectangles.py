"""image_size=(height, width): pixels, store, windows, a user's augmentation, preview, and the model's way to them."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from tests.devkit_fixture import draw_noise, encode, sample, write_devkit
from voc_tfdata.convert.build import build_records
from voc_tfdata.image_size import format_size, parse_size, read_size
from voc_tfdata.model.network_files import write_network
from voc_tfdata.model.networks import build_model
from voc_tfdata.model.serving import write_saved_model
from voc_tfdata.model.trained_model import load_model, predict_jpegs, save_model
from voc_tfdata.pipeline import transforms
from voc_tfdata.pipeline.dataset import eval_dataset, read_examples, train_dataset
from voc_tfdata.pipeline.preview import preview

SIZE = (24, 40)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rectangles")
    samples = {f"p{k}": sample("cat", picture=encode(draw_noise(50 + k, 60 - k, seed=k), "JPEG")) for k in range(9)}
    root = write_devkit(folder / "VOC", samples, {"train": list(samples)})
    build_records(root, folder / "records", splits=("train",), num_workers=1)
    return folder / "records"


def take(ds: tf.data.Dataset, steps: int) -> list[np.ndarray]:
    return [batch[0].numpy() for batch in ds.take(steps)]


@pytest.mark.parametrize("size", [(64, 100), (100, 64), (31, 300)])
@pytest.mark.parametrize("shape", [(331, 207), (207, 331), (90, 90)])
def test_pixels_are_those_of_opencv_and_pillow(size: tuple[int, int], shape: tuple[int, int]) -> None:
    cv2 = pytest.importorskip("cv2")
    picture = draw_noise(97, 61).resize(shape, Image.Resampling.BICUBIC)
    pixels, (height, width) = np.asarray(picture), size
    wanted = {
        "bilinear": cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR),
        "antialias": np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR)),
        "pad": np.asarray(ImageOps.pad(picture, (width, height), Image.Resampling.BILINEAR)),
    }
    for resize, image in wanted.items():
        found = transforms.resize_image(tf.constant(pixels), size, resize=resize).numpy()
        assert found.shape == (height, width, 3)
        assert np.abs(found.astype(int) - image).max() <= 2, resize


def test_batches_hold_the_images_resized_to_height_and_width(records: Path) -> None:
    images = np.concatenate(take(eval_dataset(records, "train", batch_size=4, image_size=SIZE), 9))
    assert images.shape == (9, *SIZE, 3)
    for image, example in zip(images, read_examples(records, "train"), strict=True):
        wanted = transforms.resize_image(transforms.decode_jpeg(example["image/encoded"]), SIZE)
        np.testing.assert_array_equal(image, wanted)


@pytest.mark.parametrize("augment", ["none", "flip"])
def test_the_store_gives_the_same_images(records: Path, tmp_path: Path, augment: str) -> None:
    options = {"batch_size": 4, "image_size": SIZE, "augment": augment, "color_jitter": 0.3, "cache_dir": tmp_path}
    plain, stored = (take(train_dataset(records, cache=cache, **options), 5) for cache in ("none", "decoded"))
    np.testing.assert_array_equal(np.concatenate(stored), np.concatenate(plain))
    assert [path.name for path in tmp_path.glob("voc-train-24x40-bilinear*")]


def test_windows_of_the_store_lie_within_its_images(records: Path, tmp_path: Path) -> None:
    options = {"batch_size": 9, "epochs": 1, "image_size": SIZE, "with_ids": True}
    ((windows, _, ids),) = train_dataset(
        records, **options, augment="crop", cache="decoded", cache_dir=tmp_path
    ).as_numpy_iterator()
    ((wholes, _, order),) = eval_dataset(
        records, "train", batch_size=9, image_size=(28, 46), with_ids=True
    ).as_numpy_iterator()
    whole_of = dict(zip(order, wholes, strict=True))
    for window, image_id in zip(windows, ids, strict=True):
        found = [
            (window == image[top : top + 24, left : left + 40]).all()
            for image in (whole_of[image_id], whole_of[image_id][:, ::-1])
            for top in range(5)
            for left in range(7)
        ]
        assert sum(found) == 1


def test_random_windows_and_own_augmentation_have_that_shape(records: Path) -> None:
    def turn(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        assert image.shape == (*SIZE, 3)
        return tf.reverse(image, [0])

    for augment in ("crop", turn):
        ds = train_dataset(records, batch_size=4, image_size=SIZE, augment=augment)
        assert ds.element_spec[0].shape.as_list() == [None, *SIZE, 3]
        assert take(ds, 1)[0].shape == (4, *SIZE, 3)


def test_a_preview_keeps_the_proportions(records: Path) -> None:
    options = {"batch_size": 3, "image_size": (96, 160)}
    pixels = np.asarray(preview(records, **options))
    images = take(train_dataset(records, **options), 1)[0]
    for k in range(3):
        np.testing.assert_array_equal(pixels[6:102, 6 + 166 * k : 166 + 166 * k], images[k])


@pytest.mark.parametrize("name", ["vgg16", "mobilenetv2"])
def test_a_model_of_that_shape_is_kept_served_and_converted(tmp_path: Path, name: str) -> None:
    model = build_model(name, num_classes=2, image_size=(32, 64))
    assert model.input_shape == (None, 32, 64, 3)
    save_model(tmp_path / "best.keras", model, ("cat", "dog"), resize="bilinear")
    trained = load_model(tmp_path / "best.keras")
    assert trained.image_size == (32, 64)
    jpegs = [encode(draw_noise(70, 50, seed=k), "JPEG", subsampling="4:4:4") for k in range(3)]
    wanted = predict_jpegs(trained, jpegs)
    write_saved_model(trained, tmp_path / "saved")
    serve = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    np.testing.assert_allclose(serve(jpeg=tf.constant(jpegs))["dog"], wanted[:, 1], atol=1e-3)
    assert write_network(trained, tmp_path / "lite", kind="tflite") < 1e-3


def test_a_builder_of_ones_own_gets_the_pair(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "import keras\n"
        "def build(num_classes, image_size):\n"
        "    images = keras.Input((*image_size, 3))\n"
        "    x = keras.layers.GlobalAveragePooling2D()(images)\n"
        "    x = keras.layers.Dense(num_classes, name='logits')(x)\n"
        "    return keras.Model(images, keras.layers.Activation('sigmoid')(x))\n"
    )
    model = build_model(f"{tmp_path}/net.py:build", num_classes=3, image_size=(16, 24))
    assert isinstance(model, keras.Model) and model.input_shape == (None, 16, 24, 3)


def test_sizes_are_read_and_written() -> None:
    assert read_size(7) == read_size(np.int64(7)) == (7, 7)
    assert read_size((3, 5)) == read_size([3, 5]) == (3, 5)
    for size in (224, (192, 320)):
        assert parse_size(format_size(size)) == size
    assert parse_size("96,96") == 96
    for wrong in ("224", (2, 3, 4), (2,), 2.5, (2, None), None):
        with pytest.raises(TypeError, match=r"^image_size=.* is of type \w+; .* pixels, or \(height, width\)$"):
            read_size(wrong)
    with pytest.raises(ValueError, match=r"^image_size=\(40, 31\); each side must be 32 or more$"):
        read_size((40, 31), least=32)
    for text in ("", "a", "1,2,3", "192,", "1.5"):
        with pytest.raises(ValueError, match="is no size; it is one side in pixels .224., or height,width"):
            parse_size(text)
