"""What the drawings of the sample are made of: shapes and colours, and the image that they give.

    image = render([oval(metal(rng), 50, 50, 40, 20), line(BLACK, 2, 10, 50, 90, 50)], aspect=1.0)

The canvas is 100 units high.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]  # red, green, blue, 0 to 255
Range = tuple[float, float]


class Shape(NamedTuple):
    kind: str  # "polygon", "oval", "ring" (outline of an oval) or "line"
    colour: Colour
    points: tuple[float, ...]  # x, y, x, y, ...; an oval has two corners
    width: float = 0.0
    part: str = ""  # the VOC part that it belongs to ("head", "hand", "foot")


def polygon(colour: Colour, *points: float, part: str = "") -> Shape:
    return Shape("polygon", colour, points, part=part)


def box(colour: Colour, x0: float, y0: float, x1: float, y1: float) -> Shape:
    return Shape("polygon", colour, (x0, y0, x1, y0, x1, y1, x0, y1))


def oval(colour: Colour, x: float, y: float, rx: float, ry: float, part: str = "") -> Shape:
    return Shape("oval", colour, (x - rx, y - ry, x + rx, y + ry), part=part)


def ring(colour: Colour, x: float, y: float, radius: float, width: float) -> Shape:
    return Shape("ring", colour, (x - radius, y - radius, x + radius, y + radius), width)


def line(colour: Colour, width: float, *points: float) -> Shape:
    return Shape("line", colour, points, width)


def any_colour(
    rng: np.random.Generator, hue: Range = (0.0, 1.0), saturation: Range = (0.5, 0.9), value: Range = (0.4, 0.95)
) -> Colour:
    """Returns a random colour from ranges of hue (taken modulo 1), saturation and value, each 0 to 1."""
    red, green, blue = colorsys.hsv_to_rgb(rng.uniform(*hue) % 1.0, rng.uniform(*saturation), rng.uniform(*value))
    return round(red * 255), round(green * 255), round(blue * 255)


def shade(colour: Colour, factor: float) -> Colour:
    """Returns the colour darker (factor below 1) or lighter."""
    red, green, blue = (min(255, max(0, round(c * factor))) for c in colour)
    return red, green, blue


def metal(rng: np.random.Generator) -> Colour:
    return any_colour(rng, (0.5, 0.7), (0.0, 0.15), (0.6, 0.95))


def wood(rng: np.random.Generator) -> Colour:
    return any_colour(rng, (0.04, 0.1), (0.45, 0.8), (0.3, 0.75))


BLACK, WHITE, TYRE, GLASS = (15, 15, 18), (240, 240, 236), (28, 28, 32), (70, 95, 120)


def render(shapes: Sequence[Shape], aspect: float, height: int = 160) -> Image.Image:
    """Returns the shapes on a transparent RGBA image `height` high and `height * aspect` wide."""
    scale = height / 100
    picture = Image.new("RGBA", (round(height * aspect), height))
    draw = ImageDraw.Draw(picture)
    for shape in shapes:
        points = [p * scale for p in shape.points]
        width = max(1, round(shape.width * scale))
        if shape.kind == "polygon":
            draw.polygon(points, fill=shape.colour)
        elif shape.kind == "oval":
            draw.ellipse(points, fill=shape.colour)
        elif shape.kind == "ring":
            draw.ellipse(points, outline=shape.colour, width=width)
        else:
            draw.line(points, fill=shape.colour, width=width, joint="curve")
    return picture
