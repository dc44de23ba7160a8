"""The bytes of any picture -> checked, upright JPEG bytes (Pillow and libjpeg-turbo; no TensorFlow).

    picture = load_upright_jpeg(data, path="JPEGImages/a.png")
    picture.jpeg, picture.width, picture.height, picture.changes      # ("PNG re-encoded as JPEG",)

What a TensorFlow decoder would get wrong or trip over in the middle of an epoch is settled here, once: the format
is decided by content, CMYK, alpha, 16 bit and EXIF orientation become plain RGB, and every picture is decoded to its
last byte.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from voc_tfdata.devkit.jpeg import check_jpeg, read_jpeg_header
from voc_tfdata.devkit.source_files import BadFileError

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
    header = read_jpeg_header(data)
    plain = header is not None and header.is_plain
    if header is not None and plain and not header.has_tags and _fits(header.width, header.height, shorter_side):
        # Most pictures; without Pillow, which takes a tenth of the time of all that is done here.
        _check_size(header.width, header.height, max_pixels, path)
        changes = check_jpeg(data, header, path)
        return UprightJpeg(data, header.width, header.height, header.width, header.height, 1, changes)
    with _quiet_pillow(), _open(data, path) as image:
        width, height = _stored_size(image)
        _check_size(width, height, max_pixels, path)
        orientation = _orientation(image)
        changes = check_jpeg(data, header, path) if header is not None else ()
        if plain and orientation == 1 and _fits(width, height, shorter_side):
            return UprightJpeg(data, width, height, width, height, 1, changes)
        if not plain:
            changes += (
                f"{image.mode} JPEG re-encoded" if header is not None else f"{image.format} re-encoded as JPEG",
            )
        if shorter_side is not None and header is not None:  # JPEG: decoded at 1/2, 1/4 or 1/8 where that is enough
            scale = 2 * shorter_side / min(width, height)  # twice as large as wanted, so that it can still be smoothed
            image.draft(None, (math.ceil(scale * width), math.ceil(scale * height)))
        rgb = _to_rgb(image, path)
    if orientation != 1:
        changes += ("EXIF orientation applied",)
    if shorter_side is not None and not _fits(width, height, shorter_side):
        scale = shorter_side / min(rgb.size)
        size = (max(1, round(rgb.width * scale)), max(1, round(rgb.height * scale)))
        rgb = rgb.resize(size, Image.Resampling.BILINEAR)  # Pillow's has the support for shrinking: no aliasing
        changes += ("shrunk",)
    return UprightJpeg(_encode(rgb), rgb.width, rgb.height, width, height, orientation, changes)


def _fits(width: int, height: int, shorter_side: int | None) -> bool:
    return shorter_side is None or min(width, height) <= shorter_side


def _check_size(width: int, height: int, max_pixels: int, path: str) -> None:
    if width * height > max_pixels:
        raise BadFileError(
            path,
            f"has {width} x {height} = {width * height:,} pixels, the limit is {max_pixels:,}; "
            "shrink it, or raise --max_pixels",
        )
    if max(width, height) > _MAX_SIDE:
        raise BadFileError(path, f"is {width} x {height} pixels; a JPEG has at most {_MAX_SIDE} a side; shrink it")


def _open(data: bytes, path: str) -> Image.Image:
    if not data:
        raise BadFileError(path, "is empty; restore it, or remove it with its annotation")
    try:
        return Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.UnidentifiedImageError as err:
        start = data[:8]
        raise BadFileError(path, f"is no picture that can be read (starts with {start!r}); replace it") from err
    except MemoryError:
        raise
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
    except (BadFileError, MemoryError):
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


def _encode(rgb: Image.Image) -> bytes:
    out = io.BytesIO()
    rgb.save(out, "JPEG", quality=_QUALITY, subsampling="4:4:4", exif=b"", icc_profile=None)
    return out.getvalue()
