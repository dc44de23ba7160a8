"""What a JPEG says of itself, and whether all of it can be decoded (libjpeg-turbo; no Pillow, no TensorFlow).

header = read_jpeg_header(data)                       # None: no JPEG
changes = check_jpeg(data, header, path="a.jpg")      # raises BadFileError where the data is cut off or damaged
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import simplejpeg

from voc_tfdata.devkit.source_files import BadFileError

# ITU T.81, table B.1: start-of-frame markers that TensorFlow's decoder reads (baseline, extended sequential,
# progressive), and all that there are.
_PLAIN_FRAMES = (0xC0, 0xC1, 0xC2)
_FRAMES = tuple(marker for marker in range(0xC0, 0xD0) if marker not in (0xC4, 0xC8, 0xCC))
_APP1, _START_OF_SCAN = 0xE1, 0xDA
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD9))
_STRAY_BYTES = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")
_SCAN_HEADER = re.compile(rb"(\xff\xda\x00(?:\x08\x01.{2}|\x0a\x02.{4}|\x0c\x03.{6})).{3}", re.DOTALL)
# Frames that libjpeg-turbo's TurboJPEG interface decodes: with arithmetic coding, too. It crashes on a lossless one.
_FAST_FRAMES = (*_PLAIN_FRAMES, 0xC9, 0xCA)
# What it says of a JPEG that it has no way to decode (rare chroma sampling), or of a header that is cut off.
_NOT_DAMAGE = ("Could not determine subsampling", "Could not determine colorspace", "Unsupported", "not supported")
_MAX_SCANS = 200  # a progressive JPEG of an encoder has about ten; each costs the time of a whole image
_ENCODERS_LEAVE = 2  # bytes behind coded data
_MAX_MENDS = 64  # decodings of a copy without what is odd


class CannotDecode(Exception):
    """The fast decoder does not know this kind of JPEG: another decoder has to say whether it is sound."""


@dataclass(frozen=True)
class JpegHeader:
    """What stands before the coded data."""

    frame: int  # start-of-frame marker: 0xC0 baseline, 0xC2 progressive ...
    precision: int  # bits per channel
    width: int  # pixels
    height: int
    components: int  # 1 grey, 3 colour, 4 CMYK or YCCK
    has_tags: bool  # EXIF or XMP
    scan: int  # where the first scan begins

    @property
    def is_plain(self) -> bool:
        """Whether TensorFlow decodes it as it is."""
        return (
            self.frame in _PLAIN_FRAMES
            and self.precision == 8
            and self.components in (1, 3)
            and min(self.width, self.height) > 0
        )


def read_jpeg_header(data: bytes) -> JpegHeader | None:
    """Returns what the segments before the coded data say, None if there is no frame among them."""
    if data[:2] != b"\xff\xd8":
        return None
    frame, start, has_tags, position = 0, 0, False, 2
    while position + 4 <= len(data):
        marker = data[position + 1]
        if data[position] != 0xFF or marker == 0xFF:
            position += 1  # a stray or a fill byte
        elif marker in _WITHOUT_LENGTH or not marker:
            position += 2
        else:
            if marker in _FRAMES and not frame:
                frame, start = marker, position + 4
            has_tags |= marker == _APP1
            if marker == _START_OF_SCAN:
                break
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    if not frame or len(data) < start + 6:
        return None
    return JpegHeader(
        frame=frame,
        precision=data[start],
        height=int.from_bytes(data[start + 1 : start + 3], "big"),
        width=int.from_bytes(data[start + 3 : start + 5], "big"),
        components=data[start + 5],
        has_tags=has_tags,
        scan=position,
    )


def check_scans(data: bytes, header: JpegHeader, path: str) -> None:
    """Raises BadFileError for a progressive JPEG made of so many scans that decoding it would take minutes."""
    if header.frame not in _PLAIN_FRAMES[:2] and data.count(b"\xff\xda") > _MAX_SCANS:
        scans = data.count(b"\xff\xda")  # coded data holds no such pair (ITU T.81, B.1.1.5)
        raise BadFileError(path, f"has {scans:,} scans, more than {_MAX_SCANS}; save it anew")


def check_jpeg(data: bytes, header: JpegHeader, path: str) -> tuple[str, ...]:
    """Decodes all of a JPEG; returns what is odd about it but harms nothing.

    At an eighth of its size: what can be wrong with a JPEG shows while its codes are read, which is done to the last
    one at any size. What is left out is arithmetic (inverse DCT, upsampling, colours), which cannot fail, takes a
    third of the time, and would hold 324 MB for an image of 108 megapixels.

    Raises:
      BadFileError: truncated or damaged.
      CannotDecode: the decoder does not know this kind of JPEG; that says nothing of its soundness.
    """
    if header.frame not in _FAST_FRAMES or header.precision != 8:
        raise CannotDecode(f"frame marker 0x{header.frame:02x}, {header.precision} bits")  # it may crash on these
    colours = "CMYK" if header.components == 4 else "GRAY"

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
    if any(words in warning for words in _NOT_DAMAGE):
        raise CannotDecode(warning)
    if _is_only_odd(data, warning, decode):
        return ("JPEG with stray bytes or an odd header stored as it is",)
    raise BadFileError(path, f"is a truncated or damaged JPEG ({warning}); replace it")


def _is_only_odd(data: bytes, warning: str, decode: Callable[[bytes], str]) -> bool:
    """Returns whether a JPEG decodes without a warning once what loses nothing is taken out of a copy.

    Stray bytes between segments and odd headers are common in old cameras' files. The decoder tells its first warning
    only, which could hide that the file is cut off; so each is fixed in turn, until there is none left or a real one.
    """
    left, tries = [(data, warning)], 0
    while left:
        data, warning = left.pop()
        for fixed in _mend(data, warning):
            tries += 1
            next_warning = decode(fixed)
            if not next_warning:
                return True
            if tries == _MAX_MENDS:
                return False
            if next_warning != warning:
                left.append((fixed, next_warning))
    return False


def _may_stay(data: bytes, start: int, end: int) -> bool:
    """Returns whether bytes that the decoder passed over say nothing against the image.

    Behind coded data they are codes that are left over: the decoder lost its way in it. Of 600 bit flips in coded data
    163 left some, 5 bytes or more, and 161 of those images showed it. Encoders leave two at most, or pad with zeros.
    """
    header = read_jpeg_header(data)
    before_it = header is not None and start < header.scan
    return before_it or end - start <= _ENCODERS_LEAVE or not any(data[start:end])


def _mend(data: bytes, warning: str) -> Iterator[bytes]:
    """Yields copies of a JPEG, in one of which what the decoder warns of is gone if it is harmless."""
    if stray := _STRAY_BYTES.search(warning):
        count, marker = int(stray[1]), bytes((0xFF, int(stray[2], 16)))
        places = [match.start() for match in re.finditer(re.escape(marker), data)]
        for at in reversed(places):
            if at >= count and _may_stay(data, at - count, at):
                yield data[: at - count] + data[at:]
    elif "unknown JFIF revision" in warning:
        yield re.sub(rb"JFIF\x00..", b"JFIF\0\1\1", data, count=1, flags=re.DOTALL)
    elif "Invalid SOS parameters for sequential JPEG" in warning:  # they mean nothing there (ITU T.81, B.2.3)
        yield _SCAN_HEADER.sub(lambda match: match[1] + b"\0\x3f\0", data)
