"""TFRecord's frames: how records follow one another in a file, read from anything that gives bytes in order.

for payload in read_frames(file.read, num_bytes, "s3://bucket/voc-train-00000-of-00008.tfrecord"): ...

A record on disk (tensorflow/core/lib/io/record_writer.h): uint64 length, masked crc32c of it, the payload, masked
crc32c of the payload; little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

import google_crc32c

HEADER_BYTES = 12  # uint64 length + uint32 masked crc
FOOTER_BYTES = 4  # uint32 masked crc


def frame_record(payload: bytes) -> bytes:
    """Returns a payload framed as one TFRecord."""
    length = struct.pack("<Q", len(payload))
    return b"".join((length, _masked_crc(length), payload, _masked_crc(payload)))


def read_frames(read: Callable[[int], bytes], num_bytes: int, where: str) -> Iterator[bytes]:
    """Yields the payloads of the records in a stream of bytes.

    Args:
      read: returns the next n bytes, as a buffered file's read does.
      num_bytes: of the stream.
      where: names the stream in messages.

    Raises:
      ValueError: a frame is cut off or fails its checksum; the message names `where` and the record's number.
    """
    number = offset = 0
    while offset < num_bytes:
        header = read(HEADER_BYTES)
        if len(header) < HEADER_BYTES or _masked_crc(header[:8]) != header[8:]:
            raise ValueError(
                f"{where}, record {number}: damaged or cut off (its header at byte {offset:,} fails the checksum)"
            )
        (size,) = struct.unpack("<Q", header[:8])
        offset += HEADER_BYTES + size + FOOTER_BYTES
        payload = read(size) if offset <= num_bytes else b""  # no size that only a header claims is asked for
        if offset > num_bytes or _masked_crc(payload) != read(FOOTER_BYTES):
            raise ValueError(f"{where}, record {number}: damaged or cut off (its {size:,} bytes fail the checksum)")
        yield payload
        number += 1


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)
