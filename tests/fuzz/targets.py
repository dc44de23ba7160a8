"""What reads bytes that nobody has to trust: each target feeds one parser and lets only its documented errors pass.

    fuzz_manifest(data)                                  # raises whatever the parser must not raise

A target gets bytes that were sound before they were mutated; SEEDS has the sound ones.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tests.convert.test_foreign import FOUR
from tests.devkit_fixture import annotation_xml, difficult, draw_noise, encode, sample, write_devkit
from voc_tfdata.classes import VOC_CLASSES, read_classes
from voc_tfdata.convert.build import build_records
from voc_tfdata.convert.foreign import index_records
from voc_tfdata.devkit.annotations import parse_annotation
from voc_tfdata.devkit.images import load_upright_jpeg
from voc_tfdata.devkit.listing import open_devkit
from voc_tfdata.devkit.pairing import find_picture, read_split_list
from voc_tfdata.devkit.source_files import BadFileError
from voc_tfdata.devkit.unpacking import unpack
from voc_tfdata.records.card import format_card, read_facts
from voc_tfdata.records.examples import complete_labels, decode_example, decode_objects
from voc_tfdata.records.manifest import format_manifest, read_manifest
from voc_tfdata.records.tfrecord import find_faults
from voc_tfdata.records.verify import verify_records
from voc_tfdata.remote.frames import frame_record

_MAX_PIXELS = 1_000_000  # a flipped bit of a header asks for gigabytes


def fuzz_manifest(data: bytes) -> None:
    """manifest.json, and what is then read of the folder."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "manifest.json").write_bytes(data)
        with contextlib.suppress(ValueError):
            manifest = read_manifest(folder)
            assert read_manifest(folder) == manifest and format_manifest(manifest)
            for split in manifest.splits.values():
                assert find_faults(Path(folder), split, check="sizes")  # no other file is there


def fuzz_index(data: bytes) -> None:
    """A .idx file beside its shard: a fault or none, never an error."""
    with _records() as folder:
        (index,) = folder.glob("*.idx")
        index.write_bytes(data)
        for split in read_manifest(folder).splits.values():
            same = [*map(int, data.split())] == [*map(int, _SOUND["index"].split())] if _is_numbers(data) else False
            assert (find_faults(folder, split, check="checksums") == []) == same


def _is_numbers(data: bytes) -> bool:
    return not data.translate(None, b"0123456789 \t\r\n")


def fuzz_shard(data: bytes) -> None:
    """A shard: verify names its faults; other programs' are refused."""
    with _records() as folder:
        (shard,) = folder.glob("*.tfrecord")
        shard.write_bytes(data)
        assert (verify_records(folder) == []) == (data == _SOUND["shard"])
        with contextlib.suppress(ValueError):
            index_records([shard], folder / "theirs", split="train", classes=VOC_CLASSES, num_workers=1)


def fuzz_example(data: bytes) -> None:
    """A tf.train.Example, ours or another program's."""
    with contextlib.suppress(ValueError):
        fields = decode_example(data)
        complete_labels(fields, VOC_CLASSES)
        decode_objects(fields, VOC_CLASSES)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.tfrecord").write_bytes(frame_record(data))
        with contextlib.suppress(ValueError):
            manifest = index_records([f"{folder}/a.tfrecord"], folder, split="train", num_workers=1)
            assert verify_records(folder) == []
            facts, duplicates = read_facts(Path(folder), manifest)
            assert format_card(manifest, facts, duplicates)


def fuzz_annotation(data: bytes) -> None:
    """An annotation's XML."""
    with contextlib.suppress(BadFileError):
        annotation = parse_annotation(data, path="a.xml", image_id="a", classes=VOC_CLASSES)
        assert all(0 <= o.class_index < len(VOC_CLASSES) for o in annotation.objects)


def fuzz_image(data: bytes) -> None:
    """An image of any format: what comes out can be decoded again."""
    with contextlib.suppress(BadFileError):
        image = load_upright_jpeg(data, path="a.jpg", max_pixels=_MAX_PIXELS)
        again = load_upright_jpeg(image.jpeg, path="a.jpg", max_pixels=_MAX_PIXELS)
        assert (again.width, again.height) == (image.width, image.height)


def fuzz_tar(data: bytes) -> None:
    """A .tar: read in place, and unpacked; nothing is written outside its folder."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "it.tar").write_bytes(data)
        with contextlib.suppress(ValueError, FileNotFoundError):
            devkit = open_devkit(root / "it.tar")
            for image_id in devkit.annotations:
                with contextlib.suppress(BadFileError):
                    find_picture(devkit, image_id, "")
        with open(root / "it.tar", "rb") as file, contextlib.suppress(ValueError, FileExistsError):
            unpack(file, root / "VOCdevkit/VOC2012", archive_name="it.tar", year=2012)
        assert {path.name for path in root.iterdir()} <= {"it.tar", "VOCdevkit"}


def fuzz_split_list(data: bytes) -> None:
    """A list of ImageSets/Main."""
    with tempfile.TemporaryDirectory() as folder:
        root = write_devkit(Path(folder), {"a": sample("dog"), "b c": sample("cat")})
        (root / "ImageSets/Main").mkdir(parents=True)
        (root / "ImageSets/Main/train.txt").write_bytes(data)
        with contextlib.suppress(ValueError):
            found = read_split_list(open_devkit(root), "train")
            assert set(found) <= {"a", "b c"} and list(found) == sorted(set(found))
            list(found.list_warnings())


def fuzz_class_list(data: bytes) -> None:
    """A file of class names, of any of the forms."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("classes.txt", "data.yaml"):
            (Path(folder) / name).write_bytes(data)
            with contextlib.suppress(ValueError):
                names = read_classes(Path(folder) / name)
                assert names and len({n.casefold() for n in names}) == len(names)


@contextlib.contextmanager
def _records():
    with tempfile.TemporaryDirectory() as folder:
        for name, content in _FILES.items():
            (Path(folder) / name).write_bytes(content)
        yield Path(folder)


def _build() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        picture = encode(draw_noise(24, 16), "JPEG", quality=60)
        devkit = write_devkit(root / "VOC", {"a": sample("dog", difficult("cat"), picture=picture), "b": sample("cat")})
        build_records(devkit, root / "out", split_ratios="train=1", num_workers=1)
        return {path.name: path.read_bytes() for path in (root / "out").iterdir() if path.suffix != ".html"}


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in (
            ("Annotations/a.xml", annotation_xml("dog").encode()),
            ("JPEGImages/a.jpg", encode(draw_noise(8, 8), "JPEG")),
            ("ImageSets/Main/train.txt", b"a\n"),
        ):
            member = tarfile.TarInfo(f"VOCdevkit/VOC2012/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _images() -> list[bytes]:
    noise = draw_noise(24, 16)
    alpha = Image.merge("RGBA", (*noise.split(), noise.convert("L")))
    exif = Image.Exif()
    exif[0x0112] = 6
    return [
        encode(noise, "JPEG", exif=exif),
        encode(noise, "JPEG", progressive=True),
        encode(noise.convert("CMYK"), "JPEG"),
        encode(alpha, "PNG"),
        encode(noise.convert("P"), "PNG"),
        encode(noise.convert("I;16"), "PNG"),
        encode(noise.convert("P"), "GIF"),
        encode(noise, "BMP"),
        encode(noise, "WEBP"),
        encode(noise, "TIFF", compression="tiff_lzw"),
        encode(noise, "TIFF"),
        encode(noise, "PPM"),
    ]


_FILES = _build()
_SOUND = {
    "index": next(data for name, data in _FILES.items() if name.endswith(".idx")),
    "shard": next(data for name, data in _FILES.items() if name.endswith(".tfrecord")),
}
_XML = annotation_xml("dog", difficult("cat"), filename="a.jpg").encode()
# Each target with sound inputs.
TARGETS: dict[Callable[[bytes], None], list[bytes]] = {
    fuzz_manifest: [_FILES["manifest.json"]],
    fuzz_index: [_SOUND["index"]],
    fuzz_shard: [_SOUND["shard"]],
    fuzz_example: [_SOUND["shard"][12:-4], *FOUR],
    fuzz_annotation: [_XML, _XML.decode().encode("utf-16"), b'<?xml version="1.0" encoding="gbk"?>' + _XML],
    fuzz_image: _images(),
    fuzz_tar: [_tar()],
    fuzz_split_list: [b"a\nb c\n", b"\xef\xbb\xbfa.jpg  1\r\nb c -1\r\n", "a\nb c 0\n".encode("utf-16")],
    fuzz_class_list: [
        b"dog\ncat\n# no\n",
        b"item {\n id: 1\n name: 'dog'\n}\nitem {\n id: 2\n name: 'cat'\n}\n",
        b"names: ['dog', 'cat']\nnc: 2\n",
        b"names:\n  0: dog\n  1: cat\n",
        b"dog:1,2,3::\ncat:4,5,6::\n",
        b"0 dog\n1 cat\n",
    ],
}
