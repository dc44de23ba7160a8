"""THE schema: one image with its labels as a tf.train.Example, encoded and parsed side by side.

    payload = encode_example(image_id="2007_000027", jpeg=..., ...)      # no TensorFlow: converter workers
    fields = decode_example(payload)                                     # no TensorFlow: inspection
    tensors = parse_example(payload)                                     # TensorFlow, eager or in Dataset.map

The field names are those of the TensorFlow object-detection API (using_your_own_dataset.md there), so that its
tools read our files, plus `image/class/multi_hot` and `image/class/ignore`. The message is built with the
protobuf runtime from the descriptor below (tensorflow/core/example/{example,feature}.proto), serialised with its
map sorted: the same values give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

if TYPE_CHECKING:
    import tensorflow as tf


# Of image/object/, in the order of decode_objects, with what stands for one that is missing.
_OBJECT_FIELDS = {
    "bbox/xmin": 0.0,
    "bbox/ymin": 0.0,
    "bbox/xmax": 0.0,
    "bbox/ymax": 0.0,
    "difficult": 0,
    "truncated": 0,
    "view": b"",
}


@dataclass(frozen=True)
class ExampleObject:
    """One annotated object. The box is normalised to the stored image: 0 is left or top, 1 right or bottom."""

    class_name: str
    class_index: int  # 0-based; the record holds it 1-based, as the object-detection API has it
    box: tuple[float, float, float, float]  # xmin, ymin, xmax, ymax
    difficult: bool
    truncated: bool
    view: str  # <pose> of the annotation, "" where there is none


def encode_example(
    *,
    image_id: str,
    filename: str,
    jpeg: bytes,
    sha256: str,
    height: int,
    width: int,
    objects: Sequence[ExampleObject],
    num_classes: int,
) -> bytes:
    """Returns the serialised tf.train.Example of one image.

    Args:
      image_id: file stem, e.g. "2007_000027".
      filename: name of the image in JPEGImages/.
      jpeg: upright baseline or progressive JPEG, grey or RGB.
      sha256: of `jpeg`, as hex.
      height: of the stored image, in pixels.
      width: of the stored image, in pixels.
      objects: all objects, the difficult ones too, in the order of the annotation.
      num_classes: length of the two label vectors.
    """
    multi_hot, ignore = label_vectors(((o.class_index, o.difficult) for o in objects), num_classes)
    example = _EXAMPLE()
    feature = example.features.feature
    feature["image/encoded"].bytes_list.value.append(jpeg)
    feature["image/format"].bytes_list.value.append(b"jpeg")
    feature["image/height"].int64_list.value.append(height)
    feature["image/width"].int64_list.value.append(width)
    feature["image/filename"].bytes_list.value.append(filename.encode())
    feature["image/source_id"].bytes_list.value.append(image_id.encode())
    feature["image/key/sha256"].bytes_list.value.append(sha256.encode())
    feature["image/class/multi_hot"].int64_list.value.extend(multi_hot)
    feature["image/class/ignore"].int64_list.value.extend(ignore)
    for side, name in enumerate(("xmin", "ymin", "xmax", "ymax")):
        feature[f"image/object/bbox/{name}"].float_list.value.extend(o.box[side] for o in objects)
    feature["image/object/class/text"].bytes_list.value.extend(o.class_name.encode() for o in objects)
    feature["image/object/class/label"].int64_list.value.extend(o.class_index + 1 for o in objects)
    feature["image/object/difficult"].int64_list.value.extend(int(o.difficult) for o in objects)
    feature["image/object/truncated"].int64_list.value.extend(int(o.truncated) for o in objects)
    feature["image/object/view"].bytes_list.value.extend(o.view.encode() for o in objects)
    return example.SerializeToString(deterministic=True)


def label_vectors(labels: Iterable[tuple[int, bool]], num_classes: int) -> tuple[list[int], list[int]]:
    """Returns (multi_hot, ignore), each `num_classes` zeros and ones, of (class index, difficult) pairs.

    multi_hot is 1 where the class has any object; ignore is 1 where it has objects and all are 'difficult'
    (VOC2012 development kit, section 3.2: these are neither positive nor negative, 0 in the image lists).
    """
    multi_hot, ignore = [0] * num_classes, [0] * num_classes
    for class_index, difficult in labels:
        only_difficult = multi_hot[class_index] == ignore[class_index]  # up to now, or none was there
        ignore[class_index] = int(difficult and only_difficult)
        multi_hot[class_index] = 1
    return multi_hot, ignore


def decode_example(payload: bytes) -> dict[str, list[Any]]:
    """Returns {field: values} of a serialised Example, without TensorFlow; an empty list where there are none.

    Raises:
      ValueError: the bytes are no tf.train.Example.
    """
    example = _EXAMPLE()
    try:
        example.ParseFromString(payload)
    except Exception as err:  # protobuf's DecodeError moved between its versions
        raise ValueError(f"not a tf.train.Example ({err})") from err
    fields = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        fields[name] = list(getattr(feature, kind).value) if kind else []
    return fields


def decode_objects(fields: Mapping[str, list[Any]], classes: Sequence[str]) -> list[ExampleObject]:
    """Returns the objects of a record, of this or another program: of a box that it lacks all sides are 0.

    Args:
      fields: of decode_example.
      classes: names, in label order.

    Raises:
      ValueError: an object's class is none of them, or the fields have different numbers of values.
    """
    texts, numbers = fields.get("image/object/class/text", []), fields.get("image/object/class/label", [])
    count = len(texts) or len(numbers)
    numbers = [classes.index(text.decode()) for text in texts] if texts else [number - 1 for number in numbers]
    columns: dict[str, list[Any]] = {}
    for name, blank in _OBJECT_FIELDS.items():
        columns[name] = fields.get(f"image/object/{name}") or [blank] * count
    objects = []
    for number, *box, hard, truncated, view in zip(numbers, *columns.values(), strict=True):
        if not 0 <= number < len(classes):
            raise ValueError(f"an object has class number {number + 1}, there are {len(classes)} classes")
        sides = (box[0], box[1], box[2], box[3])
        objects.append(ExampleObject(classes[number], number, sides, bool(hard), bool(truncated), view.decode()))
    return objects


def complete_labels(
    fields: dict[str, list[Any]], classes: Sequence[str], *, has_vectors: bool = True
) -> dict[str, list[Any]]:
    """Returns the fields of decode_example with the label vectors, made of the objects where the record has none.

    With has_vectors False (Manifest.has_label_vectors) they are always made: another program's field of that name says
    nothing.
    """
    if has_vectors and "image/class/multi_hot" in fields:
        return fields
    labels = ((o.class_index, o.difficult) for o in decode_objects(fields, classes))
    multi_hot, ignore = label_vectors(labels, len(classes))
    return {**fields, "image/class/multi_hot": multi_hot, "image/class/ignore": ignore}


def labels_of_objects(fields: Mapping[str, tf.Tensor], classes: Sequence[str]) -> tf.Tensor:
    """Returns the labels of a record that holds no label vectors, eagerly or in a graph.

    Args:
      fields: image/object/class/text (string [n] or [0]), image/object/class/label (int64 [n] or
        [0], 1-based), image/object/difficult (int64 [n], or [0]: none is difficult).
      classes: names, in label order.

    Returns:
      int64 [C]: 1 for a class with objects, -1 where all of them are difficult.
    """
    import tensorflow as tf

    found = [fields[f"image/object/{name}"] for name in ("class/text", "class/label", "difficult")]
    count = tf.reduce_max(tf.stack([tf.size(values) for values in found]))
    texts, numbers, difficult = (  # [n] each: what a record lacks is filled up
        tf.concat([values, tf.fill([count - tf.size(values)], tf.constant(blank, values.dtype))], axis=0)
        for values, blank in zip(found, ("", 0, 0), strict=True)
    )
    by_name = tf.equal(texts[:, None], tf.constant(classes)[None, :])  # [n, C]
    by_number = tf.equal(numbers[:, None], tf.range(1, len(classes) + 1, dtype=tf.int64)[None, :])
    present = tf.where(tf.equal(texts, "")[:, None], by_number, by_name)
    clear = tf.reduce_any(present & tf.equal(difficult, 0)[:, None], axis=0)
    difficult_only = tf.reduce_any(present, axis=0) & ~clear
    return tf.cast(clear, tf.int64) - tf.cast(difficult_only, tf.int64)


def parse_example(serialized: tf.Tensor, *, num_classes: int = 20, classes: Sequence[str] = ()) -> dict[str, tf.Tensor]:
    """Returns every field of one record as a tensor, eagerly or inside Dataset.map.

    Args:
      serialized: string scalar, one record.
      num_classes: length of the label vectors; the manifest's number of classes.
      classes: for records of other programs, which hold no label vectors: the class names, of which they are made. A
        text or number that such a record lacks is "" or 0.

    Returns:
      Dict of image/encoded, image/format, image/filename, image/source_id, image/key/sha256 (string scalars),
      image/height, image/width (int64 scalars), image/class/multi_hot and image/class/ignore (int64
      [num_classes]), and per object, in the annotation's order: image/object/bbox/{xmin,ymin,xmax,ymax}
      (float32 [n], 0..1), image/object/class/text (string [n]), image/object/class/label (int64 [n], 1-based),
      image/object/difficult, image/object/truncated (int64 [n]), image/object/view (string [n]).

    Raises:
      tf.errors.InvalidArgumentError: the record is no such Example.
    """
    import tensorflow as tf  # here: converter workers and inspection use this module without TensorFlow

    features = label_features(num_classes, classes)
    features["image/encoded"] = tf.io.FixedLenFeature([], tf.string)
    for name in ("format", "filename", "source_id", "key/sha256"):
        features[f"image/{name}"] = tf.io.FixedLenFeature([], tf.string, default_value="" if classes else None)
    for name in ("height", "width"):
        features[f"image/{name}"] = tf.io.FixedLenFeature([], tf.int64)
    for name in ("bbox/xmin", "bbox/ymin", "bbox/xmax", "bbox/ymax"):
        features[f"image/object/{name}"] = tf.io.RaggedFeature(tf.float32)
    for name in ("class/label", "difficult", "truncated"):
        features[f"image/object/{name}"] = tf.io.RaggedFeature(tf.int64)
    for name in ("class/text", "view"):
        features[f"image/object/{name}"] = tf.io.RaggedFeature(tf.string)
    fields = tf.io.parse_single_example(serialized, features)
    if classes:
        labels = labels_of_objects(fields, classes)
        fields["image/class/multi_hot"] = tf.abs(labels)
        fields["image/class/ignore"] = tf.cast(labels < 0, tf.int64)
    return fields


def label_features(num_classes: int, classes: Sequence[str]) -> dict[str, Any]:
    """Returns what tf.io.parse_single_example needs for the labels: label vectors, or with classes the objects."""
    import tensorflow as tf

    if not classes:
        vector = tf.io.FixedLenFeature([num_classes], tf.int64)
        return {"image/class/multi_hot": vector, "image/class/ignore": vector}
    return {
        "image/object/class/text": tf.io.RaggedFeature(tf.string),
        "image/object/class/label": tf.io.RaggedFeature(tf.int64),
        "image/object/difficult": tf.io.RaggedFeature(tf.int64),
    }


def read_labels(fields: Mapping[str, tf.Tensor], classes: Sequence[str]) -> tf.Tensor:
    """Returns the labels of a record, int64 [C]: 1 for a class with objects, -1 where all of them are difficult.

    Args:
      fields: of label_features; without classes also of several records, stacked.
      classes: as there.
    """
    if classes:
        return labels_of_objects(fields, classes)
    return fields["image/class/multi_hot"] - 2 * fields["image/class/ignore"]


def _example_class() -> Any:
    """Returns the message class of tf.train.Example, in a pool of its own beside TensorFlow's."""
    file = descriptor_pb2.FileDescriptorProto(name="voc_tfdata/example.proto", package="voc_tfdata", syntax="proto3")
    kind = descriptor_pb2.FieldDescriptorProto
    for name, type_ in (("Bytes", kind.TYPE_BYTES), ("Float", kind.TYPE_FLOAT), ("Int64", kind.TYPE_INT64)):
        values = file.message_type.add(name=f"{name}List")
        values.field.add(name="value", number=1, label=kind.LABEL_REPEATED, type=type_)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("Bytes", "Float", "Int64"), start=1):
        feature.field.add(
            name=f"{name.lower()}_list",
            number=number,
            label=kind.LABEL_OPTIONAL,
            type=kind.TYPE_MESSAGE,
            type_name=f".voc_tfdata.{name}List",
            oneof_index=0,
        )
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=kind.LABEL_OPTIONAL, type=kind.TYPE_STRING)
    for message, name, number, label, type_name in (
        (entry, "value", 2, kind.LABEL_OPTIONAL, ".voc_tfdata.Feature"),
        (features, "feature", 1, kind.LABEL_REPEATED, ".voc_tfdata.Features.FeatureEntry"),
        (file.message_type.add(name="Example"), "features", 1, kind.LABEL_OPTIONAL, ".voc_tfdata.Features"),
    ):
        message.field.add(name=name, number=number, label=label, type=kind.TYPE_MESSAGE, type_name=type_name)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("voc_tfdata.Example"))


_EXAMPLE = _example_class()
