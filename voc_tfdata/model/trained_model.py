"""A trained model: as a file that knows its class names, and on images that are no records.

    save_model("runs/a/best.keras", model, class_names, resize="bilinear")
    trained = load_model("runs/a/best.keras")          # trained.model, trained.class_names, trained.resize
    scores = predict_jpegs(trained, [jpeg_bytes, ...]) # float32 [N, C]: the same pixels reach it as in training

A .keras file is a zip; one more member does not disturb keras.saving.load_model, which reads the same file.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from voc_tfdata.classes import check_class_names
from voc_tfdata.files import writing_whole
from voc_tfdata.image_size import ImageSize, read_size
from voc_tfdata.pipeline.arguments import check_choices
from voc_tfdata.pipeline.transforms import decode_jpeg, resize_image

_MEMBER = "voc_tfdata.json"


class TrainedModel(NamedTuple):
    """A model with what is needed to use it on new pictures."""

    model: keras.Model
    class_names: tuple[str, ...]
    resize: str  # as in eval_dataset
    weights: str = "none"  # that it started from: "none", "imagenet" or a file's name

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images it takes, in pixels."""
        _, height, width, _ = self.model.input_shape
        return height, width


def save_model(
    path: str | Path, model: keras.Model, class_names: Sequence[str], *, resize: str, weights: str = "none"
) -> None:
    """Writes a model with what `voc_tfdata evaluate`, `predict` and `export` must know of it.

    Keras reads the file, too. It is written under a temporary name and renamed.

    Args:
      path: of the file, ending in .keras.
      model: uint8 or float [B, H, W, 3] RGB, 0..255, to probabilities [B, C].
      class_names: of its C outputs, in their order.
      resize: as eval_dataset had it for the images that it was trained on.
      weights: that it started from: "none", "imagenet" or a file's name.

    Raises:
      ValueError: class_names does not fit the model's outputs, there is no such resize, or path has another suffix.
      OSError: the file cannot be written.
    """
    check_choices(resize=resize)
    if Path(path).suffix != ".keras":
        raise ValueError(f"{path}: the name of a model's file ends in .keras")
    names = check_class_names(class_names, model.output_shape[-1])
    facts = {"class_names": names, "resize": resize, "weights": weights}
    with writing_whole(path) as temporary:  # its suffix is that of path: Keras goes by it
        model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as file:
            file.writestr(_MEMBER, json.dumps(facts, ensure_ascii=False))


def load_model(path: str | Path) -> TrainedModel:
    """Returns a model written by save_model, with its class_names, resize, weights and image_size (height, width).

    Args:
      path: of the file, e.g. best.keras of a run.

    Raises:
      FileNotFoundError: no such file.
      ValueError: it is damaged, was not written by save_model, or its weights hold NaN.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint {path}; voc_tfdata train writes best.keras into its --out_dir")
    try:
        with zipfile.ZipFile(path) as file:
            text = file.read(_MEMBER)
    except zipfile.BadZipFile as err:
        raise ValueError(f"{path} is no .keras file or damaged ({err})") from err
    except KeyError as err:
        raise ValueError(
            f"{path} holds no {_MEMBER} (class names): it was not written by voc_tfdata train; write a model of your "
            "own by voc_tfdata.save_model(path, model, class_names, resize='bilinear')"
        ) from err
    try:
        fields = json.loads(text)
        names, resize = tuple(map(str, fields["class_names"])), str(fields["resize"])
    except (ValueError, KeyError, TypeError, RecursionError) as err:
        raise ValueError(f"{path}: its {_MEMBER} is damaged ({err!r}); take another checkpoint") from err
    # Not compiled: a loss and an optimizer of the user's own are nothing that predicting needs, or that is known here.
    model = keras.saving.load_model(path, safe_mode=True, compile=False)
    broken = [weight.path for weight in model.weights if not np.isfinite(keras.ops.convert_to_numpy(weight)).all()]
    if broken:
        raise ValueError(f"{path}: its weights hold NaN or infinity ({broken[0]}): it predicts nothing; train again")
    return TrainedModel(model, names, resize, str(fields.get("weights", "none")))


def predict_jpegs(trained: TrainedModel, jpegs: Sequence[bytes]) -> npt.NDArray[np.float32]:
    """Returns the probabilities float32 [N, C] of a batch of upright JPEGs, grey or RGB.

    Raises:
      tf.errors.InvalidArgumentError: one is no JPEG.
    """
    images = decode_jpegs(tf.constant(list(jpegs)), trained.image_size, resize=trained.resize)
    return trained.model(images, training=False).numpy()


def decode_jpegs(jpegs: tf.Tensor, image_size: ImageSize, *, resize: str) -> tf.Tensor:
    """Returns uint8 [N, H, W, 3] RGB of JPEGs (string [N]): the pixels eval_dataset gives.

    Args:
      jpegs: upright, grey or RGB.
      image_size: side of a square, or (H, W), in pixels.
      resize: see eval_dataset.
    """
    return tf.map_fn(
        lambda jpeg: resize_image(decode_jpeg(jpeg), image_size, resize=resize),
        jpegs,
        fn_output_signature=tf.TensorSpec([*read_size(image_size), 3], tf.uint8),
    )
