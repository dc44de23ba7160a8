"""The bytes of any image -> checked, upright JPEG bytes (Pillow and libjpeg-turbo; no TensorFlow).

    image = load_upright_jpeg(data, path="JPEGImages/a.png")
    picture.jpeg, picture.width, picture.height, picture.changes      # ("PNG re-encoded as JPEG",)

What a TensorFlow decoder would get wrong or trip over in the middle of an epoch is settled here, once: the format
is decided by content, CMYK, alpha, 16 bit and EXIF orientation become plain RGB, and every image is decoded to its
last byte.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from voc_tfdata.devkit.image_formats import open_image
from voc_tfdata.devkit.jpeg import CannotDecode, check_jpeg, check_scans, read_jpeg_header
from voc_tfdata.devkit.source_files import BadFileError

DEFAULT_MAX_PIXELS = 180_000_000
_QUALITY = 95
_KINDS = {1: "L", 3: "RGB", 4: "CMYK"}
_MAX_SIDE = 65_500  # pixels; of libjpeg, and so of TensorFlow
_ORIENTATION_TAG = 0x0112  # EXIF 2.3, section 4.6.4
_TIFF_WIDTH_TAG, _TIFF_HEIGHT_TAG, _TIFF_BITS_TAG = 0x0100, 0x0101, 0x0102  # TIFF 6.0, section 8
_BYTES_PER_PIXEL = 12  # of memory while an image is re-encoded: decoded, over white, RGB, each 4
_LOW_BITS = ("16-bit grey below 4,096", "values stay below 4,096, as of 12 bits or fewer: it comes out nearly black")


@dataclass(frozen=True)
class UprightJpeg:
    """An image as it goes into a record."""

    jpeg: bytes  # grey or RGB, baseline or progressive
    width: int  # pixels
    height: int
    original_width: int  # as stored in the file, before its EXIF orientation
    original_height: int
    orientation: int  # EXIF 1..8 that was applied; 1 is none
    changes: tuple[str, ...]  # what was done to it; empty: the file's own bytes


def load_upright_jpeg(
    data: bytes,
    *,
    path: str,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    shorter_side: int | None = None,
    max_bytes: int | None = None,
) -> UprightJpeg:
    """Returns the image as upright JPEG: its own bytes where they already are that, else re-encoded.

    Args:
      data: the file's bytes: JPEG, PNG, BMP, GIF (first frame), WebP, TIFF (first page).
      path: of the file, for messages.
      max_pixels: larger images are refused from their header, before any decoding.
      shorter_side: if given, larger images are shrunk to this length of the shorter side, in pixels.
      max_bytes: of memory that re-encoding may take; an image that needs more is refused from its header.

    Raises:
      BadFileError: empty, no image, truncated, damaged, too large, or of pixels that are no colours.
    """
    header = read_jpeg_header(data)
    plain = header is not None and header.is_plain
    changes: tuple[str, ...] = ()
    if header is not None:
        check_scans(data, header, path)
        _check_size(header.width, header.height, max_pixels, path)
        try:
            changes = check_jpeg(data, header, path)
        except CannotDecode as err:  # which is not "damaged": the next decoder says
            plain, changes = False, (f"JPEG that the fast decoder does not know ({err}) re-encoded",)
        else:
            if plain and not header.has_tags and _fits(header.width, header.height, shorter_side):
                # Most images; without Pillow, which takes a tenth of the time of all that is done here.
                return UprightJpeg(data, header.width, header.height, header.width, header.height, 1, changes)
            if not plain:
                changes += (f"{_KINDS.get(header.components, 'odd')} JPEG re-encoded",)
    with open_image(data, path) as image:
        width, height = _stored_size(image)
        _check_size(width, height, max_pixels, path)
        # Reading it from other formats decodes them: later, so that no error of the decoder is lost in that.
        orientation = _orientation(image) if header is not None or isinstance(image, TiffImageFile) else 0
        if plain and orientation == 1 and _fits(width, height, shorter_side):
            return UprightJpeg(data, width, height, width, height, 1, changes)
        if header is None:
            changes += (f"{image.format} re-encoded as JPEG",)
        if shorter_side is not None and header is not None:  # JPEG: decoded at 1/2, 1/4 or 1/8 where that is enough
            scale = 2 * shorter_side / min(width, height)  # twice as large as wanted, so that it can still be smoothed
            image.draft(None, (math.ceil(scale * width), math.ceil(scale * height)))
        _check_memory(image, max_bytes, path)
        _load(image, data, path)
        orientation = orientation or _orientation(image)
        turned = _upright(image) if _orientation(image) != 1 else image  # Pillow has turned a TIFF by itself
        rgb, more = _to_rgb(turned, _grey_bits(image), path)
        changes += more
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


def _check_memory(image: Image.Image, max_bytes: int | None, path: str) -> None:
    needed = image.width * image.height * _BYTES_PER_PIXEL
    if max_bytes is not None and needed > max_bytes:
        raise BadFileError(
            path,
            f"takes about {needed / 1e9:.1f} GB of memory to re-encode {image.width} x {image.height} pixels, a worker "
            f"may take {max_bytes / 1e9:.1f} GB; shrink it, save it as an RGB JPEG, or give fewer --num_workers",
        )


def _load(image: Image.Image, data: bytes, path: str) -> None:
    """Decodes the first frame. Errors of a decoder come out: none may be swallowed, or half an image passes."""
    try:
        if image.format == "PNG":
            with open_image(data, path) as other:
                other.verify()  # the checksums of its pieces, which decoding does not look at
        image.load()
    except (BadFileError, MemoryError):
        raise
    except Exception as err:  # Pillow's plug-ins raise what they like on damaged data
        raise BadFileError(path, f"cannot be decoded ({err}); replace it") from err


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """Returns (width, height) as the file has them; Pillow turns a TIFF's by its orientation."""
    if isinstance(image, TiffImageFile):
        return int(image.tag_v2[_TIFF_WIDTH_TAG]), int(image.tag_v2[_TIFF_HEIGHT_TAG])
    return image.size


def _to_rgb(image: Image.Image, bits: int, path: str) -> tuple[Image.Image, tuple[str, ...]]:
    """Returns a decoded image as upright RGB, and what was odd about it."""
    try:
        image, changes = _to_8_bits(image, bits, path)
        if image.mode in ("La", "RGBa"):  # colours that are multiplied by alpha already
            image = image.convert("LA" if image.mode == "La" else "RGBA")
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            image = image.convert("RGBA")
            white = Image.new("RGB", image.size, "white")
            white.paste(image, mask=image.getchannel("A"))
            return white, changes
        return image.convert("RGB"), changes
    except (BadFileError, MemoryError):
        raise
    except Exception as err:  # Pillow's plug-ins raise what they like on damaged data
        raise BadFileError(path, f"cannot be decoded ({err}); replace it") from err


def _to_8_bits(image: Image.Image, bits: int, path: str) -> tuple[Image.Image, tuple[str, ...]]:
    """Returns grey of more than 8 bits as 8-bit grey: the largest value of the file's own bits becomes 255."""
    if image.mode == "F":
        raise BadFileError(path, "has floating-point pixels; save it with 8 bits per channel")
    if not image.mode.startswith("I"):
        return image, ()
    grey = np.asarray(image)
    most = 2**bits - 1
    if grey.min() < 0 or grey.max() > 65535:
        raise BadFileError(path, "has 32-bit pixels; save it with 8 or 16 bits per channel")
    scaled = np.minimum((grey.astype(np.uint32) * 255 + most // 2) // most, 255).astype(np.uint8)
    if "transparency" in image.info:  # one value of a PNG that stands for "clear"
        scaled[grey == image.info["transparency"]] = 255  # laid over white
    changes = (", ".join(_LOW_BITS),) if bits == 16 and 255 < grey.max() < 4096 else ()
    return Image.fromarray(scaled), changes


def _grey_bits(image: Image.Image) -> int:
    """Returns how many bits a grey value of more than 8 has, by the file's own word."""
    bits = int(image.tag_v2.get(_TIFF_BITS_TAG, (16,))[0]) if isinstance(image, TiffImageFile) else 16
    return bits if 8 < bits <= 16 else 16


def _upright(image: Image.Image) -> Image.Image:
    """Returns a decoded image turned by its EXIF orientation."""
    try:
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:  # damaged EXIF: TensorFlow and browsers show such an image as it is stored
        return image


def _orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation, 1 where there is none or it is no number from 1 to 8."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG)
    except Exception:  # damaged EXIF: TensorFlow and browsers show such an image as it is stored
        return 1
    return value if value in range(1, 9) else 1


def _encode(rgb: Image.Image) -> bytes:
    out = io.BytesIO()
    rgb.save(out, "JPEG", quality=_QUALITY, subsampling="4:4:4", exif=b"", icc_profile=None)
    return out.getvalue()
