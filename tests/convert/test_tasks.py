"""What runs in the converter's processes: labels and boxes of one image, errors collected."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest
from PIL import Image

from tests.devkit_fixture import annotation_xml, difficult, draw_quarters, encode, object_xml, plain_jpeg
from voc_tfdata.classes import VOC_CLASSES
from voc_tfdata.convert.tasks import (
    IGNORED,
    POSITIVE,
    Encoded,
    EncodeTask,
    ParsedAnnotation,
    ScanTask,
    encode_chunk,
    pack_item,
    scan_chunk,
)
from voc_tfdata.devkit import source_files
from voc_tfdata.devkit.images import DEFAULT_MAX_PIXELS
from voc_tfdata.devkit.source_files import SourceFile
from voc_tfdata.records.examples import decode_example
from voc_tfdata.records.tfrecord import iterate_records


def write(folder: Path, name: str, data: bytes | str) -> SourceFile:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return SourceFile(str(path), str(path), 0, path.stat().st_size)


def scan(folder: Path, xml: str, image_id: str = "a") -> ParsedAnnotation:
    (scanned,) = scan_chunk(ScanTask(((image_id, (), write(folder, f"{image_id}.xml", xml)),), VOC_CLASSES))
    assert isinstance(scanned, ParsedAnnotation)
    return scanned


def encode_task(items: list[bytes], part: Path | None, side: int | None = None) -> EncodeTask:
    return EncodeTask(tuple(items), VOC_CLASSES, DEFAULT_MAX_PIXELS, side, None, str(part) if part else None)


def encode_one(tmp_path: Path, xml: str, picture: bytes, side: int | None = None) -> tuple[Encoded, dict]:
    item = pack_item(scan(tmp_path, xml).annotation, write(tmp_path, "a.jpg", picture))
    encoded = encode_chunk(encode_task([item], tmp_path / "part", side))
    payloads = list(iterate_records(tmp_path / "part"))
    return encoded, decode_example(payloads[0]) if payloads else {}


def boxes_of(fields: dict) -> list[tuple[float, ...]]:
    sides = (fields[f"image/object/bbox/{side}"] for side in ("xmin", "ymin", "xmax", "ymax"))
    return [tuple(round(value, 6) for value in box) for box in zip(*sides, strict=True)]


def test_scanning_tells_labels_and_the_reasons_of_bad_files(tmp_path: Path) -> None:
    files = (
        (
            "a",
            (),
            write(tmp_path, "a.xml", annotation_xml("dog", difficult("cat"), difficult("dog"), filename="x.jpg")),
        ),
        ("b", (), write(tmp_path, "b.xml", annotation_xml("unicorn"))),
        ("c", (), SourceFile("c.xml", str(tmp_path / "c.xml"), 0, 0)),
        ("d", (), write(tmp_path, "d.xml", annotation_xml())),
    )
    a, b, c, d = scan_chunk(ScanTask(files, VOC_CLASSES))
    assert (a.image_id, a.filename, a.num_objects) == ("a", "x.jpg", 3)
    assert {VOC_CLASSES[k]: label for k, label in enumerate(a.labels) if label} == {"dog": POSITIVE, "cat": IGNORED}
    assert "unicorn" in str(b) and "c.xml: cannot be read" in str(c)
    assert (d.labels, d.num_objects) == (bytes(20), 0)


# Boxes by hand, 32 x 24 pixels: 4/32 = 0.125, 6/24 = 0.25, 16/32 = 0.5, 12/24 = 0.5
def test_a_record_has_the_untouched_picture_its_hash_size_and_boxes(tmp_path: Path) -> None:
    picture = plain_jpeg()
    encoded, fields = encode_one(tmp_path, annotation_xml("dog", difficult("cat")), picture)
    assert fields["image/encoded"] == [picture]
    assert fields["image/key/sha256"] == [hashlib.sha256(picture).hexdigest().encode()]
    assert (fields["image/width"], fields["image/height"]) == ([32], [24])
    assert boxes_of(fields) == [(0.125, 0.25, 0.5, 0.5)] * 2
    assert (encoded.kept, encoded.errors, encoded.warnings) == ([0], [], [])
    assert encoded.frame_sizes == [os.path.getsize(tmp_path / "part")]


def test_boxes_stay_shares_when_the_picture_is_shrunk(tmp_path: Path) -> None:
    _, fields = encode_one(tmp_path, annotation_xml("dog"), plain_jpeg(), side=12)
    assert (fields["image/width"], fields["image/height"]) == ([16], [12])
    assert boxes_of(fields) == [(0.125, 0.25, 0.5, 0.5)]


def test_a_box_outside_the_picture_is_cut_to_it_with_a_warning(tmp_path: Path) -> None:
    encoded, fields = encode_one(tmp_path, annotation_xml(object_xml("dog", box=(-8, 6, 64, 12))), plain_jpeg())
    assert boxes_of(fields) == [(0.0, 0.25, 1.0, 0.5)]
    assert [w.kind for w in encoded.warnings] == ["box outside the image"]


def test_an_unusable_box_is_all_zero(tmp_path: Path) -> None:
    _, fields = encode_one(tmp_path, annotation_xml("<object><name>dog</name></object>"), plain_jpeg())
    assert (boxes_of(fields), fields["image/class/multi_hot"][11]) == ([(0, 0, 0, 0)], 1)


# A box over the red quarter (left, top) of the upright 64 x 48 image, as shares: 0, 0, 0.5, 0.5. Where that
# quarter lies in the stored image follows from the EXIF orientation (EXIF 2.3: which side is the 0th row):
#   6: stored 48 x 64, its left is the upright bottom, its top the upright left: red lies left of the green ... below.
STORED_BOXES = {  # xmin, ymin, xmax, ymax of the red quarter in the stored 48 x 64 image
    5: (0, 0, 24, 32),
    6: (0, 32, 24, 64),
    7: (24, 32, 48, 64),
    8: (24, 0, 48, 32),
}
UNDO = {5: "TRANSPOSE", 6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("file_format", ["JPEG", "TIFF", "PNG"])
def test_boxes_are_turned_with_the_picture(tmp_path: Path, orientation: int, file_format: str) -> None:
    stored = draw_quarters(64, 48).transpose(Image.Transpose[UNDO[orientation]])
    assert stored.size == (48, 64)
    left, top, right, bottom = STORED_BOXES[orientation]
    red = stored.getpixel(((left + right) // 2, (top + bottom) // 2))
    assert red == (220, 30, 30)  # the table above is right
    tags = Image.Exif()
    tags[0x0112] = orientation
    picture = encode(stored, file_format, exif=tags)
    drawn_unturned = object_xml("dog", box=(left, top, right, bottom))
    _, fields = encode_one(tmp_path, annotation_xml(drawn_unturned, width=48, height=64), picture)
    assert boxes_of(fields) == [(0, 0, 0.5, 0.5)]
    assert (fields["image/width"], fields["image/height"]) == ([64], [48])
    drawn_upright = object_xml("dog", box=(0, 0, 32, 24))
    _, fields = encode_one(tmp_path, annotation_xml(drawn_upright, width=64, height=48), picture)
    assert boxes_of(fields) == [(0, 0, 0.5, 0.5)]


def test_bad_files_are_collected_and_the_good_ones_written(tmp_path: Path) -> None:
    pictures = [plain_jpeg(), b"no image", plain_jpeg()[:300], plain_jpeg((1, 2, 3))]
    items = [
        pack_item(scan(tmp_path, annotation_xml("person"), f"i{k}").annotation, write(tmp_path, f"{k}.jpg", data))
        for k, data in enumerate(pictures)
    ]
    encoded = encode_chunk(encode_task(items, tmp_path / "part"))
    assert encoded.kept == [0, 3]
    assert [os.path.basename(err.path) for err in encoded.errors] == ["1.jpg", "2.jpg"]
    payloads = list(iterate_records(tmp_path / "part"))
    assert [decode_example(p)["image/source_id"] for p in payloads] == [[b"i0"], [b"i3"]]


def test_checking_tells_the_same_and_writes_nothing(tmp_path: Path) -> None:
    item = pack_item(scan(tmp_path, annotation_xml("dog")).annotation, write(tmp_path, "a.jpg", plain_jpeg()))
    written = encode_chunk(encode_task([item], tmp_path / "part"))
    (tmp_path / "part").unlink()
    before = sorted(os.listdir(tmp_path))
    checked = encode_chunk(encode_task([item], None))
    assert (checked.kept, checked.frame_sizes) == (written.kept, written.frame_sizes)
    assert sorted(os.listdir(tmp_path)) == before


def test_a_part_is_written_over_from_its_start(tmp_path: Path) -> None:
    item = pack_item(scan(tmp_path, annotation_xml("dog")).annotation, write(tmp_path, "a.jpg", plain_jpeg()))
    encoded = encode_chunk(encode_task([item], tmp_path / "part"))
    fresh = (tmp_path / "part").read_bytes()
    (tmp_path / "part").write_bytes(b"x" * (len(fresh) + 9))
    assert encode_chunk(encode_task([item], tmp_path / "part")) == encoded
    assert (tmp_path / "part").read_bytes() == fresh + b"x" * 9 and sum(encoded.frame_sizes) == len(fresh)


def test_a_part_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    item = pack_item(scan(tmp_path, annotation_xml("dog")).annotation, write(tmp_path, "a.jpg", plain_jpeg()))
    for target in (tmp_path / "nowhere/part", Path("/dev/full")):
        with pytest.raises(OSError) as caught:
            encode_chunk(encode_task([item], target))
        assert caught.value.filename == str(target) and caught.value.strerror


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM, errno.EIO, errno.ENOSPC])
def test_a_fault_of_the_machine_is_no_bad_file(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    item = pack_item(scan(tmp_path, annotation_xml("dog")).annotation, write(tmp_path, "a.jpg", plain_jpeg()))

    def refuse(*args: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(source_files, "open", refuse, raising=False)
    with pytest.raises(OSError, match="a fault of the machine, not of the file") as caught:
        encode_chunk(encode_task([item], None))
    assert caught.value.errno == number and caught.value.filename == str(tmp_path / "a.jpg")
