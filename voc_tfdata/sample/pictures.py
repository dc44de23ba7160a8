"""Photo-like images with drawn objects: a scene, objects in it, and a camera with its light, blur and noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from voc_tfdata.sample.drawings import DRAWINGS
from voc_tfdata.sample.shapes import Shape, any_colour, render, shade

Box = tuple[int, int, int, int]  # xmin, ymin, xmax, ymax in pixels from 0, the last two exclusive

LONG_SIDE, SHORT_SIDE = (200, 289), (160, 201)  # pixels, the last exclusive
MIN_VISIBLE = 8  # pixels: an object of which less is inside the image is left out
# Size of the smooth blotches of the ground: so many in the height of the image, coarse to fine.
GRAIN = {"sky": (4, 20), "water": (5, 30), "road": (3, 12, 50), "field": (4, 40), "room": (2, 20)}


class Placed(NamedTuple):
    """One object of an image, as the annotation needs it."""

    name: str
    box: Box
    pose: str
    truncated: bool
    occluded: bool
    difficult: bool
    parts: tuple[tuple[str, Box], ...]


def draw_picture(
    rng: np.random.Generator, mains: Sequence[str], extras: Sequence[str]
) -> tuple[Image.Image, list[Placed]]:
    """Returns an RGB image, and the objects in it: large ones of `mains`, difficult ones of `extras`.

    The scene is that of the first main object. Objects stand side by side or one above the other.
    """
    long_side, short_side = int(rng.integers(*LONG_SIDE)), int(rng.integers(*SHORT_SIDE))
    upright = sum(DRAWINGS[name].aspect < 1 for name in mains) > len(mains) / 2 or rng.random() < 0.1
    width, height = (short_side, long_side) if upright else (long_side, short_side)
    picture = draw_scene(rng, DRAWINGS[mains[0]].scene, height, width)
    placed = []
    for name in extras:  # first: they are behind
        extent = rng.uniform(0.1, 0.17) * short_side
        centre = rng.uniform(0.1, 0.9, 2) * (width, height)
        placed.append(paste(rng, picture, name, centre, np.array([2 * extent, extent]), difficult=True))

    cells = [np.array([width / len(mains), height]), np.array([width, height / len(mains)])]
    smallest = [min(min(cell[1], cell[0] / DRAWINGS[name].aspect) for name in mains) for cell in cells]
    axis = int(np.argmax(smallest))  # the way of sharing the image that leaves the smallest object largest
    for position, name in zip(rng.permutation(len(mains)), mains, strict=True):
        centre = np.array([width, height]) / 2
        centre[axis] = (position + 0.5) * cells[axis][axis]
        centre += rng.uniform(-0.15, 0.15, 2) * cells[axis]
        room = cells[axis] * (rng.uniform(0.75, 1.0) if len(mains) == 1 else rng.uniform(0.85, 1.15))
        placed.append(paste(rng, picture, name, centre, room, difficult=False))
    return photograph(rng, picture), [found for found in placed if found]


def smooth_noise(rng: np.random.Generator, height: int, width: int, cells: int) -> np.ndarray:
    """Returns noise [height, width], about -1 to 1, whose finest detail is 1/cells of the height."""
    grid = rng.uniform(-1, 1, (cells + 1, max(2, round(cells * width / height)) + 1)).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))


def texture(rng: np.random.Generator, height: int, width: int, cells: Sequence[int]) -> np.ndarray:
    """Returns a sum of smooth noises [height, width], the n-th with amplitude 1/n."""
    layers = [smooth_noise(rng, height, width, count) / n for n, count in enumerate(cells, start=1)]
    return np.sum(layers, axis=0)


def draw_scene(rng: np.random.Generator, kind: str, height: int, width: int) -> np.ndarray:
    """Returns a scene without objects, [height, width, 3], 0 to 255: "sky", "water", "road", "field" or "room"."""
    if kind == "room":
        top = any_colour(rng, saturation=(0.0, 0.25), value=(0.5, 0.9))
        bottom = shade(top, rng.uniform(0.7, 1.1))
    else:
        top = any_colour(rng, (0.52, 0.65), (0.05, 0.65), (0.5, 1.0))
        bottom = any_colour(rng, (0.05, 0.65), (0.0, 0.3), (0.7, 1.0))
    ground = {
        "sky": any_colour(rng, (0.1, 0.4), (0.2, 0.6), (0.2, 0.6)),
        "water": any_colour(rng, (0.45, 0.62), (0.2, 0.7), (0.25, 0.7)),
        "road": any_colour(rng, (0.0, 1.0), (0.0, 0.12), (0.3, 0.65)),
        "field": any_colour(rng, (0.15, 0.33), (0.3, 0.6), (0.3, 0.65)),
        "room": any_colour(rng, (0.04, 0.12), (0.15, 0.5), (0.3, 0.65)),
    }[kind]
    horizon = rng.uniform(0.8, 1.15) if kind == "sky" else rng.uniform(0.3, 0.7)
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    back = np.float32(top) + (np.float32(bottom) - np.float32(top)) * np.clip(y / np.float32(horizon), 0, 1)
    back = back + 22 * texture(rng, height, width, (3, 7, 14))[..., None]
    far = Image.fromarray(to_bytes(back))
    draw_far_things(rng, ImageDraw.Draw(far), kind, horizon * height, width)

    stretch = 4 if kind in ("water", "room") else 1  # ripples and floorboards lie flat
    rough = texture(rng, height, -(-width // stretch), GRAIN[kind]).repeat(stretch, axis=1)[:, :width]
    near = np.float32(ground) * (0.75 + 0.4 * y) + np.float32(rng.uniform(10, 26)) * rough[..., None]
    tilt = np.float32(rng.uniform(-0.06, 0.06)) * np.linspace(-1, 1, width, dtype=np.float32)[:, None]
    share = np.clip((y - np.float32(horizon) - tilt) * height, 0, 1)  # [H, W, 1]: 1 on the ground
    return np.asarray(far, np.float32) * (1 - share) + near * share


def draw_far_things(rng: np.random.Generator, draw: ImageDraw.ImageDraw, kind: str, horizon: float, width: int) -> None:
    """Draws what is behind the objects: clouds, houses, trees and hills, images on a wall."""
    for _ in range(int(rng.integers(0, 6))):
        x, w, h = rng.uniform(0, width), rng.uniform(0.08, 0.3) * width, rng.uniform(0.1, 0.6) * horizon
        wall = any_colour(rng, saturation=(0.0, 0.35), value=(0.35, 0.8))
        if kind == "room":
            draw.rectangle((x, 0.1 * horizon, x + w, 0.1 * horizon + h), fill=wall)
        elif kind == "road" and rng.random() < 0.6:
            draw.rectangle((x, horizon - h, x + w, horizon + 9), fill=wall)
        elif kind == "sky":
            y = rng.uniform(0, horizon)
            cloud = any_colour(rng, saturation=(0.0, 0.08), value=(0.8, 1.0))
            draw.ellipse((x - w, y - h / 5, x + w, y + h / 5), fill=cloud)
        else:
            green = any_colour(rng, (0.2, 0.4), (0.2, 0.6), (0.25, 0.6))
            draw.ellipse((x - w, horizon - h / 2, x + w, horizon + h), fill=green)


def paste(
    rng: np.random.Generator,
    picture: np.ndarray,
    name: str,
    centre: np.ndarray,
    room: np.ndarray,
    *,
    difficult: bool,
) -> Placed | None:
    """Draws one object into the image and returns what its annotation needs; None where too little of it is inside.

    Args:
      image: [H, W, 3], changed in place.
      name: the class.
      centre: x, y in pixels.
      room: width, height in pixels; the object is as large as fits, about.
      difficult: faint, and often partly hidden.
    """
    drawing = DRAWINGS[name]
    shapes = drawing.draw(rng)
    aspect = drawing.aspect * rng.uniform(0.9, 1.12)
    height = max(float(MIN_VISIBLE), min(room[1], room[0] / aspect))
    size = max(4, round(height * aspect)), round(height)
    mirrored, angle = bool(rng.random() < 0.5), float(rng.normal(0, 5))
    patch = turn(shapes, drawing.aspect, size, mirrored=mirrored, angle=angle)
    corner = round(centre[0] - patch.shape[1] / 2), round(centre[1] - patch.shape[0] / 2)
    found = find_box(patch, corner, picture)
    if found is None:
        return None
    bounds, truncated = found
    parts = []
    if not difficult:
        for part, pieces in group_parts(shapes):
            alone = turn(pieces, drawing.aspect, size, mirrored=mirrored, angle=angle)
            part_found = find_box(alone, corner, picture, min_visible=2)
            if part_found:
                parts.append((part, part_found[0]))

    if drawing.scene != "sky" and not difficult:
        cast_shadow(picture, bounds)
    blend(rng, picture, patch, corner, opacity=rng.uniform(0.45, 0.65) if difficult else 1.0)
    occluded = difficult and bool(rng.random() < 0.6)
    if occluded:  # something flat hides a third of it
        xmin, ymin, xmax, ymax = bounds
        hiding = any_colour(rng, saturation=(0.0, 0.4), value=(0.2, 0.7))
        picture[ymin:ymax, xmin : xmin + (xmax - xmin) // 3] = hiding
    pose = "Unspecified" if difficult else "Left" if mirrored else "Right"
    return Placed(name, bounds, pose, truncated, occluded, difficult, tuple(parts))


def group_parts(shapes: Sequence[Shape]) -> list[tuple[str, list[Shape]]]:
    """Returns (name, shapes) of each part: a head is of several shapes, a hand or a foot of one."""
    head = [shape for shape in shapes if shape.part == "head"]
    others = [(shape.part, [shape]) for shape in shapes if shape.part in ("hand", "foot")]
    return [("head", head), *others] if head else others


def turn(shapes: Sequence[Shape], aspect: float, size: tuple[int, int], *, mirrored: bool, angle: float) -> np.ndarray:
    """Returns the shapes at size (width, height), turned by `angle` degrees: RGBA [h, w, 4], 0 to 255."""
    patch = render(shapes, aspect).resize(size)
    if mirrored:
        patch = patch.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(patch.rotate(angle, Image.Resampling.BICUBIC, expand=True), np.float32)


def find_box(
    patch: np.ndarray, corner: tuple[int, int], picture: np.ndarray, min_visible: int = MIN_VISIBLE
) -> tuple[Box, bool] | None:
    """Returns the box of the opaque pixels that are inside the image, and whether its border cuts some off."""
    opaque = patch[..., 3] > 127
    columns, rows = np.flatnonzero(opaque.any(0)), np.flatnonzero(opaque.any(1))
    if not len(rows):
        return None
    left, top = corner
    whole = left + int(columns[0]), top + int(rows[0]), left + int(columns[-1]) + 1, top + int(rows[-1]) + 1
    height, width = picture.shape[:2]
    inside = max(whole[0], 0), max(whole[1], 0), min(whole[2], width), min(whole[3], height)
    if inside[2] - inside[0] < min_visible or inside[3] - inside[1] < min_visible:
        return None
    return inside, inside != whole


def cast_shadow(picture: np.ndarray, bounds: Box) -> None:
    """Darkens the ground under a box."""
    xmin, ymin, xmax, ymax = bounds
    rx, ry = 0.6 * (xmax - xmin), 0.06 * (ymax - ymin) + 1
    first = max(0, int(ymax - 3 * ry))
    last = min(picture.shape[0], int(ymax + 3 * ry) + 1)
    y = np.arange(first, last, dtype=np.float32)[:, None]
    x = np.arange(picture.shape[1], dtype=np.float32)
    distance = ((x - (xmin + xmax) / 2) / rx) ** 2 + ((y - ymax) / ry) ** 2
    picture[first:last] *= (1 - 0.5 * np.exp(-distance))[..., None]


def blend(
    rng: np.random.Generator, picture: np.ndarray, patch: np.ndarray, corner: tuple[int, int], *, opacity: float
) -> None:
    """Lays an RGBA patch over the image, lit from above and a little uneven."""
    left, top = corner
    h, w = patch.shape[:2]
    light = rng.uniform(0.75, 1.2) * (1 + rng.uniform(0.05, 0.3) * np.linspace(1, -1, h)[:, None])
    light = light + rng.uniform(0.03, 0.14) * texture(rng, h, w, (2, 6, 18))
    y0, y1, x0, x1 = max(0, top), min(picture.shape[0], top + h), max(0, left), min(picture.shape[1], left + w)
    inside = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    lit = patch[inside][..., :3] * light[inside][..., None]
    area = picture[y0:y1, x0:x1]
    area += (lit - area) * (patch[inside][..., 3:] * (opacity / 255))


def photograph(rng: np.random.Generator, picture: np.ndarray) -> Image.Image:
    """Returns the image [H, W, 3] in some light, through a soft lens, on a noisy sensor."""
    height, width = picture.shape[:2]
    lit = picture * (rng.uniform(0.75, 1.15) * rng.uniform(0.93, 1.07, 3)).astype(np.float32)
    lit *= 1 + 0.2 * smooth_noise(rng, height, width, 2)[..., None]
    soft = Image.fromarray(to_bytes(lit)).filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))
    grey = rng.standard_normal((height, width, 1), dtype=np.float32) * np.float32(rng.uniform(2, 6))
    colour = rng.standard_normal((height, width, 3), dtype=np.float32) * np.float32(1.5)
    return Image.fromarray(to_bytes(np.asarray(soft) + grey + colour))


def to_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(values + 0.5, 0, 255).astype(np.uint8)
