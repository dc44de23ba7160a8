"""Small real devkit trees, drawn and written by the tests that use them.

root = write_devkit(tmp_path / "VOC", {"a": sample("dog"), "b": sample("cat", difficult("dog"))})
build_records(root, tmp_path / "records", num_workers=1)
labels_of(read_examples(tmp_path / "records"))          # {"a": ["dog"], "b": ["cat", "dog"]}
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from voc_tfdata.convert.build import build_records
from voc_tfdata.records.examples import decode_example
from voc_tfdata.records.manifest import read_manifest
from voc_tfdata.records.tfrecord import iterate_records

COLOURS = ((200, 30, 30), (30, 160, 40), (40, 60, 200), (220, 180, 20), (150, 40, 170), (20, 170, 180))
QUARTERS = ((220, 30, 30), (30, 170, 40), (40, 60, 210), (235, 235, 235))  # red green / blue white


@dataclass(frozen=True)
class Sample:
    """One annotation and its image; None where there is to be no such file."""

    objects: tuple[str, ...]
    picture: bytes | None  # b"" for one that write_devkit draws
    suffix: str
    xml: bytes | None  # b"" for one that write_devkit writes
    filename: str | None  # <filename>; None for the right one


def sample(
    *objects: str,
    picture: bytes | None = b"",
    suffix: str = ".jpg",
    xml: bytes | str | None = b"",
    filename: str | None = None,
) -> Sample:
    """Returns a Sample; an object is a class name or an <object> element."""
    return Sample(objects, picture, suffix, xml.encode() if isinstance(xml, str) else xml, filename)


def write_devkit(root: Path, samples: Mapping[str, Sample], lists: Mapping[str, Sequence[str]] | None = None) -> Path:
    """Writes Annotations/, JPEGImages/ and ImageSets/Main/ under root and returns root.

    The images are of one colour each, COLOURS in the order of the samples, 32 x 24 pixels.
    """
    for folder in ("Annotations", "JPEGImages"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number, (image_id, it) in enumerate(samples.items()):
        name = f"{image_id}{it.suffix}"
        if it.picture is not None:
            picture = it.picture or with_comment(plain_jpeg(COLOURS[number % len(COLOURS)]), number // len(COLOURS))
            (root / "JPEGImages" / name).write_bytes(picture)
        if it.xml is not None:
            filename = name if it.filename is None else it.filename
            width, height = size_of(picture) if it.picture is not None else (32, 24)
            xml = it.xml or annotation_xml(*it.objects, filename=filename, width=width, height=height).encode()
            (root / "Annotations" / f"{image_id}.xml").write_bytes(xml)
    for name, lines in (lists or {}).items():
        write_list(root, name, "".join(f"{line}\n" for line in lines).encode())
    return root


def with_comment(jpeg: bytes, number: int) -> bytes:
    """Returns a JPEG with a number in a comment, so that no two are identical; 0 leaves it out."""
    return jpeg[:2] + b"\xff\xfe\x00\x06" + number.to_bytes(4, "big") + jpeg[2:] if number else jpeg


def size_of(picture: bytes) -> tuple[int, int]:
    """Returns width and height of an image, 32 and 24 of what is none."""
    try:
        with Image.open(io.BytesIO(picture)) as image:
            return image.size
    except Exception:  # damaged on purpose, in any way
        return 32, 24


def write_list(root: Path, name: str, data: bytes) -> None:
    """Writes ImageSets/Main/{name}.txt."""
    folder = root / "ImageSets" / "Main"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_bytes(data)


def annotation_xml(*objects: str, filename: str = "", width: int = 32, height: int = 24, head: str = "") -> str:
    """Returns a whole annotation; an object is a class name or an <object> element."""
    elements = "".join(o if o.startswith("<object") else object_xml(o) for o in objects)
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"{head}<annotation><folder>x</folder><filename>{filename}</filename>{size}{elements}</annotation>"


def object_xml(name: str, *, box: Sequence[float] = (4, 6, 16, 12), difficult: str = "0", inside: str = "") -> str:
    """Returns an <object> element; box is xmin, ymin, xmax, ymax in pixels."""
    sides = "".join(
        f"<{side}>{value}</{side}>" for side, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return (
        f"<object><name>{name}</name><pose>Left</pose><truncated>0</truncated>"
        f"<difficult>{difficult}</difficult><bndbox>{sides}</bndbox>{inside}</object>"
    )


def difficult(name: str) -> str:
    """Returns an <object> element that is 'difficult'."""
    return object_xml(name, difficult="1")


def plain_jpeg(colour: tuple[int, int, int] = COLOURS[0], size: tuple[int, int] = (32, 24), **save: Any) -> bytes:
    """Returns a JPEG of one colour; size is (width, height)."""
    return encode(Image.new("RGB", size, colour), "JPEG", **save)


def encode(image: Image.Image, file_format: str, **save: Any) -> bytes:
    """Returns the bytes of an image file."""
    out = io.BytesIO()
    image.save(out, file_format, **save)
    return out.getvalue()


def draw_quarters(width: int = 64, height: int = 48) -> Image.Image:
    """Returns an image of four quarters: red and green above, blue and white below."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for k, colour in enumerate(QUARTERS):
        top, left = k // 2 * height // 2, k % 2 * width // 2
        pixels[top : top + height // 2, left : left + width // 2] = colour
    return Image.fromarray(pixels)


def draw_noise(width: int = 96, height: int = 72, seed: int = 0) -> Image.Image:
    """Returns an image that compresses badly, so that a cut anywhere hits coded data."""
    return Image.fromarray(np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8))


def quarters_of(jpeg: bytes) -> list[tuple[int, ...]]:
    """Returns the colours in the middle of the four quarters: above left, above right, below left, below right."""
    image = Image.open(io.BytesIO(jpeg)).convert("RGB")
    spots = [(x, y) for y in (1, 3) for x in (1, 3)]
    return [image.getpixel((x * image.width // 4, y * image.height // 4)) for x, y in spots]  # type: ignore[misc]


def is_close(found: Sequence[Sequence[int]], wanted: Sequence[Sequence[int]], tolerance: int = 12) -> bool:
    """Returns whether colours agree but for what JPEG and CMYK do to them."""
    return bool(np.abs(np.asarray(found, int) - np.asarray(wanted, int)).max() <= tolerance)


def write_small_records(folder: Path, *, train: int = 0, val: int = 0, test: int = 0) -> Path:
    """Writes records of plain images p00, p01, ... of three classes, classes.txt beside; returns their folder.

    A split of 0 images is not there.
    """
    names = ("cat", "dog", "person")
    samples = {
        f"p{i:02}": sample(
            names[i % 3], difficult(names[(i + 1) % 3]), picture=plain_jpeg(COLOURS[i % 6], (40, 32 + i))
        )
        for i in range(train + val + test)
    }
    ids = list(samples)
    lists = {"train": ids[:train], "val": ids[train : train + val], "test": ids[train + val :]}
    lists = {name: members for name, members in lists.items() if members}
    root = write_devkit(folder / "VOC", samples, lists)
    (folder / "classes.txt").write_text("\n".join(names))
    build_records(root, folder / "records", splits=tuple(lists), classes=names, num_workers=1)
    return folder / "records"


def read_examples(records_dir: Path) -> dict[str, dict[str, list[Any]]]:
    """Returns {image id: fields} of all records of a data set, read without TensorFlow."""
    examples = {}
    for split in read_manifest(records_dir).splits.values():
        for shard in split.shards:
            for payload in iterate_records(records_dir / shard.file):
                fields = decode_example(payload)
                image_id = fields["image/source_id"][0].decode()
                examples[image_id] = fields
    return examples


def labels_of(examples: Mapping[str, Mapping[str, list[Any]]]) -> dict[str, list[str]]:
    """Returns {image id: names of its objects' classes, sorted, each once}."""
    return {i: sorted({name.decode() for name in e["image/object/class/text"]}) for i, e in examples.items()}


def files_in(folder: Path) -> dict[str, bytes]:
    """Returns {name: bytes} of every file in a folder, hidden ones too."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
