"""One file of another program's TFRecords, read and checked to its last image: what runs in a worker process.

content = read_file("data/pascal_train.record-00000-of-00010")
content.rows, content.errors
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from voc_tfdata.devkit.images import DEFAULT_MAX_PIXELS, load_upright_jpeg
from voc_tfdata.devkit.source_files import BadFileError
from voc_tfdata.records.examples import decode_example
from voc_tfdata.records.tfrecord import crc32c_of_file, frame_bytes, iterate_records

_COMPRESSED = {b"\x1f\x8b": "GZIP", b"\x78\x01": "ZLIB", b"\x78\x9c": "ZLIB", b"\x78\xda": "ZLIB"}
_REMEDY = "convert from its image files by voc_tfdata convert, which re-encodes it"


class RecordRow(NamedTuple):
    """What the index needs of one record."""

    frame_size: int  # bytes
    source_id: str
    filename: str
    objects: tuple[tuple[str, int, bool], ...]  # class text ("" for none), label (-1 for none), difficult


@dataclass
class FileContent:
    """What a worker found in one file."""

    path: str
    num_bytes: int = 0
    crc32c: str = ""
    rows: list[RecordRow] = field(default_factory=list)
    errors: list[BadFileError] = field(default_factory=list)
    num_turned: int = 0  # images with an EXIF orientation


def read_file(path: str) -> FileContent:
    """Returns what is in one file: in a worker process."""
    result = FileContent(path, os.stat(path).st_size)
    with open(path, "rb") as stream:
        head = stream.read(12)
    if not head:
        result.errors.append(BadFileError(path, "is empty; remove it"))
        return result
    if (kind := _COMPRESSED.get(head[:2])) and struct.unpack("<Q", head[:8].ljust(8, b"\0"))[0] > result.num_bytes:
        reason = f"is compressed ({kind}), which allows no access to single records; write it again uncompressed"
        result.errors.append(BadFileError(path, reason))
        return result
    result.crc32c = crc32c_of_file(path)
    try:
        for number, payload in enumerate(iterate_records(path)):
            try:
                result.rows.append(_read_record(payload, f"{path}, record {number}", result))
            except BadFileError as err:
                result.errors.append(err)
    except ValueError as err:  # a broken frame: what follows cannot be found
        result.errors.append(BadFileError(path, str(err)))
    return result


def _read_record(payload: bytes, where: str, result: FileContent) -> RecordRow:
    try:
        fields = decode_example(payload)
    except ValueError as err:
        raise BadFileError(where, str(err)) from err
    encoded, height, width = (_only(fields, f"image/{name}", where) for name in ("encoded", "height", "width"))
    if not isinstance(encoded, bytes):
        raise BadFileError(where, "image/encoded is no bytes")
    image = load_upright_jpeg(encoded, path=where, max_pixels=DEFAULT_MAX_PIXELS)
    if image.jpeg != encoded:
        if image.changes != ("EXIF orientation applied",):
            raise BadFileError(where, f"its image cannot be read as it is ({', '.join(image.changes)}); {_REMEDY}")
        result.num_turned += 1
    if (width, height) != (image.original_width, image.original_height):
        size = f"{image.original_width} x {image.original_height}"
        raise BadFileError(where, f"image/width and /height are {width} x {height}, its image is {size}; correct them")
    return RecordRow(
        frame_bytes(len(payload)),
        _text_of(fields.get("image/source_id")),
        _text_of(fields.get("image/filename")),
        _objects_of(fields, where),
    )


def _objects_of(fields: dict[str, list[Any]], where: str) -> tuple[tuple[str, int, bool], ...]:
    texts, labels = fields.get("image/object/class/text", []), fields.get("image/object/class/label", [])
    difficult = fields.get("image/object/difficult", [])
    count = len(texts) or len(labels)
    for name, values in (("class/text", texts), ("class/label", labels), ("difficult", difficult)):
        if len(values) not in (0, count):
            raise BadFileError(where, f"image/object/{name} has {len(values)} values for {count} objects; correct them")
    texts, labels, difficult = texts or [b""] * count, labels or [-1] * count, difficult or [0] * count
    try:
        names = [text.decode() for text in texts]
    except (UnicodeDecodeError, AttributeError) as err:
        raise BadFileError(where, "image/object/class/text is no UTF-8 text; write it again") from err
    return tuple((t, int(n), bool(d)) for t, n, d in zip(names, labels, difficult, strict=True))


def _only(fields: dict[str, list[Any]], name: str, where: str) -> Any:
    values = fields.get(name, [])
    if len(values) != 1:
        raise BadFileError(where, f"{name} has {len(values)} values, not 1: not in the object-detection API's fields")
    return values[0]


def _text_of(values: list[Any] | None) -> str:
    """Returns the text of a field, "" if it has none that is UTF-8."""
    try:
        return values[0].decode() if values and isinstance(values[0], bytes) else ""
    except UnicodeDecodeError:
        return ""
