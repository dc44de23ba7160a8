"""What runs in the converter's processes: parsing annotations, encoding images.

    parsed = scan_chunk(ScanTask(...))
    encoded = encode_chunk(EncodeTask(...))

Nothing here or below imports TensorFlow.
"""

from __future__ import annotations

import contextlib
import hashlib
import operator
import os
import pickle
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from voc_tfdata.devkit.annotations import Annotation, list_class_names, parse_annotation
from voc_tfdata.devkit.images import UprightJpeg, load_upright_jpeg
from voc_tfdata.devkit.source_files import BadFileError, Notice, SourceFile, read_ahead
from voc_tfdata.records.examples import ExampleObject, encode_example, label_vectors
from voc_tfdata.records.facts import SplitFacts
from voc_tfdata.remote.frames import frame_record


@dataclass(frozen=True)
class ScanTask:
    """Annotations to parse."""

    files: tuple[tuple[str, tuple[int, ...], SourceFile], ...]  # (image id, lists as in ParsedAnnotation, XML)
    classes: tuple[str, ...]
    ignore_others: bool = False  # objects of other classes are left out


class ParsedAnnotation(NamedTuple):
    """What the plan needs of one annotation."""

    image_id: str
    lists: tuple[int, ...]  # numbers of the split lists that name it
    filename: str
    labels: bytes  # one per class: NO_OBJECT, POSITIVE or IGNORED
    num_objects: int
    warnings: tuple[Notice, ...]
    annotation: bytes  # pickled, some 300 bytes: so every XML is read once, and labels and plan cannot differ


NO_OBJECT, POSITIVE, IGNORED = 0, 1, 2  # IGNORED: difficult objects only; the sum of the two label vectors


@dataclass(frozen=True)
class EncodeTask:
    """Pictures to check, and to write as framed records to a part file (none: check only)."""

    items: tuple[bytes, ...]  # of pack_item
    classes: tuple[str, ...]
    max_pixels: int
    shorter_side: int | None
    max_bytes: int | None  # of memory that re-encoding an image may take
    part_path: str | None
    tag: Any = None  # comes back in the outcome


@dataclass
class Encoded:
    """The outcome of an EncodeTask."""

    tag: Any = None
    kept: list[int] = field(default_factory=list)  # which of its items became records, in their order
    frame_sizes: list[int] = field(default_factory=list)  # bytes, of those
    digests: list[bytes] = field(default_factory=list)  # SHA-256 of the stored JPEG, of those
    errors: list[BadFileError] = field(default_factory=list)
    warnings: list[Notice] = field(default_factory=list)
    facts: SplitFacts = field(default_factory=SplitFacts)
    part_path: str | None = None


def scan_chunk(task: ScanTask) -> list[ParsedAnnotation | BadFileError]:
    """Returns for each annotation what it says, or why it cannot be used."""
    contents = read_ahead(file for _, _, file in task.files)
    return [_scan(*file, data, task) for file, data in zip(task.files, contents, strict=True)]


def count_class_names(task: ScanTask) -> Counter[str]:
    """Returns how many objects of each class name some annotations hold; bad ones are told when they are scanned."""
    counts: Counter[str] = Counter()
    files = [file for _, _, file in task.files]
    for file, data in zip(files, read_ahead(files), strict=True):
        if isinstance(data, bytes):
            with contextlib.suppress(BadFileError):
                counts.update(list_class_names(data, path=file.path))
    return counts


def _scan(
    image_id: str, lists: tuple[int, ...], file: SourceFile, data: bytes | BadFileError, task: ScanTask
) -> ParsedAnnotation | BadFileError:
    if isinstance(data, BadFileError):
        return data
    try:
        annotation = parse_annotation(
            data, path=file.path, image_id=image_id, classes=task.classes, ignore_others=task.ignore_others
        )
    except BadFileError as err:
        return err
    vectors = label_vectors(((o.class_index, o.difficult) for o in annotation.objects), len(task.classes))
    return ParsedAnnotation(
        image_id,
        lists,
        annotation.filename,
        bytes(map(operator.add, *vectors)),
        len(annotation.objects),
        annotation.warnings,
        pickle.dumps(replace(annotation, warnings=())),
    )


def pack_item(annotation: bytes, picture: SourceFile) -> bytes:
    """Returns an item of an EncodeTask: a pickled annotation, as in ParsedAnnotation, and its picture."""
    return pickle.dumps((annotation, tuple(picture)))


def unpack_item(item: bytes) -> tuple[bytes, SourceFile]:
    """Returns what pack_item took."""
    annotation, picture = pickle.loads(item)
    return annotation, SourceFile(*picture)


def encode_chunk(task: EncodeTask) -> Encoded:
    """Returns what became of each image, after decoding it and, if asked for, writing its record.

    A part file that is there already is written over from its start, and keeps what it has beyond: giving its pages
    back and getting them anew would take longer than writing them.

    Raises:
      OSError: the part file cannot be written (disk full, no permission), with its path.
    """
    result = Encoded(tag=task.tag, part_path=task.part_path)
    items = [unpack_item(item) for item in task.items]
    contents = read_ahead(picture for _, picture in items)
    with _open_part(task.part_path) as part:
        for number, ((annotation, picture), data) in enumerate(zip(items, contents, strict=True)):
            try:
                frame, digest, notices = _encode(pickle.loads(annotation), picture, data, task, result.facts)
            except BadFileError as err:
                result.errors.append(err)
                continue
            if part is not None:
                try:
                    part.write(frame)
                except OSError as err:
                    raise OSError(err.errno, err.strerror, task.part_path) from err
            result.kept.append(number)
            result.frame_sizes.append(len(frame))
            result.digests.append(digest)
            result.warnings.extend(notices)
    return result


def _encode(
    annotation: Annotation, picture: SourceFile, data: bytes | BadFileError, task: EncodeTask, facts: SplitFacts
) -> tuple[bytes, bytes, list[Notice]]:
    """Returns the framed record, the SHA-256 of its JPEG, and what was odd; counts it in facts."""
    if isinstance(data, BadFileError):
        raise data
    if not picture.name.isascii() and not _is_utf8(picture.name):
        raise BadFileError(ascii(picture.path), "bytes that are no UTF-8 in its name; rename it")
    image = load_upright_jpeg(
        data, path=picture.path, max_pixels=task.max_pixels, shorter_side=task.shorter_side, max_bytes=task.max_bytes
    )
    notices = [Notice(change, f"{picture.path}: {change}") for change in image.changes if change != "shrunk"]
    digest = hashlib.sha256(image.jpeg)
    objects = _normalised(annotation, image, picture, notices)
    facts.add(image.width, image.height, objects)
    payload = encode_example(
        image_id=annotation.image_id,
        filename=picture.name,
        jpeg=image.jpeg,
        sha256=digest.hexdigest(),
        height=image.height,
        width=image.width,
        objects=objects,
        num_classes=len(task.classes),
    )
    return frame_record(payload), digest.digest(), notices


def _is_utf8(name: str) -> bool:
    """Returns whether a file's name can stand in a record: names may hold any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _normalised(
    annotation: Annotation, image: UprightJpeg, picture: SourceFile, notices: list[Notice]
) -> list[ExampleObject]:
    """Returns the objects with boxes as shares of the stored image, as the object-detection API divides them.

    Boxes of an image that was turned by its EXIF tag were drawn in a viewer that turned it too, unless <size> is that
    of the image as stored in the file.
    """
    unturned = image.orientation >= 5 and (annotation.width, annotation.height) == (
        image.original_width,
        image.original_height,
    )
    turned = image.orientation >= 5 and not unturned
    width, height = image.original_width, image.original_height
    width, height = (height, width) if turned else (width, height)
    said = annotation.width, annotation.height
    if said[0] and said[1] and not unturned and said != (width, height):
        notices.append(_size_notice(said[0], said[1], width, height, picture))
        if _is_rescaled(said[0], said[1], width, height):
            width, height = said[0], said[1]  # boxes were drawn on a copy of that size
    objects = []
    for o in annotation.objects:
        xmin, ymin, xmax, ymax = o.box or (0.0, 0.0, 0.0, 0.0)
        box = (xmin / width, ymin / height, xmax / width, ymax / height)
        if unturned and image.original_width != image.original_height:
            box = _turn_box(box, image.orientation)
        inside = tuple(min(1.0, max(0.0, side)) for side in box)
        if inside != box:
            text = f"{picture.path}: the box of {o.class_name!r} reaches outside the image; cut to it"
            notices.append(Notice("box outside the image", text))
        objects.append(
            ExampleObject(
                class_name=o.class_name,
                class_index=o.class_index,
                box=(inside[0], inside[1], inside[2], inside[3]),
                difficult=o.difficult,
                truncated=o.truncated,
                view=o.view,
            )
        )
    return objects


def _is_rescaled(said_width: int, said_height: int, width: int, height: int) -> bool:
    """Returns whether a size is that of a rescaled copy: the sides have the same ratio, to a pixel."""
    return abs(said_width * height - said_height * width) <= max(said_width, said_height, width, height)


def _size_notice(said_width: int, said_height: int, width: int, height: int, picture: SourceFile) -> Notice:
    stem = os.path.splitext(picture.name)[0]
    text = f"{stem}.xml: <size> is {said_width} x {said_height}, {picture.path} is {width} x {height}; "
    if _is_rescaled(said_width, said_height, width, height):
        return Notice("<size> is not the image's", f"{text}boxes are taken as drawn on a copy of that size")
    return Notice("<size> is not the image's", f"{text}boxes are kept as they are, and doubtful")


def _turn_box(box: tuple[float, float, float, float], orientation: int) -> tuple[float, float, float, float]:
    """Turns a normalised box as EXIF orientation 5 to 8 turns its picture."""
    x0, y0, x1, y1 = box
    turned = {5: (y0, x0, y1, x1), 6: (1 - y1, x0, 1 - y0, x1), 7: (1 - y1, 1 - x1, 1 - y0, 1 - x0)}
    return turned.get(orientation, (y0, 1 - x1, y1, 1 - x0))


@contextlib.contextmanager
def _open_part(path: str | None) -> Iterator[Any]:
    if path is None:
        yield None
        return
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o666), "wb") as part:
            yield part
    except OSError as err:  # also from the flush on closing
        raise OSError(err.errno, err.strerror, path) from err
