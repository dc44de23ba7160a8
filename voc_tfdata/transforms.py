"""Stateless image operations: resize, crop, flip, jitter.

image = resize_image(image, 224)                                     # uint8 [H, W, 3] -> uint8 [224, 224, 3]
"""

from __future__ import annotations

import tensorflow as tf

RESIZES = ("bilinear", "antialias", "pad")


def resize_image(image: tf.Tensor, size: int, *, resize: str = "bilinear") -> tf.Tensor:
    """Returns uint8 [size, size, 3] of an image uint8 [H, W, 3]."""
    if resize == "bilinear":
        pixels = tf.raw_ops.ResizeBilinear(images=image[None], size=[size, size], half_pixel_centers=True)[0]
    elif resize == "antialias":
        pixels = tf.image.resize(image, [size, size], antialias=True)
    else:
        pixels = tf.image.resize_with_pad(image, size, size, antialias=True)
    pixels = tf.cast(tf.round(pixels), tf.uint8)
    return tf.ensure_shape(pixels, [size, size, 3])
