"""Pictures of every format and mode come out as upright RGB or grey JPEG; damaged ones are named."""

from __future__ import annotations

import io
import random
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.devkit_fixture import QUARTERS, draw_noise, draw_quarters, encode, is_close, plain_jpeg, quarters_of
from voc_tfdata.devkit import jpeg
from voc_tfdata.devkit.image_formats import quiet_pillow
from voc_tfdata.devkit.images import load_upright_jpeg
from voc_tfdata.devkit.source_files import BadFileError

RED, GREEN, BLUE, NEARLY_WHITE = QUARTERS
ORIENTATION = 0x0112
ODD = "JPEG with stray bytes or an odd header stored as it is"


def load(data: bytes, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quiet_pillow()  # as every command does: a warning of Pillow names no file
        return load_upright_jpeg(data, path="JPEGImages/a.jpg", **options)


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def store_turned(orientation: int) -> Image.Image:
    """Returns the quarters as a camera stores them that was held so that EXIF says this orientation."""
    undo = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 7: "TRANSVERSE"}
    undo |= {6: "ROTATE_90", 8: "ROTATE_270"}  # shown turned by 270, so stored turned by 90
    image = draw_quarters(64, 48)
    return image.transpose(Image.Transpose[undo[orientation]]) if orientation != 1 else image


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("save", [{}, {"progressive": True}, {"subsampling": "4:4:4"}, {"restart_marker_rows": 1}])
def test_bytes_of_plain_jpegs_are_not_touched(mode, save):
    data = encode(draw_quarters().convert(mode), "JPEG", **save)
    picture = load(data)
    assert picture.jpeg == data
    assert (picture.width, picture.height, picture.orientation, picture.changes) == (64, 48, 1, ())


def test_bytes_with_metadata_or_a_tail_are_not_touched():
    tagged = encode(draw_quarters(), "JPEG", exif=exif(1), icc_profile=b"x" * 300, comment=b"hello")
    assert load(tagged).jpeg == tagged
    assert load(tagged + b"appended by a camera").jpeg == tagged + b"appended by a camera"


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000"])
def test_other_formats_are_told_by_content_and_become_jpeg(file_format):
    picture = load(encode(draw_quarters(), file_format))
    assert picture.jpeg[:3] == b"\xff\xd8\xff"
    assert is_close(quarters_of(picture.jpeg), QUARTERS)
    assert (picture.width, picture.height) == (64, 48)
    assert len(picture.changes) == 1 and "re-encoded as JPEG" in picture.changes[0]


def test_reencoding_keeps_full_colour_resolution_and_quality_95():
    jpeg = Image.open(io.BytesIO(load(encode(draw_quarters(), "PNG")).jpeg))
    assert [component[1:3] for component in jpeg.layer] == [(1, 1)] * 3  # no chroma subsampling: 4:4:4
    assert jpeg.quantization[0][0] == 2  # 16 of ITU T.81 table K.1 at quality 95: (16 * 10 + 50) // 100


# Alpha over white by hand: colour * a/255 + 255 * (1 - a/255).
#   (200, 0, 0) at alpha 0 -> white; at 255 -> itself; at 51 (a fifth) -> (40 + 204, 204, 204)
@pytest.mark.parametrize("alpha, colour", [(0, (255, 255, 255)), (255, (200, 0, 0)), (51, (244, 204, 204))])
@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_laid_over_white(alpha, colour, file_format):
    data = encode(Image.new("RGBA", (16, 16), (200, 0, 0, alpha)), file_format, **{"lossless": True})
    assert is_close(quarters_of(load(data).jpeg), [colour] * 4, 4)


def test_grey_alpha_palette_transparency_and_colour_keys_are_laid_over_white():
    grey = encode(Image.new("LA", (16, 16), (100, 51)), "PNG")  # 20 + 204
    assert is_close(quarters_of(load(grey).jpeg), [(224, 224, 224)] * 4, 3)
    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    assert is_close(quarters_of(load(encode(palette, "PNG")).jpeg), [(10, 20, 30)] * 4, 3)
    assert is_close(quarters_of(load(encode(palette, "PNG", transparency=1)).jpeg), [(255, 255, 255)] * 4, 3)
    assert is_close(quarters_of(load(encode(palette, "GIF", transparency=1)).jpeg), [(255, 255, 255)] * 4, 3)
    shades = encode(palette, "PNG", transparency=b"\xff\x00")  # an alpha for each palette entry
    assert is_close(quarters_of(load(shades).jpeg), [(255, 255, 255)] * 4, 3)
    key = encode(Image.new("RGB", (16, 16), (1, 2, 3)), "PNG", transparency=(1, 2, 3))
    assert is_close(quarters_of(load(key).jpeg), [(255, 255, 255)] * 4, 3)
    key = encode(Image.new("L", (16, 16), 9), "PNG", transparency=9)
    assert is_close(quarters_of(load(key).jpeg), [(255, 255, 255)] * 4, 3)


def test_one_bit_pictures_are_black_and_white():
    image = Image.new("1", (16, 16), 1)
    image.paste(0, (0, 0, 16, 8))
    for file_format in ("PNG", "BMP", "TIFF"):
        found = quarters_of(load(encode(image, file_format)).jpeg)
        assert is_close(found, [(0, 0, 0)] * 2 + [(255, 255, 255)] * 2, 3)


# 16 bit by hand: 65535 / 257 = 255, 25700 / 257 = 100, 257 / 257 = 1
@pytest.mark.parametrize("value, grey", [(65535, 255), (25700, 100), (257, 1), (0, 0)])
@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_to_8_bits(value, grey, file_format):
    data = encode(Image.fromarray(np.full((16, 16), value, np.uint16)), file_format)
    assert is_close(quarters_of(load(data).jpeg), [(grey, grey, grey)] * 4, 1)


def png_16_bit(pixel: bytes, colour_type: int, extra: bytes = b"") -> bytes:
    """Returns a PNG (ISO 15948) of 16 x 16 equal pixels with 16 bits per channel."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 16, colour_type, 0, 0, 0))
    rows = (b"\0" + pixel * 16) * 16
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_16_bit_colour_and_16_bit_alpha_are_scaled_to_8_bits():
    colour = png_16_bit(struct.pack(">HHH", 51400, 25700, 0), 2)  # 200 * 257, 100 * 257, 0
    assert is_close(quarters_of(load(colour).jpeg), [(200, 100, 0)] * 4, 3)
    clear = png_16_bit(struct.pack(">HHHH", 51400, 25700, 0, 0), 6)
    assert is_close(quarters_of(load(clear).jpeg), [(255, 255, 255)] * 4, 1)
    grey = png_16_bit(struct.pack(">HH", 25700, 0xFFFF), 4)
    assert is_close(quarters_of(load(grey).jpeg), [(100, 100, 100)] * 4, 1)


def test_transparent_16_bit_grey_is_laid_over_white():
    key = struct.pack(">I", 2) + b"tRNS\x64\x64"  # the grey 0x6464 = 25700 is transparent
    key += struct.pack(">I", zlib.crc32(b"tRNS\x64\x64"))
    assert is_close(quarters_of(load(png_16_bit(b"\x64\x64", 0, key)).jpeg), [(255, 255, 255)] * 4, 1)
    assert is_close(quarters_of(load(png_16_bit(b"\x65\x65", 0, key)).jpeg), [(101, 101, 101)] * 4, 1)


@pytest.mark.parametrize("mode, value", [("F", 0.5), ("I", 1 << 20), ("I", -1)])
def test_pixels_that_are_no_colours_are_refused(mode, value):
    with pytest.raises(BadFileError, match="a.jpg: has (floating-point|32-bit) pixels; save it with 8"):
        load(encode(Image.new(mode, (16, 16), value), "TIFF"))


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF", "MPO"])
def test_the_first_frame_of_several_is_the_picture(file_format):
    frames = [Image.new("RGB", (32, 32), colour) for colour in (GREEN, BLUE)]
    first = draw_quarters(32, 32)
    data = encode(first, file_format, save_all=True, append_images=frames)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert is_close(quarters_of(load(data).jpeg), QUARTERS, 40 if file_format == "MPO" else 12)


def test_cmyk_jpeg_becomes_rgb_with_white_paper():
    image = Image.new("CMYK", (32, 32), (0, 0, 0, 0))  # no ink
    image.paste((0, 255, 255, 0), (0, 0, 16, 16))  # magenta and yellow: red
    picture = load(encode(image, "JPEG", quality=95))
    white = (255, 255, 255)
    assert is_close(quarters_of(picture.jpeg), [(255, 0, 0), white, white, white], 12)
    assert picture.changes == ("CMYK JPEG re-encoded",)
    assert Image.open(io.BytesIO(picture.jpeg)).mode == "RGB"


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_out_upright(file_format, orientation):
    data = encode(store_turned(orientation), file_format, exif=exif(orientation))
    picture = load(data)
    assert (picture.width, picture.height) == (64, 48)
    assert is_close(quarters_of(picture.jpeg), QUARTERS, 40)
    assert picture.orientation == orientation
    stored = (48, 64) if orientation >= 5 else (64, 48)
    assert (picture.original_width, picture.original_height) == stored
    assert ("EXIF orientation applied" in picture.changes) == (orientation > 1)
    assert Image.open(io.BytesIO(picture.jpeg)).getexif().get(ORIENTATION, 1) == 1  # not to be applied twice


@pytest.mark.parametrize("orientation", [0, 9, 300])
def test_an_orientation_outside_1_to_8_is_none(orientation):
    data = encode(draw_quarters(), "JPEG", exif=exif(orientation))
    assert load(data).jpeg == data


def test_damaged_exif_is_no_reason_to_refuse_a_picture():
    data = bytearray(encode(draw_quarters(), "JPEG", exif=exif(6)))
    at = data.index(b"Exif\0\0")
    data[at + 10 : at + 14] = b"\xff\xff\xff\xff"  # the offset of the first directory
    assert load(bytes(data)).jpeg == bytes(data)


def cuts(data: bytes) -> list[int]:
    """Returns places to cut a JPEG: all in the first 700 bytes, then some, up to where only the end marker is missing.

    None between segments: a progressive JPEG that ends there is a legal one of less detail.
    """
    places = {*range(1, 700), *range(700, len(data), 211), *range(len(data) - 40, len(data))}
    markers = {k for k in range(len(data) - 1) if data[k] == 0xFF and 0xC0 <= data[k + 1] <= 0xDF}
    return sorted(k for k in places if 0 < k < len(data) - 2 and not {k, k - 1} & markers)


@pytest.mark.parametrize("save", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
def test_a_jpeg_cut_off_at_any_byte_is_refused(save, end):
    data = encode(draw_noise(), "JPEG", **save)
    for k in cuts(data):
        with pytest.raises(BadFileError, match="a.jpg: "):
            load(data[:k] + end)


@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
def test_a_cmyk_jpeg_cut_off_at_any_byte_is_refused(end):
    data = encode(draw_noise().convert("CMYK"), "JPEG")
    for k in cuts(data):
        with pytest.raises(BadFileError, match="a.jpg: "):
            load(data[:k] + end)


@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
def test_a_jpeg_to_be_turned_or_shrunk_that_is_cut_off_is_refused(end):
    data = encode(draw_noise(), "JPEG", exif=exif(6))
    for k in cuts(data)[100::7]:
        with pytest.raises(BadFileError, match="a.jpg: "):
            load(data[:k] + end, shorter_side=16)


@pytest.mark.parametrize("file_format", ["PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM"])
def test_other_formats_cut_off_anywhere_are_refused_or_whole(file_format):
    data = encode(draw_noise(48, 36), file_format)
    whole = load(data).jpeg
    for k in range(1, len(data), 37):
        try:
            assert load(data[:k]).jpeg == whole, k  # what was cut off was no pixel
        except BadFileError as err:
            assert err.path == "JPEGImages/a.jpg"


def test_a_png_with_exif_that_is_cut_off_is_refused():
    data = encode(draw_noise(), "PNG", exif=exif(6))
    for k in range(60, len(data) - 60, 501):
        with pytest.raises(BadFileError, match="a.jpg: "):
            load(data[:k])


@pytest.mark.parametrize("progressive", [False, True])
def test_a_flipped_piece_of_coded_data_is_refused(progressive):
    data = bytearray(encode(draw_noise(), "JPEG", progressive=progressive))
    middle = len(data) // 2
    data[middle : middle + 64] = b"\xff\x00" * 32  # no Huffman code consists of ones only (ITU T.81, C.2)
    with pytest.raises(BadFileError, match="truncated or damaged JPEG"):
        load(bytes(data))


def with_stray_bytes(data: bytes, marker: bytes, count: int = 5) -> bytes:
    at = data.index(marker)
    return data[:at] + b"\x11" * count + data[at:]


@pytest.mark.parametrize("progressive", [False, True])
def test_codes_left_over_behind_the_image_tell_of_damage_but_padding_does_not(progressive):
    data = encode(draw_noise(), "JPEG", progressive=progressive)
    for left in (b"\x11", b"\x11\x22", bytes(99)):  # as encoders leave them
        odd = data[:-2] + left + b"\xff\xd9"
        assert load(odd).jpeg == odd
    assert load(odd).changes == (ODD,)  # the decoder itself passes over fewer
    for left in (b"\x11" * 12, bytes(98) + b"\x01"):
        with pytest.raises(BadFileError, match="damaged JPEG .*extraneous bytes before marker 0xd9"):
            load(data[:-2] + left + b"\xff\xd9")


def test_flipped_bits_that_can_be_seen_are_found_where_codes_are_left_over():
    whole = encode(draw_noise(200, 160), "JPEG", quality=80)
    start, draw = whole.index(b"\xff\xda") + 14, random.Random(0)
    for _ in range(200):
        data, at = bytearray(whole), draw.randrange(start, len(whole) - 2)
        data[at] ^= 1 << draw.randrange(8)
        try:
            assert load(bytes(data)).changes == ()  # no such file is called odd
        except BadFileError:
            pass


def test_a_thumbnail_in_the_tags_is_no_coded_data():
    data = encode(draw_noise(), "JPEG")
    thumbnail = b"Exif\0\0" + encode(draw_noise(8, 8), "JPEG")
    tags = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    odd = with_stray_bytes(data, b"\xff\xdb", 99)
    odd = odd[:2] + tags + odd[2:]
    assert (load(odd).jpeg, load(odd).changes) == (odd, (ODD,))


@pytest.mark.parametrize("marker", [b"\xff\xdb", b"\xff\xc4", b"\xff\xda"])
@pytest.mark.parametrize("progressive", [False, True])
def test_stray_bytes_before_a_marker_lose_nothing_and_stay(marker, progressive):
    data = with_stray_bytes(encode(draw_noise(), "JPEG", progressive=progressive), marker, 99)
    picture = load(data)
    assert picture.jpeg == data
    assert picture.changes == (ODD,)


@pytest.mark.parametrize("marker", [b"\xff\xdb", b"\xff\xc4", b"\xff\xda"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
def test_stray_bytes_do_not_hide_that_a_jpeg_is_cut_off(marker, progressive, end):
    data = with_stray_bytes(encode(draw_noise(), "JPEG", progressive=progressive), marker)
    for k in cuts(data)[700::5]:
        with pytest.raises(BadFileError, match="a.jpg: "):
            load(data[:k] + end)


def test_stray_bytes_in_several_places_lose_nothing_and_stay():
    data = encode(draw_noise(), "JPEG", progressive=True)
    for marker in (b"\xff\xdb", b"\xff\xc2", b"\xff\xda"):
        data = with_stray_bytes(data, marker)
    assert (load(data).jpeg, load(data).changes) == (data, (ODD,))


def odd_headers() -> list[bytes]:
    """Returns JPEGs whose headers say what decoders warn of and ignore: JFIF 2.1, and spectral selection 0 to 0."""
    data = encode(draw_noise(), "JPEG")
    scan = data.index(b"\xff\xda") + 11  # marker 2, length 2, count 1, three components of 2
    assert data[scan : scan + 3] == b"\0\x3f\0"
    return [data.replace(b"JFIF\0\1\1", b"JFIF\0\2\1"), data[:scan] + b"\0\0\0" + data[scan + 3 :]]


@pytest.mark.parametrize("data", odd_headers())
def test_an_odd_header_loses_nothing_stays_and_hides_no_cut(data):
    assert (load(data).jpeg, load(data).changes) == (data, (ODD,))
    with pytest.raises(BadFileError, match="truncated or damaged"):
        load(data[: len(data) // 2] + b"\xff\xd9")


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 5000, b"<html>404</html>", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"RIFF"]
)
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(BadFileError, match="a.jpg: (is empty|is no image|has a damaged header|cannot be decoded)"):
        load(data)


def test_postscript_is_no_picture():
    data = encode(draw_quarters(), "EPS")  # Pillow would start another program to read it
    with pytest.raises(BadFileError, match="is no image that can be read"):
        load(data)


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body)) + b"\0\0\0\4IDAT"


def test_a_picture_above_max_pixels_is_refused_from_its_header():
    # 200,000 x 100,000 pixels would be 60 GB: only the header is there to be read
    with pytest.raises(BadFileError, match=r"200000 x 100000 = 20,000,000,000 pixels, .* 180,000,000; .*--max_pixels"):
        load(png_header(200_000, 100_000))
    data = encode(draw_quarters(64, 48), "JPEG")  # 3,072 pixels
    assert load(data, max_pixels=3072).jpeg == data
    with pytest.raises(BadFileError, match="64 x 48 = 3,072 pixels, the limit is 3,071"):
        load(data, max_pixels=3071)


def test_a_picture_too_long_for_a_jpeg_is_refused():
    with pytest.raises(BadFileError, match="a.jpg: .*65,?500"):
        load(encode(Image.new("L", (70_000, 2)), "PNG"))


def test_a_large_picture_is_checked_to_its_end():
    data = encode(Image.new("RGB", (6000, 4100), RED), "JPEG")  # 24.6 megapixels
    assert load(data).jpeg == data
    with pytest.raises(BadFileError, match="truncated or damaged"):
        load(data[: len(data) // 2])


# Shorter side to 24: 64 x 48 -> 32 x 24; turned images by their upright size; smaller ones stay untouched.
def test_the_shorter_side_is_shrunk_and_never_enlarged():
    picture = load(encode(draw_quarters(64, 48), "JPEG"), shorter_side=24)
    assert (picture.width, picture.height, picture.changes) == (32, 24, ("shrunk",))
    assert (picture.original_width, picture.original_height) == (64, 48)
    assert is_close(quarters_of(picture.jpeg), QUARTERS, 40)
    turned = load(encode(store_turned(6), "JPEG", exif=exif(6)), shorter_side=24)
    assert (turned.width, turned.height) == (32, 24)
    small = plain_jpeg(size=(20, 24))
    assert load(small, shorter_side=24).jpeg == small


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_picture_is_shrunk_to_the_same_size_and_colours(orientation):
    stored = store_turned(orientation).resize((3000, 2250) if orientation == 1 else (2250, 3000))
    picture = load(encode(stored, "JPEG", exif=exif(orientation)), shorter_side=30)
    assert (picture.width, picture.height) == (40, 30)
    assert is_close(quarters_of(picture.jpeg), QUARTERS)


def test_shrinking_does_not_alias():
    pixels = np.zeros((256, 256, 3), np.uint8)
    pixels[:, ::2] = 255  # columns black and white by turns: grey when looked at from afar
    picture = load(encode(Image.fromarray(pixels), "PNG"), shorter_side=64)
    assert is_close(quarters_of(picture.jpeg), [(128, 128, 128)] * 4, 20)


def test_a_stored_picture_can_be_decoded_by_tensorflow():
    import tensorflow as tf

    odd = with_stray_bytes(encode(draw_quarters(), "JPEG"), b"\xff\xc4")
    for data in (odd, encode(draw_quarters(), "PNG"), encode(draw_quarters().convert("CMYK"), "JPEG")):
        pixels = tf.io.decode_jpeg(load(data).jpeg, channels=3).numpy()
        assert pixels.shape == (48, 64, 3)
        assert is_close([pixels[12, 16]], [RED], 40)


def flip(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


# What is behind the header of each kind: one flipped bit anywhere in it, and no half image may pass.
@pytest.mark.parametrize("kind", ["RGB", "L", "P", "I;16", "RGBA"])
def test_no_flipped_bit_in_a_png_passes(kind):
    picture = draw_noise(40, 30, seed=1)
    if kind == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    elif kind == "RGBA":
        picture.putalpha(picture.convert("L"))
    else:
        picture = picture.convert(kind)
    data = encode(picture, "PNG")
    for place in np.random.default_rng(0).integers(data.index(b"IDAT"), data.index(b"IEND") - 4, 60).tolist():
        with pytest.raises(BadFileError, match="a.jpg: "):
            load(flip(data, place))


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "TIFF", "JPEG", "BMP", "PPM"])
def test_what_pillow_refuses_with_its_checks_on_is_refused(file_format):
    data = encode(draw_noise(40, 30, seed=1), file_format)
    for place in np.random.default_rng(0).integers(40, len(data), 60).tolist():
        damaged = flip(data, place)
        try:
            with Image.open(io.BytesIO(damaged)) as picture:
                picture.load()
        except Exception:
            with pytest.raises(BadFileError, match="a.jpg: "):
                load(damaged)


def test_a_png_whose_checksum_only_is_wrong_is_refused():
    data = encode(draw_quarters(), "PNG")
    with pytest.raises(BadFileError, match="cannot be decoded .*IDAT"):
        load(flip(data, data.index(b"IEND") - 6))  # in the four bytes of the checksum before the next length


def lossless(data: bytes) -> bytes:
    """Returns a JPEG whose frame marker says lossless."""
    return data.replace(b"\xff\xc0", b"\xff\xc3", 1)


def test_a_lossless_jpeg_never_reaches_the_decoder_that_crashes_on_it(monkeypatch):
    monkeypatch.setattr(jpeg.simplejpeg, "decode_jpeg", lambda *args, **options: pytest.fail("it would crash"))
    with pytest.raises(BadFileError, match="a.jpg: (cannot be decoded|has a damaged header)"):
        load(lossless(encode(draw_quarters(), "JPEG")))  # the scan is no lossless one


def test_rare_chroma_sampling_is_no_damage_and_is_reencoded():
    data = encode(Image.new("RGB", (64, 64), (200, 30, 30)), "JPEG", subsampling="4:4:4")
    frame = data.index(b"\xff\xc0")
    odd = bytearray(data)
    for k, factors in enumerate((0x22, 0x21, 0x11)):  # 2x2, 2x1 and 1x1: legal, and without a name
        odd[frame + 11 + 3 * k] = factors
    picture = load(bytes(odd))
    assert "JPEG that the fast decoder does not know" in picture.changes[0]
    assert tf.io.decode_jpeg(picture.jpeg).shape == (64, 64, 3)


def test_an_icc_profile_behind_the_frame_header_is_no_damage():
    data = encode(draw_quarters(), "JPEG", icc_profile=b"x" * 300)
    start = data.index(b"\xff\xe2")
    end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    rest = data[:start] + data[end:]
    frame = rest.index(b"\xff\xc0")
    after = frame + 2 + int.from_bytes(rest[frame + 2 : frame + 4], "big")
    moved = rest[:after] + data[start:end] + rest[after:]
    assert load(moved).jpeg == moved


def test_grey_of_12_bits_is_scaled_by_its_own_bits():
    # Two rows of four samples of 12 bits, packed: 0, 1365, 2730, 4095 are 0, 1/3, 2/3 and all of 4095.
    row = b"\x00\x05\x55\xaa\xaf\xff"
    entries = [(256, 3, 4), (257, 3, 2), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 3, 2)]
    entries += [(279, 4, 12)]
    directory = struct.pack("<H", len(entries))
    for tag, kind, value in entries:
        directory += struct.pack("<HHII", tag, kind, 1, value)
    data = b"II*\x00" + struct.pack("<I", 8 + 12) + row * 2 + directory + bytes(4)
    grey = np.asarray(Image.open(io.BytesIO(load(data).jpeg)))[0, :, 0]
    assert np.abs(grey.astype(int) - [0, 85, 170, 255]).max() <= 3


def test_12_bits_in_a_16_bit_file_are_told():
    grey = Image.fromarray(np.full((30, 40), 3000, np.uint16))
    picture = load(encode(grey, "PNG"))
    assert any("values stay below 4,096" in change for change in picture.changes)
    full = load(encode(Image.fromarray(np.full((30, 40), 60_000, np.uint16)), "PNG"))
    assert full.changes == ("PNG re-encoded as JPEG",)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\x00\x00\x00\x18ftypheic" + bytes(30), "HEIC"),
        (b"\x00\x00\x00\x18ftypavif" + bytes(30), "AVIF"),
        (b"\xff\x0a" + bytes(30), "JPEG XL"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00" + bytes(40), "camera raw"),
        (b"FUJIFILMCCD-RAW 0201", "camera raw"),
    ],
)
def test_formats_that_are_known_and_not_read_are_named_with_the_remedy(data, name):
    with pytest.raises(BadFileError, match=f"is {name}.* which is not read; convert it to JPEG or PNG"):
        load(data)


def test_a_progressive_jpeg_of_very_many_scans_is_refused():
    data = encode(draw_quarters(), "JPEG", progressive=True)
    scan = data.rindex(b"\xff\xda")
    many = data[:scan] + data[scan:-2] * 201 + data[-2:]
    with pytest.raises(BadFileError, match="has 2[01][0-9] scans, more than 200; save it anew"):
        load(many)


def test_a_picture_that_takes_more_memory_than_its_share_is_refused_from_its_header():
    data = encode(Image.new("RGBA", (400, 300)), "PNG")
    with pytest.raises(BadFileError, match="takes about 0.0 GB of memory to re-encode 400 x 300 pixels"):
        load_upright_jpeg(data, path="a.png", max_bytes=400 * 300 * 12 - 1)
    assert load_upright_jpeg(data, path="a.png", max_bytes=400 * 300 * 12).width == 400


def test_threads_leave_pillows_limit_and_the_warnings_as_they_were():
    limit, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    data = encode(Image.new("RGBA", (40, 30)), "PNG")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: load_upright_jpeg(data, path="a.png"), range(64)))
    assert Image.MAX_IMAGE_PIXELS == limit and warnings.filters == filters
