"""Networks by name: VGG16, those of keras.applications, or a builder of the user's own.

    model = build_model("resnet50", num_classes=20, image_size=224, weights="imagenet")
    model = build_model("my_networks.py:build", num_classes=20, image_size=224)

Each takes plain 0..255 RGB and owns its preprocessing; each has a layer "logits" and float32 probabilities. The part
that pretrained weights are for is what find_backbone returns.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from voc_tfdata.image_size import ImageSize, read_size
from voc_tfdata.model.vgg16 import LOGITS_LAYER, build_vgg16
from voc_tfdata.own_code import load_function

BACKBONE_LAYER = "backbone"
POOLINGS = ("avg", "max")


def build_model(
    name: str = "vgg16",
    num_classes: int = 20,
    image_size: ImageSize = 224,
    *,
    weights: str = "none",
    pooling: str = "avg",
    batch_norm: bool = False,
    dropout: float = 0.0,
    seed: int = 0,
    precision: str | None = None,
) -> keras.Model:
    """Returns a network with one sigmoid per class.

    Args:
      name: "vgg16", see build_vgg16; a network of keras.applications in lower case, e.g. "resnet50",
        "efficientnetv2b0", "mobilenetv3large", "convnexttiny"; or "module:function" or "file.py:function", a builder
        that is called with num_classes and image_size as given here, and with weights where they are not "none".
      num_classes: number of outputs.
      image_size: side of the images, or (height, width), in pixels.
      weights: "none", "imagenet", or the path of a file: of keras.applications (.h5, with or without top), or Keras'
        own .weights.h5 of the same network without top.
      pooling: "avg" or "max": of keras.applications' last feature map; VGG16 flattens it.
      batch_norm: of VGG16 only, see build_vgg16.
      dropout: share of units dropped before the outputs (VGG16: after each hidden layer) while training, 0..1.
      seed: fixes the initial weights of head and VGG16, and the dropout masks.
      precision: Keras dtype policy of the layers, e.g. "mixed_bfloat16"; None is Keras' global policy.

    Returns:
      Model from uint8 or float [B, H, W, 3] RGB, 0..255, to float32 [B, num_classes], 0..1. With
      weights, the batch normalisation of a keras.applications network stays in inference mode while it is trained, as
      Keras advises for fine-tuning.

    Raises:
      ValueError: unknown network, an option out of range, weights that do not fit, or a builder whose model is
        another one than described here.
      FileNotFoundError: no such file of weights, or no such builder.
      ConnectionError: weights="imagenet" cannot be downloaded.
    """
    if pooling not in POOLINGS:
        raise ValueError(f"pooling={pooling!r}; it is one of {', '.join(POOLINGS)}")
    if batch_norm and name != "vgg16":
        raise ValueError(f"batch_norm is an option of vgg16; {name} has its own")
    if name == "vgg16":
        return build_vgg16(
            num_classes,
            image_size,
            batch_norm=batch_norm,
            dropout=dropout,
            weights=weights,
            seed=seed,
            precision=precision,
        )
    with _policy(precision):
        if ":" in name:
            return _build_own(name, num_classes, image_size, weights)
        return _build_application(name, num_classes, image_size, weights, pooling, dropout, seed)


def find_backbone(model: keras.Model) -> list[keras.Variable]:
    """Returns the trainable variables that pretrained weights are for.

    Raises:
      ValueError: the network has no such part.
    """
    layers = {layer.name: layer for layer in model.layers}
    if BACKBONE_LAYER in layers:
        return list(layers[BACKBONE_LAYER].trainable_variables)
    if model.name == "vgg16":
        convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
        return [variable for layer in convolutions for variable in layer.trainable_variables]
    raise ValueError(f"{model.name} has no layer named {BACKBONE_LAYER!r}: the part that is frozen, or trained slowly")


def find_head(model: keras.Model) -> list[keras.Variable]:
    """Returns the trainable variables of all that find_backbone leaves; it raises what that does."""
    backbone = {variable.path for variable in find_backbone(model)}
    return [variable for variable in model.trainable_variables if variable.path not in backbone]


def list_networks() -> list[str]:
    """Returns the names that build_model knows, sorted."""
    return sorted(_applications())


def _applications() -> dict[str, Callable[..., keras.Model]]:
    """Returns {name in lower case: function} of keras.applications."""
    found = {}
    for name in dir(keras.applications):
        function = getattr(keras.applications, name)
        if callable(function):
            found[name.lower()] = function
    return found


def _build_application(
    name: str, num_classes: int, image_size: ImageSize, weights: str, pooling: str, dropout: float, seed: int
) -> keras.Model:
    known = _applications()
    if name not in known:
        near = difflib.get_close_matches(name.lower(), known, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "."
        raise ValueError(f"no network {name!r}{hint} Known are {', '.join(sorted(known))}, and FILE.py:FUNCTION")
    if num_classes < 1:
        raise ValueError(f"num_classes={num_classes}; at least 1")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout={dropout}; 0 <= dropout < 1")
    if weights not in ("none", "imagenet") and not Path(weights).is_file():
        raise FileNotFoundError(f"no file of weights {weights}; weights are none, imagenet or the path of a file")
    shape = (*read_size(image_size), 3)
    backbone = _make_backbone(known[name], name, shape, weights, pooling)
    images = keras.Input(shape, dtype="float32", name="images")
    x = _preprocess(images, known[name])
    x = backbone(x)
    kernel_seed, mask_seed = np.random.SeedSequence(seed).generate_state(2).tolist()
    if dropout:
        x = keras.layers.Dropout(dropout, seed=mask_seed, name="head_dropout")(x)
    initializer = keras.initializers.GlorotUniform(seed=kernel_seed)
    logits = keras.layers.Dense(num_classes, kernel_initializer=initializer, name=LOGITS_LAYER, dtype="float32")(x)
    probabilities = keras.layers.Activation("sigmoid", dtype="float32", name="probabilities")(logits)
    return keras.Model(images, probabilities, name=name)


def _make_backbone(
    function: Callable[..., keras.Model], name: str, shape: tuple[int, int, int], weights: str, pooling: str
) -> keras.Model:
    """Returns the network without its top, its weights loaded; its name is BACKBONE_LAYER."""
    options: dict[str, Any] = {"include_top": False, "input_shape": shape, "pooling": pooling}
    try:
        backbone = function(weights="imagenet" if weights == "imagenet" else None, **options)
    except ValueError as err:
        raise ValueError(f"{name} cannot be built for images of {shape[0]} x {shape[1]} pixels: {err}") from err
    except Exception as err:  # whatever Keras' download raises
        if weights != "imagenet":
            raise
        reason = str(err).strip().splitlines()[0]
        raise ConnectionError(
            f"no ImageNet weights of {name}: {reason}; fetch its 'notop' file where there is a network and pass it by "
            "--weights=FILE"
        ) from err
    if weights not in ("none", "imagenet"):
        _load_weights(backbone, weights)
    backbone.name = BACKBONE_LAYER
    if weights != "none":
        freeze_batch_norm(backbone)
    return backbone


def freeze_batch_norm(backbone: keras.Model) -> None:
    """Keeps the batch normalisation of a pretrained part as it is, its averages, scales and shifts.

    A small set's batches would replace averages over millions of images. Keras runs a layer of this kind in inference
    mode when it is not trainable; calling the part with training=False does not do that where the whole model is
    called with training=True.
    """
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def _load_weights(backbone: keras.Model, path: str) -> None:
    """Sets the weights of a network without top from a file of it, with or without top.

    Raises:
      ValueError: the file is of another network, or damaged.
    """
    try:
        with h5py.File(path, "r") as file:
            stored = file.get("model_weights", file)
            names = [n.decode() if isinstance(n, bytes) else n for n in stored.attrs.get("layer_names", [])]
    except OSError as err:
        raise ValueError(f"{path} is no HDF5 file or damaged ({err})") from err
    wanted = [layer.name for layer in backbone.layers if layer.weights]
    try:
        if names and set(wanted) <= set(names):  # of keras.applications, perhaps with a top
            backbone.load_weights(path, by_name=True)
        else:
            backbone.load_weights(path)
    except (ValueError, KeyError) as err:
        reason = str(err).strip().splitlines()[0][:300]
        raise ValueError(f"{path} does not hold the weights of {backbone.name} without top: {reason}") from err


def _preprocess(images: keras.KerasTensor, function: Callable[..., keras.Model]) -> keras.KerasTensor:
    """Returns what the network expects of 0..255 RGB: scaled, shifted, perhaps blue-green-red, each in float32.

    What that is, its module's preprocess_input shows on three colours.
    """
    preprocess = importlib.import_module(function.__module__).preprocess_input
    black = np.asarray(preprocess(np.zeros((1, 1, 1, 3), np.float32), data_format="channels_last"), np.float64).ravel()
    unit = np.zeros((1, 1, 3, 3), np.float32)
    unit[0, 0] = 255 * np.eye(3)
    matrix = (np.asarray(preprocess(unit, data_format="channels_last"), np.float64)[0, 0] - black) / 255  # [in, out]
    x = images
    if not np.allclose(matrix, np.diag(np.diag(matrix)), atol=1e-7):
        matrix = matrix[::-1]
        x = keras.ops.flip(x, axis=-1)
    scale, offset = np.diag(matrix), black
    if np.allclose(scale, 1) and np.allclose(offset, 0):
        return x
    return keras.layers.Rescaling(scale.tolist(), offset.tolist(), name="normalise", dtype="float32")(x)


def _build_own(name: str, num_classes: int, image_size: ImageSize, weights: str) -> keras.Model:
    """Returns the model of a builder "module:function" or "file.py:function", after checking it.

    Raises:
      FileNotFoundError: there is no such module, file or function.
      ValueError: its model is not what build_model promises.
    """
    function = load_function(name, flag="--model")
    options: dict[str, Any] = {"num_classes": num_classes, "image_size": image_size}
    if weights != "none":
        options["weights"] = weights
    model = function(**options)
    faults = []
    if not isinstance(model, keras.Model):
        raise ValueError(f"--model={name} returns {type(model).__name__}, not a keras.Model")
    shape = (None, *read_size(image_size), 3)
    if tuple(model.input_shape) != shape:
        faults.append(f"takes {model.input_shape}, not {shape}")
    if tuple(model.output_shape) != (None, num_classes):
        faults.append(f"gives {model.output_shape}, not (None, {num_classes})")
    if LOGITS_LAYER not in [layer.name for layer in model.layers]:
        faults.append(f"has no layer named {LOGITS_LAYER!r}, the one before the sigmoid")
    if faults:
        raise ValueError(f"--model={name}: its model {'; '.join(faults)}")
    return model


@contextlib.contextmanager
def _policy(precision: str | None) -> Iterator[None]:
    """Keras' global dtype policy, for layers that others make."""
    before = keras.config.dtype_policy()
    if precision is not None:
        keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
