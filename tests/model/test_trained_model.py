import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import voc_tfdata
from tests.devkit_fixture import draw_noise, draw_quarters, encode, sample, write_devkit
from tests.paths import ROOT
from tests.tiny_model import build_tiny_model, build_tiny_trained, make_batches
from voc_tfdata.convert.build import build_records
from voc_tfdata.evaluation.predictions import evaluate
from voc_tfdata.model.serving import write_saved_model
from voc_tfdata.model.trained_model import (
    TrainedModel,
    decode_jpegs,
    load_model,
    predict_jpegs,
    save_model,
)
from voc_tfdata.pipeline.dataset import eval_dataset


def test_model_classes_and_resize_come_back(tmp_path: Path) -> None:
    model = build_tiny_model(dropout=0.5)
    save_model(tmp_path / "new" / "best.keras", model, ("猫", "traffic light"), resize="pad")
    trained = load_model(tmp_path / "new" / "best.keras")
    assert (trained.class_names, trained.resize, trained.image_size) == (("猫", "traffic light"), "pad", (4, 4))
    images, _ = make_batches(1)
    np.testing.assert_array_equal(trained.model(images[0]), model(images[0]))
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["best.keras"]


def test_it_is_a_keras_file_that_keras_reads(tmp_path: Path) -> None:
    model = build_tiny_model()
    save_model(tmp_path / "best.keras", model, ("cat", "dog"), resize="bilinear")
    images, _ = make_batches(1)
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "best.keras")(images[0]), model(images[0]))


def test_a_compiled_model_of_ones_own_loop_is_read_in_another_process(tmp_path: Path) -> None:
    model = build_tiny_model()
    metrics = [voc_tfdata.MaskedBinaryAccuracy()]
    model.compile("adam", loss=voc_tfdata.MaskedBinaryCrossentropy(), metrics=metrics)
    images, labels = make_batches(1)
    model.fit(images[0], labels[0], verbose=0)
    voc_tfdata.save_model(tmp_path / "best.keras", model, ("cat", "dog"), resize="pad")
    code = "import sys, voc_tfdata; trained = voc_tfdata.load_model(sys.argv[1]); print(trained.class_names)"
    command = [sys.executable, "-W", "error::UserWarning", "-c", code, str(tmp_path / "best.keras")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "('cat', 'dog')\n", done.stderr


def test_what_the_file_cannot_say_is_refused(tmp_path: Path) -> None:
    model = build_tiny_model()
    with pytest.raises(ValueError, match="resize='nearest'; it is one of: bilinear, antialias, pad"):
        save_model(tmp_path / "best.keras", model, ("cat", "dog"), resize="nearest")
    with pytest.raises(ValueError, match="m2: the name of a model's file ends in .keras"):
        save_model(tmp_path / "m2", model, ("cat", "dog"), resize="pad")


def test_class_names_must_fit_the_outputs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 class names for 2"):
        save_model(tmp_path / "best.keras", build_tiny_model(), ("a", "b", "c"), resize="bilinear")
    assert not list(tmp_path.iterdir())


def test_what_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint .*nope.keras; voc_tfdata train writes best.keras"):
        load_model(tmp_path / "nope.keras")
    (tmp_path / "text.keras").write_text("text")
    with pytest.raises(ValueError, match="text.keras is no .keras file or damaged"):
        load_model(tmp_path / "text.keras")
    build_tiny_model().save(tmp_path / "plain.keras")
    with pytest.raises(ValueError, match="plain.keras holds no voc_tfdata.json .class names."):
        load_model(tmp_path / "plain.keras")


def test_a_file_cut_off_is_damaged(tmp_path: Path) -> None:
    save_model(tmp_path / "best.keras", build_tiny_model(), ("cat", "dog"), resize="bilinear")
    data = (tmp_path / "best.keras").read_bytes()
    (tmp_path / "best.keras").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="best.keras is no .keras file or damaged"):
        load_model(tmp_path / "best.keras")


def test_the_same_model_gives_one_member_of_ours(tmp_path: Path) -> None:
    for _ in range(2):  # written over itself
        save_model(tmp_path / "best.keras", build_tiny_model(), ("cat", "dog"), resize="bilinear")
    with zipfile.ZipFile(tmp_path / "best.keras") as file:
        assert file.namelist().count("voc_tfdata.json") == 1


def test_a_model_whose_facts_are_damaged_says_so(tmp_path: Path) -> None:
    path = tmp_path / "best.keras"
    for damaged in (b"{", b"[]", b'{"class_names": 3, "resize": "pad"}', b'{"resize": "pad"}'):
        build_tiny_model().save(path)
        with zipfile.ZipFile(path, "a") as file:
            file.writestr("voc_tfdata.json", damaged)
        with pytest.raises(ValueError, match="best.keras: its voc_tfdata.json is damaged .*; take another"):
            load_model(path)


def test_a_model_whose_weights_are_nan_is_refused(tmp_path: Path) -> None:
    model = build_tiny_model()
    model.trainable_variables[0].assign(np.full(model.trainable_variables[0].shape, np.nan))
    save_model(tmp_path / "best.keras", model, ["cat", "dog"], resize="bilinear")
    with pytest.raises(ValueError, match="its weights hold NaN or infinity .*: it predicts nothing"):
        load_model(tmp_path / "best.keras")


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
    return build_tiny_trained()


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
    ds = eval_dataset(records, "test", image_size=40, with_ids=True)
    ids, _, expected = evaluate(trained.model, ds.map(lambda images, labels, ids: (images, labels[:, :2], ids)))
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
