"""A trained model on pictures that are no records: the same pixels reach it as in training.

scores = predict_jpegs(trained, [jpeg_bytes, ...])                      # float32 [N, C]
write_saved_model(trained, "exported")                                  # JPEG bytes -> {class: probability}
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from voc_tfdata.model.trained_model import TrainedModel
from voc_tfdata.pipeline.transforms import decode_jpeg, resize_image


def predict_jpegs(trained: TrainedModel, jpegs: Sequence[bytes]) -> npt.NDArray[np.float32]:
    """Returns the probabilities float32 [N, C] of a batch of upright JPEGs, grey or RGB.

    Raises:
      tf.errors.InvalidArgumentError: one is no JPEG.
    """
    images = decode_jpegs(tf.constant(list(jpegs)), trained.image_size, resize=trained.resize)
    return trained.model(images, training=False).numpy()


def decode_jpegs(jpegs: tf.Tensor, image_size: int, *, resize: str) -> tf.Tensor:
    """Returns uint8 [N, image_size, image_size, 3] RGB of JPEGs (string [N]): the pixels eval_dataset gives.

    Args:
      jpegs: upright, grey or RGB.
      image_size: in pixels.
      resize: see eval_dataset.
    """
    return tf.map_fn(
        lambda jpeg: resize_image(decode_jpeg(jpeg), image_size, resize=resize),
        jpegs,
        fn_output_signature=tf.TensorSpec([image_size, image_size, 3], tf.uint8),
    )


def write_saved_model(trained: TrainedModel, out_dir: str | Path) -> None:
    """Writes a SavedModel whose serving signature takes JPEG bytes and gives the probability of each class.

    Signature "serving_default": jpeg (string [N], upright, grey or RGB) -> {class name: float32 [N]}. It is written
    under a temporary name and renamed.

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
    module.model = trained.model  # the signature's variables are saved through it

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="jpeg")], autograph=False)
    def serve(jpeg: tf.Tensor) -> dict[str, tf.Tensor]:
        images = decode_jpegs(jpeg, trained.image_size, resize=trained.resize)
        probabilities = trained.model(images, training=False)
        return {name: probabilities[:, c] for c, name in enumerate(trained.class_names)}

    temporary = out_dir.with_name(f".{out_dir.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    tf.saved_model.save(module, str(temporary), signatures={"serving_default": serve})
    os.replace(temporary, out_dir)
