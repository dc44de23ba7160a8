"""Image operations: against OpenCV, Pillow and numpy, eagerly and inside Dataset.map."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from tests.devkit_fixture import draw_noise, encode
from voc_tfdata.pipeline import transforms

SMOOTH = draw_noise(97, 61).resize((331, 207), Image.Resampling.BICUBIC)  # like a photograph: no single-pixel detail


def in_map(function, *args: np.ndarray) -> np.ndarray:
    """Returns function(*args) as a step of a tf.data pipeline gives it."""
    ds = tf.data.Dataset.from_tensors(args).map(function)
    return next(iter(ds)).numpy()


@pytest.mark.parametrize("size", [64, 224, 400])
def test_bilinear_is_what_cv2_resize_gives(size: int) -> None:
    cv2 = pytest.importorskip("cv2")
    pixels = np.asarray(SMOOTH)
    wanted = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_LINEAR).astype(int)
    found = in_map(lambda image: transforms.resize_image(image, size), pixels)
    assert found.dtype == np.uint8 and np.abs(found - wanted).max() <= 1
    assert (found == transforms.resize_image(tf.constant(pixels), size).numpy()).all()


def test_real_pictures_are_decoded_and_resized_as_cv2_does(shared_voc: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    paths = sorted((shared_voc / "VOC2012" / "JPEGImages").glob("*.jpg"))[::110]
    assert len(paths) == 10
    for path in paths:
        wanted = cv2.resize(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), (224, 224)).astype(int)
        found = transforms.resize_image(transforms.decode_jpeg(tf.constant(path.read_bytes())), 224).numpy()
        assert np.abs(found - wanted).max() <= 1, path.name


def test_antialias_is_what_pillow_gives() -> None:
    wanted = np.asarray(SMOOTH.resize((64, 64), Image.Resampling.BILINEAR)).astype(int)
    found = transforms.resize_image(tf.constant(np.asarray(SMOOTH)), 64, resize="antialias").numpy()
    assert np.abs(found - wanted).max() <= 1


@pytest.mark.parametrize("shape", [(331, 207), (207, 331)])
def test_pad_keeps_the_aspect_and_centres_on_black(shape: tuple[int, int]) -> None:
    picture = SMOOTH.resize(shape)
    wanted = np.asarray(ImageOps.pad(picture, (64, 64), Image.Resampling.BILINEAR)).astype(int)
    found = transforms.resize_image(tf.constant(np.asarray(picture)), 64, resize="pad").numpy().astype(int)
    # 64 * 207 / 331 = 40.02: 40 of 64 pixels, 12 black ones on each side
    black = found[:12] if shape[0] > shape[1] else found[:, :12]
    assert (black == 0).all()
    assert np.abs(found - wanted).max() <= 2


def test_grey_jpegs_become_three_equal_channels() -> None:
    jpeg = encode(SMOOTH.convert("L"), "JPEG")
    image = transforms.decode_jpeg(tf.constant(jpeg)).numpy()
    assert image.shape == (207, 331, 3) and (image == image[..., :1]).all()


def test_channels_are_red_green_blue() -> None:
    jpeg = encode(Image.new("RGB", (16, 16), (250, 10, 90)), "JPEG", quality=95)
    pixel = transforms.decode_jpeg(tf.constant(jpeg)).numpy()[8, 8].astype(int)
    assert np.abs(pixel - (250, 10, 90)).max() <= 3


def test_a_window_is_the_same_part_of_the_decoded_picture() -> None:
    jpeg = tf.constant(encode(SMOOTH, "JPEG", quality=95, subsampling="4:4:4"))
    window = tf.constant([33, 70, 100, 120])
    found = transforms.decode_window(jpeg, window).numpy()
    assert (found == transforms.decode_jpeg(jpeg).numpy()[33:133, 70:190]).all()


def test_windows_keep_to_area_aspect_and_picture() -> None:
    draws = tf.constant(np.random.RandomState(0).rand(300, transforms.NUM_DRAWS), tf.float32)
    windows = transforms.sample_windows(draws, tf.fill([300], 300), tf.fill([300], 400)).numpy()
    top, left, height, width = windows.T
    assert (0 <= top).all() and (top <= 300 - height).all() and (0 <= left).all() and (left <= 400 - width).all()
    assert height.min() >= 1 and width.min() >= 1
    areas, ratios = height * width / 120_000, width / height
    assert 0.07 <= areas.min() < 0.15 and 0.75 < areas.max() <= 1
    assert 0.73 <= ratios.min() < 0.8 and 1.25 < ratios.max() <= 1.36  # 3/4 to 4/3, rounded to pixels
    assert len(set(zip(top.tolist(), left.tolist(), strict=True))) > 250


def test_a_window_depends_on_its_own_picture_only() -> None:
    rng = np.random.RandomState(2)
    draws = tf.constant(rng.rand(1000, transforms.NUM_DRAWS), tf.float32)
    heights, widths = (tf.constant(rng.randint(1, 600, 1000), tf.int64) for _ in range(2))
    together = transforms.sample_windows(draws, heights, widths).numpy()
    for i in range(100):
        alone = transforms.sample_windows(draws[i : i + 1], heights[i : i + 1], widths[i : i + 1])
        assert (alone.numpy()[0] == together[i]).all()
    # Of this one float32 makes a width of 261 alone and 262 beside another. Its first six tries do not fit.
    close = np.zeros([1, transforms.NUM_DRAWS], np.float32)
    close[0, 6:12], close[0, 12:16], close[0, 12], close[0, 22] = 1 - 2**-24, 0.5, 0.30608425, 0.5148735
    for size in range(1, 9):
        copies = transforms.sample_windows(tf.tile(close, [size, 1]), tf.fill([size], 375), tf.fill([size], 500))
        assert (copies.numpy()[:, 2:] == [259, 261]).all()
    for size in (3, 7):
        groups = [
            transforms.sample_windows(draws[i : i + size], heights[i : i + size], widths[i : i + size])
            for i in range(0, 1000, size)
        ]
        assert (np.concatenate(groups) == together).all()


def test_a_window_is_found_in_a_very_narrow_picture() -> None:
    # 2 x 500: no window of 8 % of the area (80 pixels) is 3/4 to 4/3, so the largest of that aspect is taken: 2 x 3.
    draws = tf.constant(np.random.RandomState(1).rand(1, transforms.NUM_DRAWS), tf.float32)
    [[_, left, height, width]] = transforms.sample_windows(draws, tf.constant([2]), tf.constant([500])).numpy()
    assert (height, width) == (2, 3) and 0 <= left <= 497


@pytest.mark.parametrize("draw, flips", [(0.0, True), (0.49, True), (0.5, False), (0.99, False)])
def test_flips_mirror_left_and_right_at_even_odds(draw: float, flips: bool) -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (8, 8, 3)).astype(np.uint8)
    wanted = pixels[:, ::-1] if flips else pixels
    function = lambda image, d: transforms.flip_image(tf.ensure_shape(image, [8, 8, 3]), d)  # noqa: E731
    assert (function(tf.constant(pixels), tf.constant(draw, tf.float32)).numpy() == wanted).all()
    assert (in_map(function, pixels, np.float32(draw)) == wanted).all()


def test_jitter_by_hand_on_one_grey_picture() -> None:
    # All pixels 100: contrast and saturation change nothing, brightness is 1 + 0.5 * (2 * 0.75 - 1) = 1.25.
    images = tf.fill([1, 4, 4, 3], tf.constant(100, tf.uint8))
    found = transforms.jitter_colors(images, tf.constant([[0.75, 0.1, 0.9]]), strength=0.5).numpy()
    assert (found == 125).all()


def test_jitter_in_the_middle_of_its_range_changes_nothing() -> None:
    pixels = tf.constant(np.asarray(SMOOTH))
    found = transforms.jitter_colors(pixels, tf.constant([0.5, 0.5, 0.5]), strength=0.8).numpy().astype(int)
    assert np.abs(found - np.asarray(SMOOTH)).max() <= 1


def test_full_contrast_and_saturation_factors_by_hand() -> None:
    # Half black, half white: mean 127.5. Contrast 1 - 0.5 = 0.5 gives 63.75 and 191.25, rounded 64 and 191.
    halves = np.zeros((2, 2, 3), np.uint8)
    halves[0] = 255
    found = transforms.jitter_colors(tf.constant(halves), tf.constant([0.5, 0.0, 0.5]), strength=0.5).numpy()
    assert (found[0] == 191).all() and (found[1] == 64).all()
    # Saturation 0 leaves the luma of pure red, 0.299 * 255 = 76.2.
    red = tf.constant(np.full((2, 2, 3), (255, 0, 0), np.uint8))
    found = transforms.jitter_colors(red, tf.constant([0.5, 0.5, 0.0]), strength=1.0).numpy()
    assert (found == 76).all()


def test_a_truncated_jpeg_is_an_error_not_a_grey_half() -> None:
    jpeg = io.BytesIO(encode(SMOOTH, "JPEG")).getvalue()
    with pytest.raises(tf.errors.InvalidArgumentError):
        transforms.decode_jpeg(tf.constant(jpeg[: len(jpeg) // 2]))
