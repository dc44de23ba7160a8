"""A trained model as a SavedModel, which needs nothing of this package: the bytes of images in, probabilities out.

write_saved_model(load_model("runs/a/best.keras"), "exported")
serve = tf.saved_model.load("exported").signatures["serving_default"]
serve(jpeg=tf.constant([data, ...]))["dog"]                          # float32 [N]

The images reach the network as in training: see upright.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from voc_tfdata.model.trained_model import TrainedModel
from voc_tfdata.model.upright import decode_upright
from voc_tfdata.pipeline.transforms import resize_image


def in_float32(model: keras.Model) -> keras.Model:
    """Returns a model of the same layers and weights that computes in float32: mixed precision is for training."""
    mixed = ("mixed_bfloat16", "mixed_float16")

    def replace(config: Any) -> Any:
        if isinstance(config, dict):
            return {key: replace(value) for key, value in config.items()}
        if isinstance(config, (list, tuple)):
            return type(config)(map(replace, config))
        return "float32" if config in mixed else config

    twin = type(model).from_config(replace(model.get_config()))
    twin.set_weights(model.get_weights())
    return twin


def write_saved_model(trained: TrainedModel, out_dir: str | Path) -> None:
    """Writes a SavedModel whose serving signature takes the bytes of images and gives the probability of each class.

    It computes in float32, whatever the precision of the training. Signature "serving_default": jpeg (string [N],
    JPEG or PNG, N may be 0) -> {class name: float32 [N]}. An image that is damaged or of another format is an
    InvalidArgumentError with its place in the batch. It is written under a temporary name and renamed.

    Args:
      trained: of load_model.
      out_dir: folder to make.

    Raises:
      FileExistsError: out_dir is there already.
    """
    out_dir = Path(out_dir)
    if out_dir.exists():
        raise FileExistsError(f"{out_dir} exists already; delete it or take another --out_dir")
    module = tf.Module()
    module.model = model = in_float32(trained.model)  # the signature's variables are saved through it

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="jpeg")], autograph=False)
    def serve(jpeg: tf.Tensor) -> dict[str, tf.Tensor]:
        images = decode_images(jpeg, trained.image_size, resize=trained.resize)
        probabilities = model(images, training=False)
        return {name: probabilities[:, c] for c, name in enumerate(trained.class_names)}

    temporary = out_dir.with_name(f".{out_dir.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    tf.saved_model.save(module, str(temporary), signatures={"serving_default": serve})
    os.replace(temporary, out_dir)


def decode_images(data: tf.Tensor, image_size: tuple[int, int], *, resize: str) -> tf.Tensor:
    """Returns uint8 [N, *image_size, 3] RGB of JPEG and PNG images (string [N]), decoded in parallel.

    Raises:
      tf.errors.InvalidArgumentError: some are damaged or of another format; the message names their places.
    """
    count = tf.size(data, tf.int64)

    def decode(place: tf.Tensor, one: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return place, resize_image(decode_upright(one), image_size, resize=resize)

    sound = tf.data.Dataset.from_tensor_slices(data).enumerate().map(decode, tf.data.AUTOTUNE).ignore_errors()
    one = tf.zeros([*image_size, 3], tf.uint8)
    one_at_least = tf.data.Dataset.from_tensors((tf.constant(-1, tf.int64), one)).concatenate(sound)
    places, images = (part[1:] for part in one_at_least.batch(count + 1).get_single_element())
    missing = tf.sparse.to_dense(tf.sets.difference(tf.range(count)[None], places[None]))[0]
    check = tf.debugging.Assert(
        tf.equal(tf.size(missing), 0),
        ["damaged, or neither JPEG nor PNG: these images of the batch, counted from 0:", missing],
        summarize=20,
    )
    with tf.control_dependencies([check]):
        return tf.ensure_shape(tf.identity(images), [None, *image_size, 3])
