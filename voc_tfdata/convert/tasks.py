"""What runs in the converter's processes: reading annotations, encoding pictures; and running it in order.

    with start_workers(num_workers) as run:
        for result in run(scan_chunk, tasks): ...        # in the order of the tasks, a few in flight

Nothing here or below imports TensorFlow.
"""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import multiprocessing.connection
import operator
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

from voc_tfdata.devkit.annotations import Annotation, parse_annotation
from voc_tfdata.devkit.images import UprightJpeg, load_upright_jpeg
from voc_tfdata.devkit.source_files import BadFileError, Notice, SourceFile, read_ahead
from voc_tfdata.records.examples import ExampleObject, encode_example, label_vectors
from voc_tfdata.records.tfrecord import frame_record

_IN_FLIGHT = 3  # chunks a worker: enough to never wait for the main process, few enough to stay small
T = TypeVar("T")
R = TypeVar("R")
Run = Callable[[Callable[[T], R], Iterable[T]], Iterator[R]]


@dataclass(frozen=True)
class ScanTask:
    """Annotations to parse."""

    files: tuple[tuple[str, tuple[int, ...], SourceFile], ...]  # (image id, lists as in Scanned, XML)
    classes: tuple[str, ...]


class Scanned(NamedTuple):
    """What the plan needs of one annotation."""

    image_id: str
    lists: tuple[int, ...]  # numbers of the split lists that name it
    filename: str
    labels: bytes  # one a class: NO_OBJECT, POSITIVE or IGNORED
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
    part_path: str | None
    tag: Any = None  # comes back in the outcome


@dataclass
class Encoded:
    """The outcome of an EncodeTask."""

    tag: Any = None
    kept: list[int] = field(default_factory=list)  # which of its items became records, in their order
    frame_sizes: list[int] = field(default_factory=list)  # bytes, of those
    errors: list[BadFileError] = field(default_factory=list)
    warnings: list[Notice] = field(default_factory=list)
    part_path: str | None = None


def scan_chunk(task: ScanTask) -> list[Scanned | BadFileError]:
    """Returns for each annotation what it says, or why it cannot be used."""
    contents = read_ahead(file for _, _, file in task.files)
    return [_scan(*file, data, task.classes) for file, data in zip(task.files, contents, strict=True)]


def _scan(
    image_id: str, lists: tuple[int, ...], file: SourceFile, data: bytes | BadFileError, classes: tuple[str, ...]
) -> Scanned | BadFileError:
    if isinstance(data, BadFileError):
        return data
    try:
        annotation = parse_annotation(data, path=file.path, image_id=image_id, classes=classes)
    except BadFileError as err:
        return err
    vectors = label_vectors(((o.class_index, o.difficult) for o in annotation.objects), len(classes))
    return Scanned(
        image_id,
        lists,
        annotation.filename,
        bytes(map(operator.add, *vectors)),
        len(annotation.objects),
        annotation.warnings,
        pickle.dumps(replace(annotation, warnings=())),
    )


def pack_item(annotation: bytes, picture: SourceFile) -> bytes:
    """Returns an item of an EncodeTask: a pickled annotation, as in Scanned, and its picture."""
    return pickle.dumps((annotation, tuple(picture)))


def _unpack_item(item: bytes) -> tuple[bytes, SourceFile]:
    annotation, picture = pickle.loads(item)
    return annotation, SourceFile(*picture)


def encode_chunk(task: EncodeTask) -> Encoded:
    """Returns what became of each picture, after decoding it and, if asked for, writing its record.

    A part file that is there already is written over from its start, and keeps what it has beyond: giving its pages
    back and getting them anew would take longer than writing them.

    Raises:
      OSError: the part file cannot be written (disk full, no permission), with its path.
    """
    result = Encoded(tag=task.tag, part_path=task.part_path)
    items = [_unpack_item(item) for item in task.items]
    contents = read_ahead(picture for _, picture in items)
    with _open_part(task.part_path) as part:
        for number, ((annotation, picture), data) in enumerate(zip(items, contents, strict=True)):
            try:
                frame, notices = _encode(pickle.loads(annotation), picture, data, task)
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
            result.warnings.extend(notices)
    return result


def _encode(
    annotation: Annotation, picture: SourceFile, data: bytes | BadFileError, task: EncodeTask
) -> tuple[bytes, list[Notice]]:
    if isinstance(data, BadFileError):
        raise data
    image = load_upright_jpeg(data, path=picture.path, max_pixels=task.max_pixels, shorter_side=task.shorter_side)
    notices = [Notice(change, f"{picture.path}: {change}") for change in image.changes if change != "shrunk"]
    payload = encode_example(
        image_id=annotation.image_id,
        filename=picture.name,
        jpeg=image.jpeg,
        sha256=hashlib.sha256(image.jpeg).hexdigest(),
        height=image.height,
        width=image.width,
        objects=_normalised(annotation, image, picture, notices),
        num_classes=len(task.classes),
    )
    return frame_record(payload), notices


def _normalised(
    annotation: Annotation, image: UprightJpeg, picture: SourceFile, notices: list[Notice]
) -> list[ExampleObject]:
    """Returns the objects with boxes as shares of the stored picture, as the object-detection API divides them.

    Boxes of a picture that was turned by its EXIF tag were drawn in a viewer that turned it too, unless <size> is that
    of the picture as stored in the file.
    """
    unturned = image.orientation >= 5 and (annotation.width, annotation.height) == (
        image.original_width,
        image.original_height,
    )
    turned = image.orientation >= 5 and not unturned
    width, height = image.original_width, image.original_height
    width, height = (height, width) if turned else (width, height)
    objects = []
    for o in annotation.objects:
        xmin, ymin, xmax, ymax = o.box or (0.0, 0.0, 0.0, 0.0)
        box = (xmin / width, ymin / height, xmax / width, ymax / height)
        if unturned and image.original_width != image.original_height:
            box = _turn_box(box, image.orientation)
        inside = tuple(min(1.0, max(0.0, side)) for side in box)
        if inside != box:
            text = f"{picture.path}: the box of {o.class_name!r} reaches outside the picture; cut to it"
            notices.append(Notice("box outside the picture", text))
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


@contextlib.contextmanager
def start_workers(num_workers: int) -> Iterator[Run]:
    """Yields run(function, tasks), which yields the results in the order of the tasks from that many processes.

    Raises (from run):
      RuntimeError: a worker process died.
    """
    if num_workers == 1:
        yield lambda function, tasks: map(function, tasks)
        return
    # Forking starts at once and shares memory, but must not happen with threads about (TensorFlow's).
    alone = threading.active_count() == 1 and "tensorflow" not in sys.modules and sys.platform == "linux"
    context = multiprocessing.get_context("fork" if alone else "spawn")
    pool = ProcessPoolExecutor(num_workers, mp_context=context, initializer=_prepare_worker)
    try:
        pool.submit(int)  # starts them now: what this process comes to hold is not theirs
        yield lambda function, tasks: _run_in_order(pool, function, tasks, _IN_FLIGHT * num_workers)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _run_in_order(pool: Executor, function: Callable[[T], R], tasks: Iterable[T], in_flight: int) -> Iterator[R]:
    pending: deque[Future[R]] = deque()
    try:
        for task in tasks:
            pending.append(pool.submit(function, task))
            if len(pending) >= in_flight:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as err:
        raise RuntimeError(
            "a worker process was ended from outside (out of memory, or killed); nothing was written; "
            "run again, with fewer --num_workers if memory is short"
        ) from err


def _prepare_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the main process handles it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Once 16 MiB were freed, glibc keeps blocks up to that size (mallopt(3), M_MMAP_THRESHOLD "is dynamic"), instead of
    # giving a picture's memory back to the kernel and getting it anew for the next.
    bytes(16 << 20)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    """Ends this worker when its parent is gone, however it went."""
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
