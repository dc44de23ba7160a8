"""The exported model sees what the converter would store: the same odd images through both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.devkit_fixture import encode
from tests.tiny_model import build_tiny_trained
from voc_tfdata.devkit.images import load_upright_jpeg
from voc_tfdata.model.networks import build_model
from voc_tfdata.model.serving import decode_images, in_float32, write_saved_model
from voc_tfdata.model.trained_model import TrainedModel, decode_jpegs, predict_jpegs


def picture(width: int = 60, height: int = 44) -> Image.Image:
    """Smooth, without a symmetry, in colour."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return Image.fromarray(
        np.stack([255 * x, 255 * y, 255 * (1 - x) * y + 40 * (x > 0.7)], -1).clip(0, 255).astype(np.uint8)
    )


def exif(orientation: int, *, big: bool = False) -> bytes:
    """EXIF with one field, little-endian or big-endian."""
    order = "big" if big else "little"

    def number(value: int, count: int) -> bytes:
        return value.to_bytes(count, order)  # type: ignore[arg-type]

    field = number(0x0112, 2) + number(3, 2) + number(1, 4) + number(orientation, 2) + bytes(2)
    return b"Exif\0\0" + (b"MM" if big else b"II") + number(42, 2) + number(8, 4) + number(1, 2) + field + bytes(4)


def with_alpha(mode: str) -> Image.Image:
    image = picture().convert(mode[:-1])
    image.putalpha(Image.fromarray(np.linspace(0, 255, 60 * 44).reshape(44, 60).astype(np.uint8)))
    return image


def wide_grey() -> Image.Image:
    return Image.fromarray((np.arange(60 * 44).reshape(44, 60) * 24).astype(np.uint16))


def with_eight_bits_of_sixteen() -> bytes:
    """An RGB PNG of 16 bits, which Pillow does not write."""
    import cv2

    pixels = np.asarray(picture())[..., ::-1].astype(np.uint16) * 257
    return bytes(cv2.imencode(".png", pixels)[1])


def with_xmp(orientation: int) -> bytes:
    text = f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'.encode()
    return encode(picture(), "JPEG", xmp=text)


def with_exif_chunk() -> bytes:
    return encode(picture(), "PNG", exif=exif(6))


def with_clear_colour() -> bytes:
    image = picture().quantize(16)
    return encode(image, "PNG", transparency=3)


ODD = {
    "plain": encode(picture(), "JPEG", quality=90),
    "progressive": encode(picture(), "JPEG", quality=90, progressive=True),
    "grey": encode(picture().convert("L"), "JPEG"),
    "CMYK": encode(picture().convert("CMYK"), "JPEG"),
    **{f"EXIF {k}": encode(picture(), "JPEG", exif=exif(k)) for k in range(1, 9)},
    "EXIF big-endian": encode(picture(), "JPEG", exif=exif(6, big=True)),
    "EXIF 9": encode(picture(), "JPEG", exif=exif(9)),
    "EXIF cut off": encode(picture(), "JPEG", exif=exif(6)[:16]),
    "grey EXIF 8": encode(picture().convert("L"), "JPEG", exif=exif(8)),
    "XMP 3": with_xmp(3),
    "comment first": encode(picture(), "JPEG", exif=exif(6), comment=b"Exif\0\0II tiff:Orientation"),
    "PNG": encode(picture(), "PNG"),
    "PNG of palette": encode(picture().quantize(40), "PNG"),
    "PNG of palette with a clear colour": with_clear_colour(),
    **{f"PNG of palette of {bits} bits": encode(picture().quantize(2**bits), "PNG", bits=bits) for bits in (1, 2, 4)},
    "PNG of one bit": encode(picture().convert("1"), "PNG"),
    "PNG grey": encode(picture().convert("L"), "PNG"),
    "PNG grey with alpha": encode(with_alpha("LA"), "PNG"),
    "PNG with alpha": encode(with_alpha("RGBA"), "PNG"),
    "PNG grey of 16 bits": encode(wide_grey(), "PNG"),
    "PNG of 16 bits": with_eight_bits_of_sixteen(),
    "PNG with EXIF 6": with_exif_chunk(),
}


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return build_tiny_trained()


@pytest.fixture(scope="module")
def exported(trained: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> object:
    folder = tmp_path_factory.mktemp("exported") / "new" / "exported"
    write_saved_model(trained, folder)
    assert [path.name for path in folder.parent.iterdir()] == ["exported"]
    return tf.saved_model.load(str(folder))


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_image_is_seen_as_the_converter_would_store_it(kind: str) -> None:
    stored = load_upright_jpeg(ODD[kind], path=kind).jpeg
    for resize in ("bilinear", "pad"):
        wanted = decode_jpegs(tf.constant([stored]), 40, resize=resize).numpy().astype(int)
        seen = decode_images(tf.constant([ODD[kind]]), (40, 40), resize=resize).numpy().astype(int)
        assert np.abs(seen - wanted).max() <= 2, kind
        assert np.ptp(wanted) > 80


def test_the_turns_are_told_apart() -> None:
    seen = decode_images(tf.constant([ODD[f"EXIF {k}"] for k in range(1, 9)]), (40, 40), resize="bilinear").numpy()
    for one in range(8):
        for other in range(one):
            assert np.abs(seen[one].astype(int) - seen[other]).mean() > 5


def test_the_export_gives_the_probabilities_of_predict(trained: TrainedModel, exported: object) -> None:
    stored = [load_upright_jpeg(data, path=kind).jpeg for kind, data in ODD.items()]
    wanted = predict_jpegs(trained, stored)
    answer = exported.signatures["serving_default"](jpeg=tf.constant(list(ODD.values())))  # type: ignore[attr-defined]
    assert set(answer) == {"dog", "traffic light"}
    assert np.ptp(wanted) > 0.05
    for c, name in enumerate(trained.class_names):
        np.testing.assert_allclose(answer[name], wanted[:, c], atol=1e-3)


def test_an_empty_batch_gives_an_empty_answer(exported: object) -> None:
    answer = exported.signatures["serving_default"](jpeg=tf.constant([], tf.string))  # type: ignore[attr-defined]
    assert {name: scores.shape for name, scores in answer.items()} == {"dog": (0,), "traffic light": (0,)}


def test_images_that_cannot_be_read_are_named_by_their_place(exported: object) -> None:
    good, whole = ODD["plain"], ODD["PNG"]
    for bad in (b"", b"text", good[:200], whole[:-40], encode(picture(), "GIF"), encode(picture(), "BMP"), good[:3]):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"neither JPEG nor PNG.*counted from 0:\D*1 3\]"):
            exported.signatures["serving_default"](jpeg=tf.constant([good, bad, whole, bad]))  # type: ignore[attr-defined]


def test_a_folder_that_is_there_is_not_written_over(trained: TrainedModel, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(FileExistsError, match="there exists already; delete it or take another --out_dir"):
        write_saved_model(trained, tmp_path / "there")


@pytest.mark.parametrize("name", ["vgg16", "mobilenetv2"])
def test_an_export_computes_in_float32_whatever_the_training_did(tmp_path: Path, name: str) -> None:
    mixed = build_model(name, 2, 32, seed=1, precision="mixed_bfloat16")
    twin = build_model(name, 2, 32, seed=1, precision="float32")
    twin.set_weights(mixed.get_weights())
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.float32)
    wanted = twin(images, training=False).numpy()
    if name == "vgg16":  # the other one says 0.5 of everything as it begins
        assert np.abs(mixed(images, training=False).numpy() - wanted).max() > 0  # the precision can be seen
    np.testing.assert_array_equal(in_float32(mixed)(images, training=False), wanted)
    write_saved_model(TrainedModel(mixed, ("a", "b"), "bilinear"), tmp_path / "exported")
    serve = tf.saved_model.load(str(tmp_path / "exported")).signatures["serving_default"]
    assert "bfloat16" not in str(serve.graph.as_graph_def(add_shapes=False))
