"""A trained network as one file for other runtimes, TFLite (LiteRT) or ONNX, checked against the Keras model.

write_network(load_model("runs/a/best.keras"), "exported", kind="tflite")     # exported/model.tflite, classes.txt

The network alone: it takes decoded images, resized as `resize` in best.keras says. A SavedModel that takes the bytes of
images is what serving writes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from voc_tfdata.model.serving import in_float32
from voc_tfdata.model.trained_model import TrainedModel

KINDS = ("tflite", "onnx")
LARGEST_DIFFERENCE = 1e-3  # of a probability from the Keras model's
_NUM_CHECKED = 10

Images: TypeAlias = npt.NDArray[np.float32]  # [N, H, W, 3], RGB, 0..255


def write_network(trained: TrainedModel, out_dir: str | Path, *, kind: str) -> float:
    """Writes out_dir/model.tflite or model.onnx, and classes.txt: the names of its outputs, one a line.

    Input "images": float32 RGB 0..255, TFLite [1, H, W, 3], ONNX [N, H, W, 3]. Output: float32 [N, C], 0..1. It
    computes in float32, whatever the precision of the training.

    Args:
      trained: of load_model.
      out_dir: folder to make.
      kind: "tflite" or "onnx"; the latter needs the extra [onnx].

    Returns:
      The largest difference of a probability from the Keras model's on ten images; at most LARGEST_DIFFERENCE.

    Raises:
      FileExistsError: out_dir is there already.
      ImportError: kind is "onnx", and its packages are not installed.
      RuntimeError: the network cannot be converted, or answers otherwise than the Keras model; nothing is written.
    """
    out_dir = Path(out_dir)
    if out_dir.exists():
        raise FileExistsError(f"{out_dir} exists already; delete it or take another --out_dir")
    model = in_float32(trained.model)
    images = _draw_images(trained.image_size)
    wanted = model(images, training=False).numpy()
    try:
        data, run = (_make_tflite if kind == "tflite" else _make_onnx)(model, trained.image_size)
        found = np.concatenate([run(image[None]) for image in images])
    except ImportError:
        raise
    except Exception as err:  # the converters' and runtimes' own kinds: an operation that they do not have
        reason = str(err).strip().partition("\n")[0][:200]
        raise RuntimeError(f"{kind} cannot hold this network; export the SavedModel instead ({reason})") from err
    difference = float(np.abs(found - wanted).max())
    if not difference <= LARGEST_DIFFERENCE:
        raise RuntimeError(
            f"the {kind} network differs from the Keras model by {difference:.2g} on the same images; nothing was "
            "written: export the SavedModel instead"
        )
    temporary = out_dir.with_name(f".{out_dir.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    (temporary / f"model.{kind}").write_bytes(data)
    (temporary / "classes.txt").write_text("".join(f"{name}\n" for name in trained.class_names), encoding="utf-8")
    os.replace(temporary, out_dir)
    return difference


def _draw_images(size: tuple[int, int]) -> Images:
    """Returns ten images that differ in colour, brightness and grain."""
    draw = np.random.default_rng(0)
    coarse = draw.uniform(0, 255, (_NUM_CHECKED, 4, 4, 3)).astype(np.float32)
    smooth = np.asarray(tf.image.resize(coarse, size))
    grain = draw.normal(0, 1, smooth.shape) * np.linspace(0, 60, _NUM_CHECKED)[:, None, None, None]
    return np.clip(smooth + grain, 0, 255).astype(np.float32)


def _function_of(model: keras.Model, image_size: tuple[int, int], batch: int | None) -> Any:
    signature = [tf.TensorSpec([batch, *image_size, 3], tf.float32, name="images")]
    return tf.function(lambda images: model(images, training=False), input_signature=signature, autograph=False)


def _make_tflite(model: keras.Model, image_size: tuple[int, int]) -> tuple[bytes, Callable[[Images], Images]]:
    function = _function_of(model, image_size, 1).get_concrete_function()
    frozen = convert_variables_to_constants_v2(function)  # the converter ends the process at Keras 3's variables
    data = tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert()
    interpreter = tf.lite.Interpreter(model_content=data)
    interpreter.allocate_tensors()
    (image_in,), (out,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(images: Images) -> Images:
        interpreter.set_tensor(image_in["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(out["index"])

    return data, run


def _make_onnx(model: keras.Model, image_size: tuple[int, int]) -> tuple[bytes, Callable[[Images], Images]]:
    try:
        import onnxruntime
        import tf2onnx
    except ImportError as err:
        raise ImportError(f"--format=onnx needs the extra [onnx]: pip install 'voc_tfdata[onnx]' ({err})") from err
    frozen = convert_variables_to_constants_v2(_function_of(model, image_size, None).get_concrete_function())
    (taken,), (given,) = frozen.inputs, frozen.outputs
    converted, _ = tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(),
        input_names=[taken.name],
        output_names=[given.name],
        tensors_to_rename={taken.name: "images", given.name: "probabilities"},
    )
    data = converted.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return data, lambda images: session.run(None, {session.get_inputs()[0].name: images})[0]
