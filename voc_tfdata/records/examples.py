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

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

if TYPE_CHECKING:
    import tensorflow as tf


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


def parse_example(serialized: tf.Tensor, *, num_classes: int = 20) -> dict[str, tf.Tensor]:
    """Returns every field of one record as a tensor, eagerly or inside Dataset.map.

    Args:
      serialized: string scalar, one record.
      num_classes: length of the label vectors; the manifest's number of classes.

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

    features: dict[str, Any] = {
        "image/class/multi_hot": tf.io.FixedLenFeature([num_classes], tf.int64),
        "image/class/ignore": tf.io.FixedLenFeature([num_classes], tf.int64),
    }
    for name in ("encoded", "format", "filename", "source_id", "key/sha256"):
        features[f"image/{name}"] = tf.io.FixedLenFeature([], tf.string)
    for name in ("height", "width"):
        features[f"image/{name}"] = tf.io.FixedLenFeature([], tf.int64)
    for name in ("bbox/xmin", "bbox/ymin", "bbox/xmax", "bbox/ymax"):
        features[f"image/object/{name}"] = tf.io.RaggedFeature(tf.float32)
    for name in ("class/label", "difficult", "truncated"):
        features[f"image/object/{name}"] = tf.io.RaggedFeature(tf.int64)
    for name in ("class/text", "view"):
        features[f"image/object/{name}"] = tf.io.RaggedFeature(tf.string)
    return tf.io.parse_single_example(serialized, features)


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
