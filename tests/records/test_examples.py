"""One image with its labels as a tf.train.Example, written without TensorFlow and read with and without it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from voc_tfdata.records.examples import ExampleObject, decode_example, encode_example, label_vectors, parse_example

DOG = ExampleObject("dog", 11, (0.25, 0.5, 0.75, 1.0), False, True, "Left")
FAR_CAT = ExampleObject("cat", 7, (0.0, 0.125, 0.5, 0.25), True, False, "")

# The spec of the README: whoever has no voc_tfdata reads the records with this.
FEATURES: dict[str, Any] = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/format": tf.io.FixedLenFeature([], tf.string),
    "image/height": tf.io.FixedLenFeature([], tf.int64),
    "image/width": tf.io.FixedLenFeature([], tf.int64),
    "image/filename": tf.io.FixedLenFeature([], tf.string),
    "image/source_id": tf.io.FixedLenFeature([], tf.string),
    "image/key/sha256": tf.io.FixedLenFeature([], tf.string),
    "image/class/multi_hot": tf.io.FixedLenFeature([20], tf.int64),
    "image/class/ignore": tf.io.FixedLenFeature([20], tf.int64),
    "image/object/bbox/xmin": tf.io.VarLenFeature(tf.float32),
    "image/object/bbox/ymin": tf.io.VarLenFeature(tf.float32),
    "image/object/bbox/xmax": tf.io.VarLenFeature(tf.float32),
    "image/object/bbox/ymax": tf.io.VarLenFeature(tf.float32),
    "image/object/class/text": tf.io.VarLenFeature(tf.string),
    "image/object/class/label": tf.io.VarLenFeature(tf.int64),
    "image/object/difficult": tf.io.VarLenFeature(tf.int64),
    "image/object/truncated": tf.io.VarLenFeature(tf.int64),
    "image/object/view": tf.io.VarLenFeature(tf.string),
}


def encode(*objects: ExampleObject, num_classes: int = 20, image_id: str = "für 1") -> bytes:
    return encode_example(
        image_id=image_id,
        filename=f"{image_id}.jpg",
        jpeg=b"\xff\xd8\0bytes",
        sha256="ab12",
        height=48,
        width=64,
        objects=objects,
        num_classes=num_classes,
    )


def test_every_field_has_its_value() -> None:
    fields = decode_example(encode(DOG, FAR_CAT))
    assert fields == {
        "image/encoded": [b"\xff\xd8\0bytes"],
        "image/format": [b"jpeg"],
        "image/height": [48],
        "image/width": [64],
        "image/filename": ["für 1.jpg".encode()],
        "image/source_id": ["für 1".encode()],
        "image/key/sha256": [b"ab12"],
        "image/class/multi_hot": [0] * 7 + [1] + [0] * 3 + [1] + [0] * 8,  # cat is class 7, dog is class 11
        "image/class/ignore": [0] * 7 + [1] + [0] * 12,  # the cat is difficult, and the only one
        "image/object/bbox/xmin": [0.25, 0.0],
        "image/object/bbox/ymin": [0.5, 0.125],
        "image/object/bbox/xmax": [0.75, 0.5],
        "image/object/bbox/ymax": [1.0, 0.25],
        "image/object/class/text": [b"dog", b"cat"],
        "image/object/class/label": [12, 8],  # counted from 1, as the object-detection API does
        "image/object/difficult": [0, 1],
        "image/object/truncated": [1, 0],
        "image/object/view": [b"Left", b""],
    }


def test_tensorflow_reads_the_same_example() -> None:
    example = tf.train.Example.FromString(encode(DOG, FAR_CAT))
    feature = example.features.feature
    assert set(feature) == set(FEATURES)
    assert list(feature["image/object/class/label"].int64_list.value) == [12, 8]
    assert list(feature["image/object/bbox/xmax"].float_list.value) == [0.75, 0.5]
    assert feature["image/source_id"].bytes_list.value[0].decode() == "für 1"


def test_the_feature_spec_of_the_readme_reads_a_record() -> None:
    fields = tf.io.parse_single_example(encode(DOG, FAR_CAT), FEATURES)
    assert fields["image/width"].numpy() == 64
    assert tf.sparse.to_dense(fields["image/object/class/text"]).numpy().tolist() == [b"dog", b"cat"]
    without_objects = tf.io.parse_single_example(encode(), FEATURES)
    assert without_objects["image/class/multi_hot"].numpy().sum() == 0
    assert without_objects["image/object/class/label"].shape[0] == 0


def test_parse_example_gives_the_same_eagerly_and_in_a_map() -> None:
    payloads = [encode(DOG, FAR_CAT), encode(image_id="none")]
    mapped = list(tf.data.Dataset.from_tensor_slices(payloads).map(parse_example))
    for fields, payload in zip(mapped, payloads, strict=True):
        eager = parse_example(payload)
        assert set(fields) == set(eager) == set(FEATURES)
        for name, value in fields.items():
            assert value.dtype == eager[name].dtype == FEATURES[name].dtype, name
            wanted = np.array(decode_example(payload)[name]).reshape(value.shape)
            np.testing.assert_array_equal(value.numpy(), eager[name].numpy(), name)
            np.testing.assert_array_equal(np.array(value.numpy()), wanted, name)


def test_another_number_of_classes_is_parsed() -> None:
    payload = encode(ExampleObject("b", 1, (0, 0, 1, 1), False, False, ""), num_classes=3)
    assert parse_example(payload, num_classes=3)["image/class/multi_hot"].numpy().tolist() == [0, 1, 0]
    with pytest.raises(tf.errors.InvalidArgumentError):
        parse_example(payload, num_classes=20)


def test_the_same_values_give_the_same_bytes() -> None:
    assert encode(DOG, FAR_CAT) == encode(DOG, FAR_CAT)
    keys = [name.encode() for name in sorted(FEATURES)]
    payload = encode(DOG)
    assert [payload.index(key) for key in keys] == sorted(payload.index(key) for key in keys)  # the map is sorted


# (class, difficult) pairs; class 0 and 3 both ways, 1 difficult only, 2 not difficult only, 4 absent
def test_a_class_of_difficult_objects_only_is_ignored() -> None:
    multi_hot, ignore = label_vectors(
        [(0, True), (1, True), (0, False), (2, False), (1, True), (3, False), (3, True)], 5
    )
    assert (multi_hot, ignore) == ([1, 1, 1, 1, 0], [0, 1, 0, 0, 0])
    assert label_vectors([], 4) == ([0] * 4, [0] * 4)


@pytest.mark.parametrize("payload", [b"\x0a\x7f", b"no example"])
def test_bytes_that_are_no_example_are_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="not a tf.train.Example"):
        decode_example(payload)
    with pytest.raises(tf.errors.InvalidArgumentError):
        parse_example(payload)
