"""The bytes of any picture -> checked, upright JPEG bytes (Pillow and libjpeg-turbo; no TensorFlow).

    picture = load_upright_jpeg(data, path="JPEGImages/a.png")
    picture.jpeg, picture.width, picture.height, picture.changes      # ("PNG re-encoded as JPEG",)

What a TensorFlow decoder would get wrong or trip over in the middle of an epoch is settled here, once: the format
is decided by content, CMYK, alpha, 16 bit and EXIF orientation become plain RGB, and every picture is decoded to its
last byte.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import simplejpeg
from PIL import Image

from voc_tfdata.devkit import BadFileError

DEFAULT_MAX_PIXELS = 180_000_000
_QUALITY = 95
# Above this the check decodes JPEG at 1/8 of its size: every coded byte is still read, in 1/64 of the memory.
_LARGE_PIXELS = 24_000_000
_ORIENTATION_TAG = 0x0112  # EXIF 2.3, section 4.6.4
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
    with _open(data, path) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise BadFileError(
                path,
                f"has {width} x {height} = {width * height:,} pixels, the limit is {max_pixels:,}; "
                f"shrink it, or raise --max_pixels",
            )
        is_jpeg = image.format in ("JPEG", "MPO")  # MPO: several JPEGs in one file, the first is the picture
        plain = is_jpeg and image.mode in ("L", "RGB") and _frame_marker(data) in _PLAIN_FRAMES
        orientation = _orientation(image)
        shrinks = shorter_side is not None and min(width, height) > shorter_side
        if plain and orientation == 1 and not shrinks:
            changes = _check_jpeg(data, width, height, path)
            return UprightJpeg(data, width, height, width, height, 1, changes)
        changes = _check_jpeg(data, width, height, path) if plain else ()
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
        with _without_pixel_limit():
            return Image.open(io.BytesIO(data))
    except Image.UnidentifiedImageError as err:
        start = data[:8]
        raise BadFileError(path, f"is no picture that can be read (starts with {start!r}); replace it") from err
    except Exception as err:  # Pillow's plug-ins raise what they like on damaged headers
        raise BadFileError(path, f"has a damaged header ({err}); replace it") from err


@contextmanager
def _without_pixel_limit() -> Iterator[None]:
    """Pillow refuses above a limit of its own; ours is the caller's."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _check_jpeg(data: bytes, width: int, height: int, path: str) -> tuple[str, ...]:
    """Decodes all of a grey or RGB JPEG; returns what is odd about it but harms nothing."""
    scale = 8 if width * height > _LARGE_PIXELS else 1
    try:
        simplejpeg.decode_jpeg(
            data, "RGB", min_height=-(-height // scale), min_width=-(-width // scale), min_factor=1.0, strict=True
        )
    except ValueError as err:
        # Stray bytes between scans are common in old cameras' files and lose nothing.
        if "extraneous bytes before marker" in str(err):
            return ("JPEG with stray bytes stored as it is",)
        raise BadFileError(path, f"is a truncated or damaged JPEG ({err}); replace it") from err
    return ()


def _to_rgb(image: Image.Image, path: str) -> Image.Image:
    """Returns the first frame, decoded, as upright RGB."""
    try:
        with _without_pixel_limit():
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
    return Image.fromarray(((grey.astype(np.uint32) + 128) // 257).astype(np.uint8))


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
