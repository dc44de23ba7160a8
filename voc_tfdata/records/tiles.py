"""Records as small images with their boxes and class names: what the data say, to be looked at.

tile = draw_tile(image_id, fields, classes)
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from voc_tfdata.records.examples import complete_labels, decode_example, decode_objects
from voc_tfdata.records.manifest import Manifest
from voc_tfdata.records.tfrecord import iterate_ids, iterate_records

TILE = 256  # pixels
_OBJECT_COLOUR = (40, 200, 70)
_DIFFICULT_COLOUR = (240, 150, 30)


def iterate_split(records_dir: Path, manifest: Manifest, split: str) -> Iterator[tuple[str, dict[str, list[Any]]]]:
    """Yields (image id, fields) of each record of a split, in order; the label vectors are always there."""
    ids = iterate_ids(records_dir, manifest.splits[split])
    for shard in manifest.splits[split].shards:
        for payload in iterate_records(records_dir / shard.file):
            fields = decode_example(payload)
            yield next(ids), complete_labels(fields, manifest.classes, has_vectors=manifest.has_label_vectors)


def draw_tile(image_id: str, fields: dict[str, list[Any]], classes: Sequence[str]) -> Image.Image:
    """Returns a record's image, TILE pixels square, with its boxes (difficult ones orange), class names and id."""
    picture = Image.open(io.BytesIO(fields["image/encoded"][0]))
    scale = min(1.0, (TILE - 8) / picture.width, (TILE - 28) / picture.height)
    size = (max(1, int(picture.width * scale)), max(1, int(picture.height * scale)))
    picture.draft("RGB", size)  # decoded at 1/2, 1/4 or 1/8 where that is enough
    picture = picture.convert("RGB").resize(size, Image.Resampling.BILINEAR)
    tile = Image.new("RGB", (TILE, TILE), "white")
    tile.paste(picture, (4, 4))
    draw = ImageDraw.Draw(tile)
    font = ImageFont.load_default(12)
    for o in decode_objects(fields, classes):
        x0, y0, x1, y1 = (4 + share * length for share, length in zip(o.box, picture.size * 2, strict=True))
        colour = _DIFFICULT_COLOUR if o.difficult else _OBJECT_COLOUR
        draw.rectangle((x0, y0, max(x0, x1), max(y0, y1)), outline=colour, width=2)
        draw.rectangle(draw.textbbox((x0 + 3, y0 + 1), o.class_name, font=font), fill=(0, 0, 0))
        draw.text((x0 + 3, y0 + 1), o.class_name, font=font, fill=colour)
    draw.text((4, TILE - 18), image_id, font=font, fill=(60, 60, 60))
    return tile
