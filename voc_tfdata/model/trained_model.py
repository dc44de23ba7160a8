"""best.keras: a Keras model file that also knows its class names and how its pictures were resized.

    save_model("runs/a/best.keras", model, class_names, resize="bilinear")
    trained = load_model("runs/a/best.keras")          # trained.model, trained.class_names, trained.resize

A .keras file is a zip; one more member does not disturb keras.saving.load_model, which reads the same file.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import keras

from voc_tfdata.classes import check_class_names

_MEMBER = "voc_tfdata.json"


class TrainedModel(NamedTuple):
    """A model with what is needed to use it on new pictures."""

    model: keras.Model
    class_names: tuple[str, ...]
    resize: str  # as in eval_dataset
    weights: str = "none"  # that it started from: "none", "imagenet" or a file's name

    @property
    def image_size(self) -> int:
        """Side of the pictures it takes, in pixels."""
        return int(self.model.input_shape[1])


def save_model(
    path: str | Path, model: keras.Model, class_names: Sequence[str], *, resize: str, weights: str = "none"
) -> None:
    """Writes a model with its class names under a temporary name and renames it.

    Raises:
      ValueError: class_names does not fit the model's outputs.
      OSError: the file cannot be written.
    """
    names = check_class_names(class_names, model.output_shape[-1])
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp.keras")  # Keras goes by the suffix
    model.save(temporary)
    facts = {"class_names": names, "resize": resize, "weights": weights}
    with zipfile.ZipFile(temporary, "a") as file:
        file.writestr(_MEMBER, json.dumps(facts, ensure_ascii=False))
    os.replace(temporary, path)


def load_model(path: str | Path) -> TrainedModel:
    """Returns a model written by save_model.

    Raises:
      FileNotFoundError: no such file.
      ValueError: it is damaged, or was not written by save_model.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint {path}; voc_tfdata train writes best.keras into its --out_dir")
    try:
        with zipfile.ZipFile(path) as file:
            fields = json.loads(file.read(_MEMBER))
    except zipfile.BadZipFile as err:
        raise ValueError(f"{path} is no .keras file or damaged ({err})") from err
    except KeyError as err:
        raise ValueError(f"{path} holds no {_MEMBER} (class names): it was not written by voc_tfdata train") from err
    return TrainedModel(
        keras.saving.load_model(path), tuple(fields["class_names"]), fields["resize"], fields.get("weights", "none")
    )
