"""What a JPEG says of itself; tests of damaged ones are in test_images.py."""

from __future__ import annotations

import pytest
from PIL import Image

from tests.devkit_fixture import draw_quarters, encode
from voc_tfdata.devkit.jpeg import JpegHeader, read_jpeg_header


def header_of(data: bytes) -> JpegHeader:
    header = read_jpeg_header(data)
    assert header is not None
    return header


@pytest.mark.parametrize(
    "mode, save, frame, components",
    [("RGB", {}, 0xC0, 3), ("L", {}, 0xC0, 1), ("RGB", {"progressive": True}, 0xC2, 3), ("CMYK", {}, 0xC0, 4)],
)
def test_size_and_kind_are_read(mode: str, save: dict, frame: int, components: int) -> None:
    data = encode(draw_quarters(64, 48).convert(mode), "JPEG", **save)
    header = header_of(data)
    assert header == JpegHeader(
        frame=frame, precision=8, width=64, height=48, components=components, has_tags=False, scan=header.scan
    )
    assert data[header.scan : header.scan + 2] == b"\xff\xda"
    assert header.is_plain == (mode != "CMYK")


def test_tags_are_seen_before_and_behind_the_frame() -> None:
    data = encode(draw_quarters(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")
    assert header_of(data).has_tags
    plain = encode(draw_quarters(), "JPEG")
    scan = plain.index(b"\xff\xda")
    assert header_of(plain[:scan] + b"\xff\xe1\x00\x08Exif\0\0" + plain[scan:]).has_tags


def test_a_frame_inside_a_thumbnail_is_not_that_of_the_picture() -> None:
    thumbnail = encode(Image.new("RGB", (16, 8)), "JPEG")
    data = encode(draw_quarters(64, 48), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + thumbnail)
    assert (header_of(data).width, header_of(data).height) == (64, 48)


def test_stray_and_fill_bytes_between_segments_are_passed_over() -> None:
    data = encode(draw_quarters(64, 48), "JPEG")
    at = data.index(b"\xff\xc0")
    for stray in (b"\x11\x22", b"\xff\xff", b"\xff\x00", b"\x00"):
        assert header_of(data[:at] + stray + data[at:]).width == 64


# ITU T.81, table B.1: C1 extended sequential is plain too; C3 lossless, C5 to C7 differential, C9 and up arithmetic.
@pytest.mark.parametrize("frame, plain", [(0xC1, True), (0xC3, False), (0xC5, False), (0xC9, False), (0xCA, False)])
def test_frames_that_tensorflow_does_not_decode_are_not_plain(frame: int, plain: bool) -> None:
    data = encode(draw_quarters(), "JPEG").replace(b"\xff\xc0", bytes((0xFF, frame)), 1)
    assert header_of(data).frame == frame
    assert header_of(data).is_plain == plain


@pytest.mark.parametrize(
    "at, value", [(4, 12), (5, 0), (9, 2)]
)  # precision 12, height 0 (48 is 0 * 256 + 48), 2 components
def test_odd_frames_are_not_plain(at: int, value: int) -> None:
    data = bytearray(encode(draw_quarters(64, 48), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + at] = value
    if at == 5:
        data[frame + 6] = 0
    assert not header_of(bytes(data)).is_plain


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"\x89PNG\r\n\x1a\n" + b"\xff\xc0" * 9, b"GIF89a"]
)
def test_what_is_no_jpeg_has_no_header(data: bytes) -> None:
    assert read_jpeg_header(data) is None


def test_a_header_cut_off_anywhere_is_none_or_whole() -> None:
    data = encode(draw_quarters(64, 48), "JPEG")
    for k in range(len(data)):
        header = read_jpeg_header(data[:k])
        assert header is None or (header.width, header.height, header.components) == (64, 48, 3)
