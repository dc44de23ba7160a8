"""Which format some bytes are, by content, and Pillow's reader of it.

with open_image(data, "JPEGImages/a.png") as image: ...      # nothing decoded yet
name_foreign_format(data)                                    # "HEIC", for what is known and not read
"""

from __future__ import annotations

import io
import struct
import warnings

from PIL import Image

from voc_tfdata.devkit.source_files import BadFileError

# What Pillow may open. Others among its formats are no photographs, or start another program (EPS).
_FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000")
_MAGIC_BYTES = 16
# ISO base media files (ISO/IEC 14496-12): "ftyp" at byte 4, then the brand.
_BRANDS = {
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"hevc": "HEIC",
    b"mif1": "HEIC",
    b"msf1": "HEIC",
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"crx ": "camera raw (CR3)",
}
_STARTS = {
    b"\xff\x0a": "JPEG XL",
    b"\x00\x00\x00\x0cJXL ": "JPEG XL",
    b"FUJIFILMCCD-RAW": "camera raw (RAF)",
    b"IIRO": "camera raw (ORF)",
    b"IIU\x00": "camera raw (RW2)",
    b"%PDF": "PDF",
    b"<svg": "SVG",
}


def quiet_pillow() -> None:
    """Leaves out Pillow's warnings in this process, for entry points: they name no file, and its errors are told."""
    warnings.filterwarnings("ignore", module=r"PIL\.")


def open_image(data: bytes, path: str) -> Image.Image:
    """Returns an image of which the header is read and nothing decoded.

    By Pillow's readers one by one, not by Image.open: that refuses large images by a limit which is global to the
    process, while the limit here is the caller's (and may be another one in another thread).

    Raises:
      BadFileError: empty, no image, of a format that is not read, or its header is damaged.
    """
    if not data:
        raise BadFileError(path, "is empty; restore it, or remove it with its annotation")
    Image.init()
    reason: Exception | None = None
    for name in _FORMATS:
        factory, accepts = Image.OPEN[name]
        try:
            verdict = accepts is None or accepts(data[:_MAGIC_BYTES])
            if verdict and not isinstance(verdict, str):
                return factory(io.BytesIO(data), path)
        except MemoryError:
            raise
        except (SyntaxError, IndexError, TypeError, struct.error) as err:  # by which readers say "not mine"
            reason = reason or err
        except Exception as err:  # readers raise what they like on damaged headers
            raise BadFileError(path, f"has a damaged header ({err}); replace it") from err
    if foreign := name_foreign_format(data):
        raise BadFileError(path, f"is {foreign}, which is not read; convert it to JPEG or PNG and replace it")
    if reason is not None:
        raise BadFileError(path, f"has a damaged header ({reason}); replace it") from reason
    raise BadFileError(path, f"is no image that can be read (starts with {data[:8]!r}); replace it")


def name_foreign_format(data: bytes) -> str:
    """Returns the name of a known format that is not read, "" for any other."""
    if data[4:8] == b"ftyp" and data[8:12] in _BRANDS:
        return _BRANDS[data[8:12]]
    if data[:4] == b"II*\x00" and data[8:10] == b"CR":
        return "camera raw (CR2)"
    return next((name for start, name in _STARTS.items() if data.startswith(start)), "")
