"""TFLite and ONNX files answer as the Keras model does, in float32, or are not written."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.devkit_fixture import draw_noise, encode
from tests.paths import ROOT
from tests.tiny_model import build_tiny_trained
from voc_tfdata.model import network_files
from voc_tfdata.model.network_files import write_network
from voc_tfdata.model.trained_model import predict_jpegs


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_the_network_answers_as_the_keras_model_does(tmp_path: Path, kind: str) -> None:
    if kind == "onnx":
        pytest.importorskip("tf2onnx")
    trained = build_tiny_trained()
    assert write_network(trained, tmp_path / "out", kind=kind) <= 1e-3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["classes.txt", f"model.{kind}"]
    assert (tmp_path / "out/classes.txt").read_text().split("\n")[:-1] == list(trained.class_names)
    images = np.random.default_rng(1).uniform(0, 255, (1, *trained.image_size, 3)).astype(np.float32)
    data = (tmp_path / f"out/model.{kind}").read_bytes()
    if kind == "tflite":
        interpreter = tf.lite.Interpreter(model_content=data)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images)
        interpreter.invoke()
        found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    else:
        import onnxruntime

        found = onnxruntime.InferenceSession(data).run(None, {"images": images})[0]
    np.testing.assert_allclose(found, trained.model(images).numpy(), atol=1e-3)


def test_one_that_answers_otherwise_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make_wrong(model: object, image_size: tuple[int, int]) -> tuple[bytes, object]:
        return b"", lambda images: np.full((1, 2), 7, np.float32)

    monkeypatch.setattr(network_files, "_make_tflite", make_wrong)
    with pytest.raises(RuntimeError, match="tflite network differs from the Keras model by .*nothing was written"):
        write_network(build_tiny_trained(), tmp_path / "out", kind="tflite")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="exists already"):
        write_network(build_tiny_trained(), tmp_path, kind="tflite")


def test_the_code_of_evaluating_md_answers_as_predict_does(tmp_path: Path) -> None:
    text = (ROOT / "docs/evaluating.md").read_text(encoding="utf-8")
    (code,) = [block for block in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S) if "Interpreter" in block]
    trained = build_tiny_trained()
    write_network(trained, tmp_path / "out", kind="tflite")
    jpeg = encode(draw_noise(90, 70), "JPEG", quality=95)
    (tmp_path / "a.jpg").write_bytes(jpeg)
    code = code.replace("a.jpg", f"{tmp_path}/a.jpg").replace("exported", f"{tmp_path}/out")
    names = {"tf": tf}
    exec(code.replace("(224, 224)", str(trained.image_size)), names)
    np.testing.assert_allclose(names["scores"], predict_jpegs(trained, [jpeg])[0], atol=1e-5)
