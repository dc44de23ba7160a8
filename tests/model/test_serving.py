from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.devkit_fixture import draw_noise, draw_quarters, encode, sample, write_devkit
from voc_tfdata.convert.build import build_records
from voc_tfdata.evaluation.predictions import evaluate
from voc_tfdata.model.trained_model import TrainedModel, decode_jpegs, predict_jpegs, write_saved_model
from voc_tfdata.pipeline.dataset import eval_dataset


@pytest.fixture(scope="module")
def jpegs() -> dict[str, bytes]:
    grey = draw_noise(50, 70).convert("L")
    return {"a": encode(draw_quarters(), "JPEG"), "b": encode(draw_noise(), "JPEG"), "c": encode(grey, "JPEG")}


@pytest.fixture(scope="module")
def records(jpegs: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serving")
    root = write_devkit(folder / "VOC", {name: sample("dog", picture=jpeg) for name, jpeg in jpegs.items()})
    build_records(root, folder / "records", split_ratios="test=1", num_workers=1)
    return folder / "records"


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    keras.utils.set_random_seed(0)
    images = keras.Input((40, 40, 3))
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.Conv2D(4, 3)(x)
    x = keras.layers.Dense(2, activation="sigmoid")(keras.layers.Flatten()(x))
    return TrainedModel(keras.Model(images, x), ("dog", "traffic light"), "bilinear")


@pytest.mark.parametrize("resize", ["bilinear", "antialias", "pad"])
def test_the_pixels_are_those_of_the_pipeline(records: Path, jpegs: dict[str, bytes], resize: str) -> None:
    dataset = eval_dataset(records, "test", image_size=40, resize=resize, with_ids=True)
    ((images, _, ids),) = list(dataset)
    ours = decode_jpegs(tf.constant([jpegs[i.decode()] for i in ids.numpy()]), 40, resize=resize)
    np.testing.assert_array_equal(images, ours)
    assert len(np.unique(images)) > 100


def test_predictions_are_those_of_the_evaluation(
    records: Path, jpegs: dict[str, bytes], trained: TrainedModel, tmp_path: Path
) -> None:
    ids, _, expected = evaluate(trained.model, eval_dataset(records, "test", image_size=40, with_ids=True))
    data = [jpegs[i] for i in ids]
    np.testing.assert_allclose(predict_jpegs(trained, data), expected, rtol=1e-6)

    write_saved_model(trained, tmp_path / "new" / "exported")
    serve = tf.saved_model.load(str(tmp_path / "new" / "exported")).signatures["serving_default"]
    answer = serve(jpeg=tf.constant(data))
    assert set(answer) == {"dog", "traffic light"}
    np.testing.assert_allclose(answer["dog"], expected[:, 0], rtol=1e-6)
    np.testing.assert_allclose(answer["traffic light"], expected[:, 1], rtol=1e-6)
    assert np.ptp(expected) > 0.01
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["exported"]


def test_a_folder_that_is_there_is_not_written_over(trained: TrainedModel, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(FileExistsError, match="there exists already; delete it or take another --out_dir"):
        write_saved_model(trained, tmp_path / "there")
