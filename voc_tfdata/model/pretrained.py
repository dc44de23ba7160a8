"""ImageNet weights of VGG16: finding them without hanging, loading them from keras.applications' files.

load_vgg16_weights(model, find_imagenet_weights())
"""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import h5py
import keras
import numpy as np

# keras/src/applications/vgg16.py: WEIGHTS_PATH_NO_TOP and the file's MD5.
WEIGHTS_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
    "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
WEIGHTS_MD5 = "6d6bbae143d832006294945121d1f1fc"
CONNECT_TIMEOUT_S = 5
HIDDEN_LAYERS = ("fc1", "fc2")  # of the top; used if they fit, that is at 224 pixels


def find_imagenet_weights() -> str:
    """Returns the path of keras.applications' VGG16 weights without top, downloaded if they are not there yet.

    Raises:
      ConnectionError: they are not on disk, and their server does not answer within five seconds; the message
        says where to put the file.
    """
    path = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models" / WEIGHTS_URL.rpartition("/")[2]
    if path.is_file():
        return str(path)
    reason = _why_unreachable(WEIGHTS_URL, CONNECT_TIMEOUT_S)
    if reason:
        raise ConnectionError(
            f"no ImageNet weights: {path} is not there and {WEIGHTS_URL} cannot be reached ({reason}); "
            f"fetch it where there is a network and put it at {path}, or pass its own path: --weights=FILE.h5"
        )
    return str(keras.utils.get_file(path.name, WEIGHTS_URL, cache_subdir="models", file_hash=WEIGHTS_MD5))


def load_vgg16_weights(model: keras.Model, path: str) -> None:
    """Sets the convolutions of a build_vgg16 model, and fc1 and fc2 if the file has them in this size.

    Args:
      model: built without batch_norm.
      path: .h5 file in the layout of keras.applications' VGG16, with or without top.

    Raises:
      FileNotFoundError: no such file.
      ValueError: it is no HDF5 file, lacks a layer, or one has another shape.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file of weights {path}; --weights is none, imagenet or the path of an .h5 file")
    try:
        with h5py.File(path, "r") as file:
            stored = _read_layers(file.get("model_weights", file))
    except OSError as err:
        raise ValueError(f"{path} is no HDF5 file or damaged ({err})") from err
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    faults = [fault for layer in convolutions if (fault := _misfit(layer, stored))]
    if faults:
        raise ValueError(f"{path} does not hold VGG16 in keras.applications' layout: {'; '.join(faults)}")
    hidden = [model.get_layer(name) for name in HIDDEN_LAYERS]
    for layer in convolutions + [layer for layer in hidden if not _misfit(layer, stored)]:
        layer.set_weights(stored[layer.name])


def _read_layers(group: h5py.Group) -> dict[str, list[np.ndarray]]:
    """Returns {layer: [kernel, bias]} of Keras' HDF5 layout: a group a layer, its attribute weight_names in order."""
    layers = {}
    for name, layer in group.items():
        if isinstance(layer, h5py.Group) and "weight_names" in layer.attrs:
            keys = [key.decode() if isinstance(key, bytes) else key for key in layer.attrs["weight_names"]]
            layers[name] = [np.asarray(layer[key]) for key in keys]
    return layers


def _misfit(layer: keras.Layer, stored: Mapping[str, list[np.ndarray]]) -> str:
    """Returns what is wrong with the stored weights of a layer, or ""."""
    if layer.name not in stored:
        return f"no layer {layer.name}"
    found, wanted = [w.shape for w in stored[layer.name]], [tuple(w.shape) for w in layer.weights]
    return "" if found == wanted else f"{layer.name} has {found}, not {wanted}"


def _why_unreachable(url: str, timeout_s: float) -> str:
    """Returns why no server answers at a URL, or "" if one does. Through the proxy of the environment, if any."""
    answer = [f"no answer in {timeout_s} s"]

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=timeout_s):
                answer[0] = ""
        except urllib.error.URLError as err:
            answer[0] = str(err.reason)
        except OSError as err:
            answer[0] = str(err)

    # Looking up a name knows no timeout of its own: wait for a thread, and leave it behind if it takes longer.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout_s)
    return answer[0]
