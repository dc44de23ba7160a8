"""The bytes of any picture -> checked, upright JPEG bytes (Pillow and libjpeg-turbo; no TensorFlow).

    picture = load_upright_jpeg(data, path="JPEGImages/a.png")
    picture.jpeg, picture.width, picture.height, picture.changes      # ("PNG re-encoded as JPEG",)

What a TensorFlow decoder would get wrong or trip over in the middle of an epoch is settled here, once: the format
is decided by content, CMYK, alpha, 16 bit and EXIF orientation become plain RGB, and every picture is decoded to its
last byte.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import simplejpeg
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from voc_tfdata.devkit import BadFileError

DEFAULT_MAX_PIXELS = 180_000_000
_QUALITY = 95
_MAX_SIDE = 65_500  # pixels; of libjpeg, and so of TensorFlow
# What Pillow may open. Others among its formats are no photographs, or start another program (EPS).
_FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000")
_ORIENTATION_TAG = 0x0112  # EXIF 2.3, section 4.6.4
_TIFF_WIDTH_TAG, _TIFF_HEIGHT_TAG = 0x0100, 0x0101  # TIFF 6.0, section 8
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Start-of-frame markers that TensorFlow's decoder reads: baseline, extended sequential, progressive (ITU T.81, B.1).
_PLAIN_FRAMES = (0xC0, 0xC1, 0xC2)
_STRAY_BYTES = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")
_SCAN_HEADER = re.compile(rb"(\xff\xda\x00(?:\x08\x01.{2}|\x0a\x02.{4}|\x0c\x03.{6})).{3}", re.DOTALL)
_MAX_MENDS = 64  # decodings of a copy without what is odd


@dataclass(frozen=True)
class UprightJpeg:
    """A picture as it goes into a record."""

    jpeg: bytes  # grey or RGB, baseline or progressive
    width: int  # pixels
    height: int
    original_width: int  # as stored in the file, before its EXIF orientation
    original_height: int
    orientation: int  # EXIF 1..8 that was applied; 1 is none
    changes: tuple[str, ...]  # what was done to it; empty: the file's own bytes


def load_upright_jpeg(
    data: bytes, *, path: str, max_pixels: int = DEFAULT_MAX_PIXELS, shorter_side: int | None = None
) -> UprightJpeg:
    """Returns the picture as upright JPEG: its own bytes where they already are that, else re-encoded.

    Args:
      data: the file's bytes: JPEG, PNG, BMP, GIF (first frame), WebP, TIFF (first page).
      path: of the file, for messages.
      max_pixels: larger pictures are refused from their header, before any decoding.
      shorter_side: if given, larger pictures are shrunk to this length of the shorter side, in pixels.

    Raises:
      BadFileError: empty, no picture, truncated, damaged, too large, or of pixels that are no colours.
    """
    with _quiet_pillow(), _open(data, path) as image:
        width, height = _stored_size(image)
        if width * height > max_pixels:
            raise BadFileError(
                path,
                f"has {width} x {height} = {width * height:,} pixels, the limit is {max_pixels:,}; "
                f"shrink it, or raise --max_pixels",
            )
        if max(width, height) > _MAX_SIDE:
            raise BadFileError(path, f"is {width} x {height} pixels; a JPEG has at most {_MAX_SIDE} a side; shrink it")
        is_jpeg = image.format in ("JPEG", "MPO")  # MPO: several JPEGs in one file, the first is the picture
        plain = is_jpeg and image.mode in ("L", "RGB") and _frame_marker(data) in _PLAIN_FRAMES
        orientation = _orientation(image)
        shrinks = shorter_side is not None and min(width, height) > shorter_side
        changes = _check_jpeg(data, image, path) if is_jpeg else ()
        if plain and orientation == 1 and not shrinks:
            return UprightJpeg(data, width, height, width, height, 1, changes)
        if not plain:
            changes += (f"{image.mode} JPEG re-encoded" if is_jpeg else f"{image.format} re-encoded as JPEG",)
        rgb = _to_rgb(image, path)
    if orientation != 1:
        changes += ("EXIF orientation applied",)
    if shrinks:
        assert shorter_side is not None
        scale = shorter_side / min(rgb.size)
        size = (max(1, round(rgb.width * scale)), max(1, round(rgb.height * scale)))
        rgb = rgb.resize(size, Image.Resampling.BILINEAR)  # Pillow's has the support for shrinking: no aliasing
        changes += ("shrunk",)
    return UprightJpeg(_encode(rgb), rgb.width, rgb.height, width, height, orientation, changes)


def _open(data: bytes, path: str) -> Image.Image:
    if not data:
        raise BadFileError(path, "is empty; restore it, or remove it with its annotation")
    try:
        return Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.UnidentifiedImageError as err:
        start = data[:8]
        raise BadFileError(path, f"is no picture that can be read (starts with {start!r}); replace it") from err
    except Exception as err:  # Pillow's plug-ins raise what they like on damaged headers
        raise BadFileError(path, f"has a damaged header ({err}); replace it") from err


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Pillow refuses above a limit of its own (ours is the caller's), and warns without naming the file."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """Returns (width, height) as the file has them; Pillow turns a TIFF's by its orientation."""
    if isinstance(image, TiffImageFile):
        return int(image.tag_v2[_TIFF_WIDTH_TAG]), int(image.tag_v2[_TIFF_HEIGHT_TAG])
    return image.size


def _check_jpeg(data: bytes, image: Image.Image, path: str) -> tuple[str, ...]:
    """Decodes all of a JPEG; returns what is odd about it but harms nothing.

    At an eighth of its size: what can be wrong with a JPEG shows while its codes are read, which is done to the last
    one at any size. What is left out is arithmetic (inverse DCT, upsampling, colours), which cannot fail, takes a
    third of the time, and would hold 324 MB for a picture of 108 megapixels.
    """
    colours = "CMYK" if image.mode == "CMYK" else "RGB"

    def decode(jpeg: bytes) -> str:
        """Returns the decoder's first warning, "" for none."""
        try:
            simplejpeg.decode_jpeg(jpeg, colours, min_height=1, min_width=1, min_factor=8, strict=True)
        except ValueError as err:
            return str(err)
        return ""

    warning = decode(data)
    if not warning:
        return ()
    if _is_only_odd(data, warning, decode):
        return ("JPEG with stray bytes or an odd header stored as it is",)
    raise BadFileError(path, f"is a truncated or damaged JPEG ({warning}); replace it")


def _is_only_odd(data: bytes, warning: str, decode: Callable[[bytes], str]) -> bool:
    """Returns whether a JPEG decodes without a warning once what loses nothing is taken out of a copy.

    Stray bytes between segments and odd headers are common in old cameras' files. The decoder tells its first warning
    only, which could hide that the file is cut off; so each is mended in turn, until there is none left or a real one.
    """
    left, tries = [(data, warning)], 0
    while left:
        data, warning = left.pop()
        for mended in _mend(data, warning):
            tries += 1
            next_warning = decode(mended)
            if not next_warning:
                return True
            if tries == _MAX_MENDS:
                return False
            if next_warning != warning:
                left.append((mended, next_warning))
    return False


def _mend(data: bytes, warning: str) -> Iterator[bytes]:
    """Yields copies of a JPEG, in one of which what the decoder warns of is gone if it is harmless."""
    if stray := _STRAY_BYTES.search(warning):
        count, marker = int(stray[1]), bytes((0xFF, int(stray[2], 16)))
        places = [match.start() for match in re.finditer(re.escape(marker), data)]
        yield from (data[: at - count] + data[at:] for at in reversed(places) if at >= count)
    elif "unknown JFIF revision" in warning:
        yield re.sub(rb"JFIF\x00..", b"JFIF\0\1\1", data, count=1, flags=re.DOTALL)
    elif "Invalid SOS parameters for sequential JPEG" in warning:  # they mean nothing there (ITU T.81, B.2.3)
        yield _SCAN_HEADER.sub(lambda match: match[1] + b"\0\x3f\0", data)


def _to_rgb(image: Image.Image, path: str) -> Image.Image:
    """Returns the first frame, decoded, as upright RGB."""
    try:
        image.load()
        turn = _TURNS.get(_orientation(image))  # asked after loading: Pillow turns TIFF by itself
        if image.mode.startswith("I"):
            image = _scale_16_bit(image, path)
        elif image.mode == "F":
            raise BadFileError(path, "has floating-point pixels; save it with 8 bits a channel")
        if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
        rgb = image.convert("RGB")
    except BadFileError:
        raise
    except Exception as err:  # Pillow's plug-ins raise what they like on damaged data
        raise BadFileError(path, f"cannot be decoded ({err}); replace it") from err
    return rgb.transpose(turn) if turn is not None else rgb


def _scale_16_bit(image: Image.Image, path: str) -> Image.Image:
    """Returns 16-bit grey as 8-bit grey: 65535 becomes 255."""
    grey = np.asarray(image)
    if grey.min() < 0 or grey.max() > 65535:
        raise BadFileError(path, "has 32-bit pixels; save it with 8 or 16 bits a channel")
    scaled = ((grey.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if "transparency" in image.info:  # one value of a PNG that stands for "clear"
        scaled[grey == image.info["transparency"]] = 255  # laid over white
    return Image.fromarray(scaled)


def _orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation, 1 where there is none or it is no number from 1 to 8."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG)
    except Exception:  # damaged EXIF: TensorFlow and browsers show such a picture as it is stored
        return 1
    return value if value in range(1, 9) else 1


def _frame_marker(data: bytes) -> int:
    """Returns the start-of-frame marker of a JPEG (0xC0 baseline, 0xC2 progressive ...), 0 if there is none."""
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            position += 1  # stray bytes between segments
            continue
        marker = data[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return marker
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 1 if marker == 0xFF else 2
            continue
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return 0


def _encode(rgb: Image.Image) -> bytes:
    out = io.BytesIO()
    rgb.save(out, "JPEG", quality=_QUALITY, subsampling="4:4:4", exif=b"", icc_profile=None)
    return out.getvalue()
