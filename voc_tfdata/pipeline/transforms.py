"""Stateless image operations: decode, crop, resize, flip, colour jitter.

    image = resize_image(decode_jpeg(jpeg), 224)                          # uint8 [224, 224, 3]
    windows = sample_windows(draws, heights, widths)                      # int32 [G, 4]
    image = resize_image(decode_window(jpeg, windows[0]), 224)

Every random choice is a function of numbers in [0, 1) that the caller draws (order.uniform_draws), one row of
NUM_DRAWS an example. There is no control flow inside, so that map_inline can run all of it.
"""

from __future__ import annotations

import math

import tensorflow as tf

from voc_tfdata.image_size import ImageSize, read_size
from voc_tfdata.pipeline import raw_ops

# The columns of a row of draws.
FLIP, TOP, LEFT, JITTER = 0, 1, 2, slice(3, 6)
_TRIES = 10
_AREAS, _RATIOS, NUM_DRAWS = slice(6, 6 + _TRIES), slice(6 + _TRIES, 6 + 2 * _TRIES), 6 + 2 * _TRIES

# Szegedy et al. 2015, Going Deeper with Convolutions, section 6: patches of 8 to 100 % of the area, aspect 3/4 to 4/3.
_MIN_AREA = 0.08
_MAX_RATIO = 4 / 3
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def decode_jpeg(jpeg: tf.Tensor) -> tf.Tensor:
    """Returns uint8 [H, W, 3] RGB of a JPEG (string scalar, grey or RGB): the pixels of cv2.imread and Pillow.

    Raises:
      tf.errors.InvalidArgumentError: it is no JPEG.
    """
    # TensorFlow's default is the fast DCT, which is up to 20 grey levels off and no faster on CPUs with AVX2.
    return tf.io.decode_jpeg(jpeg, channels=3, dct_method="INTEGER_ACCURATE")


def decode_window(jpeg: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    """Returns uint8 [h, w, 3] RGB of a window (int32 [4]: top, left, h, w) of a JPEG, without decoding the rest."""
    return tf.io.decode_and_crop_jpeg(jpeg, window, channels=3, dct_method="INTEGER_ACCURATE")


def resize_image(image: tf.Tensor, size: ImageSize, *, resize: str = "bilinear") -> tf.Tensor:
    """Returns an image of another size.

    Args:
      image: uint8 [H, W, 3].
      size: side of a square or (height, width), in pixels.
      resize: "bilinear" takes half-pixel centres and no antialias, as cv2.INTER_LINEAR does; "antialias" widens the
        filter where it shrinks, as Pillow's BILINEAR does; "pad" does so too, keeps the aspect and centres the image on
        black, as Pillow's ImageOps.pad does.

    Returns:
      uint8 [height, width, 3].
    """
    size = read_size(size)
    if resize == "bilinear":
        # Cast first: the kernel loads float pixels as vectors, but uint8 pixels byte by byte, which takes 1.5 times
        # as long as casting and resizing together.
        pixels = raw_ops.resize_bilinear(tf.cast(image, tf.float32), size)
    else:
        sides = tf.shape(image)[:2]
        target = _fit(sides, size) if resize == "pad" else tf.constant(size)
        pixels = raw_ops.scale_and_translate(
            image,
            size,
            scale=tf.cast(target, tf.float32) / tf.cast(sides, tf.float32),
            translation=tf.round(tf.cast(size - target, tf.float32) / 2),
        )
    return tf.ensure_shape(tf.cast(tf.round(pixels), tf.uint8), [*size, 3])


def _fit(sides: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Returns int32 [2]: the largest height and width within `size` that keep the aspect of `sides`."""
    shrink = tf.reduce_min(tf.constant(size, tf.float64) / tf.cast(sides, tf.float64))
    return tf.maximum(tf.cast(tf.round(tf.cast(sides, tf.float64) * shrink), tf.int32), 1)


def sample_windows(draws: tf.Tensor, heights: tf.Tensor, widths: tf.Tensor) -> tf.Tensor:
    """Returns a random window of each image, of 8 to 100 % of its area and aspect 3/4 to 4/3 (Inception).

    Of ten windows of uniform area and log-uniform aspect the first that fits is taken, or else the largest window of an
    allowed aspect; its place is uniform.

    Args:
      draws: float32 [G, NUM_DRAWS] in [0, 1).
      heights: int [G], of the images, in pixels.
      widths: int [G].

    Returns:
      int32 [G, 4]: top, left, height, width in pixels.
    """
    # In float64: exp of a vector and of a single number differ in the last digit, and float32's can tip a rounding. An
    # image's window is to depend on its draws, not on its place among the others.
    draws, sides = tf.cast(draws, tf.float64), tf.cast(tf.stack([heights, widths], axis=1), tf.float64)  # [G, 2]
    area = tf.reduce_prod(sides, axis=1, keepdims=True) * (_MIN_AREA + (1 - _MIN_AREA) * draws[:, _AREAS])  # [G, 10]
    log_ratio = math.log(_MAX_RATIO) * (2 * draws[:, _RATIOS] - 1)  # of width to height
    ratio_root = tf.exp(0.5 * tf.stack([-log_ratio, log_ratio], axis=1))  # [G, 2, 10]
    tries = tf.maximum(tf.round(tf.sqrt(area)[:, None] * ratio_root), 1)
    largest = tf.minimum(sides, tf.round(sides[:, ::-1] * _MAX_RATIO))
    tries = tf.concat([tries, largest[..., None]], axis=2)  # [G, 2, 11], of which the last fits
    fits = tf.reduce_all(tries <= sides[..., None], axis=1)
    chosen = tf.gather(tries, tf.argmax(tf.cast(fits, tf.int32), axis=1), axis=2, batch_dims=1)  # [G, 2]
    corner = tf.floor((sides - chosen + 1) * draws[:, TOP : LEFT + 1])
    return tf.cast(tf.concat([tf.minimum(corner, sides - chosen), chosen], axis=1), tf.int32)


def flip_image(image: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
    """Returns uint8 [H, W, 3] mirrored left to right where draw (float32 scalar in [0, 1)) is below 0.5."""
    # Without a condition: all rows of the image are mirrored, or none. On rank 3 the kernel moves whole pixels; on
    # rank 4 it takes 2.4 times as long.
    rows = tf.where(draw < 0.5, image.shape[0], 0)
    return tf.ensure_shape(tf.concat([tf.reverse(image[:rows], [1]), image[rows:]], axis=0), image.shape)


def jitter_colors(images: tf.Tensor, draws: tf.Tensor, *, strength: float) -> tf.Tensor:
    """Returns images with brightness, contrast and saturation changed by factors uniform in 1 +- strength.

    Args:
      images: uint8 [..., H, W, 3], H and W known.
      draws: float32 [..., 3] in [0, 1), for each factor in turn.
      strength: 0 to 1.

    Returns:
      uint8 of the same shape: (images * brightness), its distance from the mean grey of the image * contrast, its
      distance from the grey of each pixel * saturation, cut to 0..255. The same for one image as in a batch.
    """
    factors = tf.unstack(1 + strength * (2 * draws - 1), axis=-1)
    brightness, contrast, saturation = (factor[..., None, None] for factor in factors)  # [..., 1, 1]
    height, width = images.shape[-3:-1]
    luma = tf.constant(_LUMA)
    sums = tf.reduce_sum(tf.reduce_sum(tf.cast(images, tf.int32), axis=-3), axis=-2)  # [..., 3], exact in any order
    mean = tf.reduce_sum(tf.cast(sums, tf.float32) / (height * width) * luma, axis=-1)[..., None, None]
    # All of it is one linear map of the colour and a shift; step by step it would take three times as long.
    shift = (1 - contrast) * brightness * mean
    to_grey = tf.tile(luma[:, None], [1, 3])
    matrix = brightness * contrast * (saturation * tf.eye(3) + (1 - saturation) * to_grey)  # [..., 3, 3]
    group = 4 if height * width % 4 == 0 else 1  # pixels a row: products with 3 x 3 matrices are slow
    diagonal = tf.reshape(tf.eye(group), [group, 1, group, 1])
    batch = tf.shape(draws)[:-1]
    matrix = tf.reshape(diagonal * matrix[..., None, :, None, :], tf.concat([batch, [3 * group, 3 * group]], 0))
    rows = tf.reshape(tf.cast(images, tf.float32), tf.concat([batch, [-1, 3 * group]], 0))
    pixels = tf.clip_by_value(tf.matmul(rows, matrix) + shift, 0, 255)
    return tf.ensure_shape(tf.reshape(tf.cast(tf.round(pixels), tf.uint8), tf.shape(images)), images.shape)
