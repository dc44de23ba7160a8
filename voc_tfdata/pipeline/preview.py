"""A batch as it reaches the model, to be looked at: what resizing, augmentation and labels really are.

preview("records/voc2012", batch_size=16, augment="crop", color_jitter=0.4).save("batch.png")
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from voc_tfdata.pipeline.dataset import train_dataset
from voc_tfdata.records.split_source import Records, find_source

_COLUMNS = 8
_LEAST, _MOST = 128, 256  # pixels, of the side of an image as drawn
_GAP, _LINE = 6, 14  # pixels
_MAX_LINES = 4  # of labels


def preview(records_dir: Records, split: str = "train", **options: Any) -> Image.Image:
    """Returns the first batch of train_dataset, called with the same arguments, as one picture.

    Each image with its id and labels below it; a class labelled -1, which counts neither way, in brackets.

    Args:
      records_dir: as train_dataset takes it.
      split: likewise.
      options: of train_dataset; batch_size is 16 by default.

    Raises:
      See train_dataset.
    """
    options = {"batch_size": 16} | options | {"with_ids": True}
    classes = find_source(records_dir, split, cache_dir=options.get("cache_dir")).classes
    images, labels, ids = next(train_dataset(records_dir, split, **options).take(1).as_numpy_iterator())
    return draw_batch(images, labels, [image_id.decode(errors="replace") for image_id in ids], classes)


def draw_batch(
    images: npt.NDArray[np.uint8], labels: npt.NDArray[np.float32], ids: Sequence[str], classes: Sequence[str]
) -> Image.Image:
    """Returns images (uint8 [B, H, W, 3]) with ids and labels (float32 [B, C] of 1, 0, -1) as one RGB picture."""
    size = images.shape[2], images.shape[1]
    scale = min(max(max(size), _LEAST), _MOST) / max(size)
    width, height = (round(side * scale) for side in size)
    columns = min(_COLUMNS, len(images))
    cell_width, cell_height = width + _GAP, height + _GAP + (_MAX_LINES + 1) * _LINE
    rows = -(-len(images) // columns)
    canvas = Image.new("RGB", (columns * cell_width + _GAP, rows * cell_height + _GAP), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(11)
    for k, (image, label, image_id) in enumerate(zip(images, labels, ids, strict=True)):
        left, top = _GAP + (k % columns) * cell_width, _GAP + (k // columns) * cell_height
        tile = Image.fromarray(image)
        canvas.paste(tile if scale == 1 else tile.resize((width, height), Image.Resampling.NEAREST), (left, top))
        names = [name if value > 0 else f"({name})" for name, value in zip(classes, label, strict=True) if value]
        lines = names if len(names) <= _MAX_LINES else [*names[: _MAX_LINES - 1], f"and {len(names) - 3} more"]
        draw.text((left, top + height + 1), _fit(image_id, width), font=font, fill=(110, 110, 110))
        for number, line in enumerate(lines or ["nothing"], start=1):
            draw.text((left, top + height + 1 + number * _LINE), _fit(line, width), font=font, fill="black")
    return canvas


def _fit(text: str, width: int) -> str:
    """Returns a text cut to the letters that fit below an image."""
    most = max(width // 6, 2)
    return text if len(text) <= most else f"{text[: most - 1]}…"
