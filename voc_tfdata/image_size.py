"""The size of images as the public functions take it: one side of a square, or (height, width).

read_size(224) == (224, 224); read_size((192, 320)) == (192, 320); format_size((192, 320)) == "192,320"
"""

from __future__ import annotations

import operator
from typing import Any, TypeAlias

ImageSize: TypeAlias = int | tuple[int, int]  # pixels


def read_size(image_size: ImageSize, *, least: int = 1) -> tuple[int, int]:
    """Returns (height, width).

    Raises:
      TypeError: it is neither a whole number nor two of them.
      ValueError: a side is below `least`.
    """
    sides: Any = image_size if isinstance(image_size, (tuple, list)) else (image_size, image_size)
    try:
        height, width = (operator.index(side) for side in sides)  # NumPy's whole numbers have one, too
    except (TypeError, ValueError):
        raise TypeError(
            f"image_size={image_size!r} is of type {type(image_size).__name__}; it must be a whole number of "
            "pixels, or (height, width)"
        ) from None
    if min(height, width) < least:
        raise ValueError(f"image_size={image_size}; each side must be {least} or more")
    return height, width


def parse_size(text: str, *, least: int = 1) -> ImageSize:
    """Returns the size that a text says: "224" or "192,320", height first.

    Raises:
      ValueError: it says none, or a side is below `least`.
    """
    first, comma, second = text.partition(",")
    try:
        height, width = int(first), int(second if comma else first)
    except ValueError:
        raise ValueError(f"{text!r} is no size; it is one side in pixels (224), or height,width (192,320)") from None
    size = simplest(height, width)
    read_size(size, least=least)
    return size


def simplest(height: int, width: int) -> ImageSize:
    """Returns one number for a square, a pair for another image."""
    return height if height == width else (height, width)


def format_size(image_size: ImageSize) -> str:
    """Returns the text that parse_size reads."""
    height, width = read_size(image_size)
    return str(height) if height == width else f"{height},{width}"
