"""A network of a few hundred weights with the layers that training needs, and data for it.

model = build_tiny_model(dropout=0.5)          # uint8 [B, 4, 4, 3] -> probabilities [B, 2]
images, labels = make_batches(steps=4)         # uint8 [4, 6, 4, 4, 3], float32 [4, 6, 2] of 1, 0, -1
"""

import keras
import numpy as np
import numpy.typing as npt

from voc_tfdata.model.trained_model import TrainedModel


def build_tiny_model(*, dropout: float = 0.0, seed: int = 0) -> keras.Model:
    """Returns a model with one hidden layer and a layer "logits"."""
    images = keras.Input((4, 4, 3))
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(8, activation="relu", kernel_initializer=keras.initializers.GlorotUniform(seed + 1))(x)
    if dropout:
        x = keras.layers.Dropout(dropout, seed=seed)(x)
    logits = keras.layers.Dense(2, name="logits", kernel_initializer=keras.initializers.GlorotUniform(seed + 2))(x)
    return keras.Model(images, keras.layers.Activation("sigmoid")(logits))


def make_batches(steps: int, *, batch_size: int = 6) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Returns images [steps, batch_size, 4, 4, 3] and labels [steps, batch_size, 2]."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (steps, batch_size, 4, 4, 3)).astype(np.uint8)
    return images, random.integers(-1, 2, (steps, batch_size, 2)).astype(np.float32)


def values_of(variables: list[keras.Variable]) -> list[npt.NDArray]:
    """Returns the values of variables as arrays."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def build_tiny_trained() -> TrainedModel:
    """Returns a network of two classes on images of 40 x 40 pixels whose answers depend on every pixel."""
    keras.utils.set_random_seed(0)
    images = keras.Input((40, 40, 3))
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.Conv2D(4, 3)(x)
    x = keras.layers.Dense(2, activation="sigmoid")(keras.layers.Flatten()(x))
    return TrainedModel(keras.Model(images, x), ("dog", "traffic light"), "bilinear")
