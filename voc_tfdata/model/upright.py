"""What the converter does to an image, as TensorFlow operations: for a model that is served without this package.

pixels = decode_upright(data)           # string scalar, JPEG or PNG -> uint8 [H, W, 3], as a record of it would give

As devkit.images, which is Python: turned upright by EXIF, XMP or PNG's eXIf, alpha laid over white, 16-bit grey scaled,
CMYK made RGB, and what is not stored as it is encoded as JPEG once, as the converter stores it. Other formats are
refused. A test compares the two on odd images.
"""

from __future__ import annotations

import tensorflow as tf

from voc_tfdata.pipeline.transforms import decode_jpeg

_QUALITY = 95  # of devkit.images
_ORIENTATION_TAG = 0x0112  # EXIF 2.3, section 4.6.4
_START_OF_SCAN, _END_OF_IMAGE, _APP1 = 0xDA, 0xD9, 0xE1  # JPEG, ITU T.81, table B.1
_SHORT = 3  # type of a TIFF field


def decode_upright(data: tf.Tensor) -> tf.Tensor:
    """Returns uint8 [H, W, 3] RGB of a JPEG or PNG (string scalar), upright.

    Raises:
      tf.errors.InvalidArgumentError: it is damaged, or of another format.
    """
    is_png = tf.equal(tf.strings.substr(data, 0, 8), b"\x89PNG\r\n\x1a\n")
    return tf.cond(is_png, lambda: _decode_png(data), lambda: _decode_any_jpeg(data))


def _decode_any_jpeg(data: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([tf.debugging.Assert(tf.io.is_jpeg(data), ["neither JPEG nor PNG"])]):
        data = tf.identity(data)  # the operation reads GIF, too, and animations
    head, num_components = _read_jpeg_head(data)
    turn = _orientation(head)
    pixels = decode_jpeg(data)
    plain = tf.logical_and(tf.equal(turn, 1), tf.less(num_components, 4))
    return tf.cond(plain, lambda: pixels, lambda: _stored(_turn(pixels, turn)))


def _decode_png(data: tf.Tensor) -> tf.Tensor:
    def grey() -> tf.Tensor:  # of 16 bits; the largest value becomes 255
        wide = tf.cast(tf.io.decode_png(data, channels=4, dtype=tf.uint16), tf.int32)
        return tf.cast((wide * 255 + 32767) // 65535, tf.uint8)

    kind = tf.io.decode_raw(tf.strings.substr(data, 24, 2), tf.uint8)  # bit depth and colour type, in its first chunk
    is_wide_grey = tf.reduce_all(tf.equal(kind, tf.constant([16, 0], tf.uint8)))
    pixels = tf.cond(is_wide_grey, grey, lambda: tf.io.decode_png(data, channels=4))
    colours, alpha = tf.cast(pixels[..., :3], tf.int32), tf.cast(pixels[..., 3:], tf.int32)
    # Without an alpha of its own an image of 1, 2 or 4 bits gets one of 1, 3 or 15, as measured: it stands for 255.
    filler = tf.bitwise.left_shift(1, tf.minimum(tf.cast(kind[0], tf.int32), 8)) - 1
    alpha = tf.where(tf.reduce_max(alpha) <= filler, alpha * 255 // filler, alpha)
    over_white = tf.cast((colours * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)
    return _stored(_turn(over_white, _orientation(_find_exif_chunk(data))))


def _stored(pixels: tf.Tensor) -> tf.Tensor:
    """The pixels of a record: the converter encodes as JPEG whatever it cannot store as it is."""
    return decode_jpeg(tf.io.encode_jpeg(pixels, quality=_QUALITY, chroma_downsampling=False))


def _turn(pixels: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
    """Returns pixels [H, W, 3] turned upright by an EXIF orientation, 1 to 8."""

    def is_one_of(*values: int) -> tf.Tensor:
        return tf.reduce_any(tf.equal(turn, values))

    pixels = tf.cond(turn > 4, lambda: tf.transpose(pixels, [1, 0, 2]), lambda: pixels)
    pixels = tf.cond(is_one_of(2, 3, 6, 7), lambda: tf.reverse(pixels, [1]), lambda: pixels)
    return tf.cond(is_one_of(3, 4, 7, 8), lambda: tf.reverse(pixels, [0]), lambda: pixels)


def _read_jpeg_head(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (what stands in the APP1 segments before the coded data, as bytes; the number of components)."""
    size = tf.strings.length(data)

    def number(position: tf.Tensor, count: int) -> tf.Tensor:
        raw = tf.cast(tf.io.decode_raw(tf.strings.substr(data, position, count), tf.uint8), tf.int32)
        return raw[0] * 256 + raw[1] if count == 2 else raw[0]

    def has_more(position: tf.Tensor, head: tf.Tensor, components: tf.Tensor) -> tf.Tensor:
        return position + 4 <= size

    def read_segment(position: tf.Tensor, head: tf.Tensor, components: tf.Tensor) -> tuple[tf.Tensor, ...]:
        marker = number(position + 1, 1)
        stray = tf.logical_or(tf.not_equal(number(position, 1), 0xFF), tf.equal(marker, 0xFF))
        alone = tf.logical_or(
            tf.logical_or(tf.equal(marker, 0x01), tf.equal(marker, 0)),
            tf.logical_and(marker >= 0xD0, marker <= 0xD8),
        )
        length = number(position + 2, 2)
        a_segment = tf.logical_not(tf.logical_or(stray, alone))
        is_tags = tf.logical_and(a_segment, tf.equal(marker, _APP1))
        no_frame = tf.reduce_any(tf.equal(marker, [0xC4, 0xC8, 0xCC]))
        is_frame = tf.logical_and(
            tf.logical_and(a_segment, tf.logical_and(marker >= 0xC0, marker <= 0xCF)), tf.logical_not(no_frame)
        )
        inside = tf.minimum(length - 2, size - position - 4)
        is_tags = tf.logical_and(is_tags, inside > 0)
        body = tf.cond(is_tags, lambda: tf.strings.substr(data, position + 4, inside), lambda: tf.constant(b""))
        is_frame = tf.logical_and(is_frame, inside > 5)
        components = tf.cond(is_frame, lambda: number(position + 9, 1), lambda: components)
        ends = tf.logical_and(a_segment, tf.reduce_any(tf.equal(marker, [_START_OF_SCAN, _END_OF_IMAGE])))
        step = tf.where(stray, 1, tf.where(alone, 2, 2 + tf.maximum(length, 2)))
        return tf.where(ends, size, position + step), head + body, components

    start = (tf.constant(2), tf.constant(b""), tf.constant(3))
    _, head, components = tf.while_loop(has_more, read_segment, start)
    return head, components


def _find_exif_chunk(data: tf.Tensor) -> tf.Tensor:
    """Returns b"Exif\\0\\0" and the contents of a PNG's eXIf chunk; b"" if it has none."""
    size = tf.strings.length(data)

    def has_more(position: tf.Tensor, head: tf.Tensor) -> tf.Tensor:
        return position + 12 <= size

    def read_chunk(position: tf.Tensor, head: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        length = tf.io.decode_raw(tf.strings.substr(data, position, 4), tf.int32, little_endian=False)[0]
        length = tf.clip_by_value(length, 0, size - position - 12)
        is_exif = tf.equal(tf.strings.substr(data, position + 4, 4), b"eXIf")
        body = tf.cond(is_exif, lambda: tf.strings.substr(data, position + 8, length), lambda: tf.constant(b""))
        return position + 12 + length, tf.where(is_exif, b"Exif\0\0" + body, head)

    _, head = tf.while_loop(has_more, read_chunk, (tf.constant(8), tf.constant(b"")))
    return head


def _orientation(head: tf.Tensor) -> tf.Tensor:
    """Returns the orientation (int32, 1 to 8) that EXIF or, without one there, XMP in a head says; 1 without either."""
    exif = _bytes_after(head, b"Exif\0\0")
    from_exif = tf.cond(tf.size(exif) >= 8, lambda: _read_tiff(exif), lambda: tf.constant(0))
    xmp = _bytes_after(head, b"tiff:Orientation")[:3]  # ="6" or >6<
    xmp = tf.pad(xmp, [[0, 3 - tf.size(xmp)]])
    digit = tf.where(tf.equal(xmp[0], ord(">")), xmp[1], xmp[2]) - ord("0")
    found = tf.where(from_exif > 0, from_exif, digit)
    return tf.where(tf.logical_and(found >= 1, found <= 8), found, 1)


def _bytes_after(head: tf.Tensor, mark: bytes) -> tf.Tensor:
    """Returns int32 [N]: the bytes after the first place of a mark; none if it is not there."""
    parts = tf.strings.split(head, mark)
    rest = tf.strings.reduce_join(parts[1:], separator=mark)
    return tf.cast(tf.io.decode_raw(rest, tf.uint8), tf.int32)


def _read_tiff(raw: tf.Tensor) -> tf.Tensor:
    """Returns the orientation field of the first directory of TIFF data (int32 [N]); 0 if there is none."""
    size = tf.size(raw)
    little = tf.equal(raw[0], ord("I"))

    def number(positions: tf.Tensor, count: int) -> tf.Tensor:
        places = positions[..., None] + tf.range(count)
        values = tf.where((places >= 0) & (places < size), tf.gather(raw, tf.clip_by_value(places, 0, size - 1)), 0)
        weights = tf.constant([256**k for k in range(count)])
        return tf.reduce_sum(values * tf.where(little, weights, weights[::-1]), axis=-1)

    directory = number(tf.constant(4), 4)
    count = tf.minimum(number(directory, 2), size // 12 + 1)
    fields = directory + 2 + 12 * tf.range(count)
    values = tf.where(tf.equal(number(fields + 2, 2), _SHORT), number(fields + 8, 2), number(fields + 8, 4))
    return tf.reduce_max(tf.concat([[0], tf.where(tf.equal(number(fields, 2), _ORIENTATION_TAG), values, 0)], 0))
