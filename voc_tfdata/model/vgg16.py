"""VGG16 for multi-label images, from pixels to probabilities; it owns its normalisation.

    model = build_vgg16(num_classes=20, image_size=224)      # the reference recipe, layer for layer
    probabilities = model(images)                            # uint8 [B, 224, 224, 3] RGB -> float32 [B, 20]

Whatever feeds the network, training, validation, test or an image on disk, feeds it plain 0..255 RGB.
"""

from __future__ import annotations

import keras
import numpy as np
import numpy.typing as npt

from voc_tfdata.image_size import ImageSize, read_size
from voc_tfdata.model.pretrained import find_imagenet_weights, load_vgg16_weights

# Configuration D of Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
# ICLR 2015, table 1: convolutions and their filters in each of the five blocks.
BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
HIDDEN_UNITS = 4096
MIN_IMAGE_SIZE = 32  # pixels: five halvings leave one
# Keras' 0.99 needs some 500 steps until the averages used in validation are those of the data; a small set has fewer.
BATCH_NORM_MOMENTUM = 0.9

# keras.applications' "caffe" mode: blue-green-red, less the ImageNet means of these channels, not scaled.
IMAGENET_MEAN_BGR = (103.939, 116.779, 123.68)

LOGITS_LAYER = "logits"
NORMALISE_LAYER = "normalise"


def build_vgg16(
    num_classes: int = 20,
    image_size: ImageSize = 224,
    *,
    batch_norm: bool = False,
    dropout: float = 0.0,
    weights: str = "none",
    seed: int = 0,
    precision: str | None = None,
) -> keras.Model:
    """Returns VGG16 configuration D with one sigmoid per class.

    Without options it is the reference recipe: 13 convolutions 3x3 'same' with ReLU and bias, five 2x2 max-pools,
    two Dense of 4096, Glorot initialisation, pixels scaled to 0..1. The logits (layer "logits") and the sigmoid are
    float32 whatever the precision.

    Args:
      num_classes: number of outputs.
      image_size: side of the images, or (height, width), in pixels; at least 32.
      batch_norm: batch normalisation between each convolution and its ReLU, and He initialisation (He et al.,
        "Delving Deep into Rectifiers", ICCV 2015): what lets it learn from scratch.
      dropout: share of units dropped after each Dense of 4096 while training, 0 <= dropout < 1.
      weights: "none", "imagenet", or the path of an .h5 file in keras.applications' VGG16 layout, with or without
        top. With weights, pixels are turned to blue-green-red less the ImageNet means, as those weights expect.
      seed: fixes the initial weights and the dropout masks.
      precision: Keras dtype policy of the layers, e.g. "mixed_bfloat16"; None is Keras' global policy.

    Returns:
      Model from uint8 or float [B, H, W, 3] RGB, 0..255, to float32 [B, num_classes], 0..1.

    Raises:
      ValueError: a number is out of range, weights come with batch_norm, or the file does not fit.
      FileNotFoundError: no such file of weights.
      ConnectionError: weights="imagenet", and they are neither on disk nor to be had.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes={num_classes}; at least 1")
    size = read_size(image_size, least=MIN_IMAGE_SIZE)
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout={dropout}; 0 <= dropout < 1")
    pretrained = weights != "none"
    if pretrained and batch_norm:
        raise ValueError(f"weights={weights!r} were trained without batch_norm; leave one of the two out")
    weights_path = find_imagenet_weights() if weights == "imagenet" else weights  # before a gigabyte is set up

    kernel = "he_normal" if batch_norm else "glorot_uniform"
    seeds = iter(np.random.SeedSequence(seed).generate_state(32).tolist())
    images = keras.Input((*size, 3), dtype="float32", name="images")
    x = _normalise(images, pretrained=pretrained)
    for block, (convolutions, filters) in enumerate(BLOCKS, start=1):
        for number in range(1, convolutions + 1):
            name = f"block{block}_conv{number}"
            initializer = _initializer(kernel, next(seeds))
            x = _convolve(x, filters, name, initializer, batch_norm=batch_norm, precision=precision)
        x = keras.layers.MaxPooling2D(2, name=f"block{block}_pool", dtype=precision)(x)
    x = keras.layers.Flatten(name="flatten", dtype=precision)(x)
    for name in ("fc1", "fc2"):
        initializer = _initializer(kernel, next(seeds))
        x = keras.layers.Dense(
            HIDDEN_UNITS, activation="relu", kernel_initializer=initializer, name=name, dtype=precision
        )(x)
        mask_seed = next(seeds)  # drawn either way: dropout must not change the weights that come after
        if dropout:
            x = keras.layers.Dropout(dropout, seed=mask_seed, name=f"{name}_dropout", dtype=precision)(x)
    initializer = _initializer("glorot_uniform", next(seeds))
    logits = keras.layers.Dense(num_classes, kernel_initializer=initializer, name=LOGITS_LAYER, dtype="float32")(x)
    probabilities = keras.layers.Activation("sigmoid", dtype="float32", name="probabilities")(logits)
    model = keras.Model(images, probabilities, name="vgg16")
    if pretrained:
        load_vgg16_weights(model, weights_path)
    return model


def with_logits(model: keras.Model) -> keras.Model:
    """Returns a model of the same layers whose output is the logits, float32 [B, num_classes].

    A loss on logits is exact where the sigmoid has saturated; one on probabilities is cut off at 16.1 and has no
    gradient there.
    """
    return keras.Model(model.input, model.get_layer(LOGITS_LAYER).output, name=f"{model.name}_logits")


def set_prior(model: keras.Model, prior: npt.NDArray[np.floating]) -> None:
    """Sets the bias of the logits so that a model that has seen nothing predicts about the class frequencies.

    Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, section 4.1: without it the first steps go into
    pulling every output down from 0.5.

    Args:
      model: of build_vgg16.
      prior: [C], 0..1.
    """
    bounded = np.clip(prior, 1e-3, 1 - 1e-3)
    model.get_layer(LOGITS_LAYER).bias.assign(np.log(bounded / (1 - bounded)))


def _normalise(images: keras.KerasTensor, *, pretrained: bool) -> keras.KerasTensor:
    """Returns what the first convolution gets. In float32 whatever the precision: bfloat16 rounds the means."""
    if not pretrained:
        return keras.layers.Rescaling(1 / 255, name=NORMALISE_LAYER, dtype="float32")(images)
    offset = [-mean for mean in IMAGENET_MEAN_BGR]
    blue_green_red = keras.ops.flip(images, axis=-1)
    return keras.layers.Rescaling(1.0, offset=offset, name=NORMALISE_LAYER, dtype="float32")(blue_green_red)


def _convolve(
    x: keras.KerasTensor,
    filters: int,
    name: str,
    initializer: keras.initializers.Initializer,
    *,
    batch_norm: bool,
    precision: str | None,
) -> keras.KerasTensor:
    x = keras.layers.Conv2D(
        filters,
        3,
        padding="same",
        activation=None if batch_norm else "relu",
        use_bias=not batch_norm,  # batch normalisation has its own
        kernel_initializer=initializer,
        name=name,
        dtype=precision,
    )(x)
    if batch_norm:
        x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_bn", dtype=precision)(x)
        x = keras.layers.ReLU(name=f"{name}_relu", dtype=precision)(x)
    return x


def _initializer(name: str, seed: int) -> keras.initializers.Initializer:
    kinds = {"he_normal": keras.initializers.HeNormal, "glorot_uniform": keras.initializers.GlorotUniform}
    return kinds[name](seed=seed)
