"""The seven vehicles among the drawings: see drawings."""

from __future__ import annotations

import numpy as np

from voc_tfdata.sample.shapes import (
    BLACK,
    GLASS,
    TYRE,
    WHITE,
    Shape,
    any_colour,
    box,
    line,
    metal,
    oval,
    polygon,
    ring,
    shade,
    wood,
)


def draw_aeroplane(rng: np.random.Generator) -> list[Shape]:
    body, trim = metal(rng), any_colour(rng)
    dark = shade(body, 0.7)
    return [
        polygon(dark, 90, 42, 125, 2, 138, 2, 122, 44),
        polygon(trim, 14, 44, 4, 8, 18, 8, 40, 42),
        polygon(body, 6, 46, 40, 38, 160, 36, 186, 46, 178, 56, 150, 60, 40, 58),
        polygon(dark, 78, 52, 128, 52, 92, 98, 74, 98),
        polygon(dark, 12, 48, 36, 48, 14, 64, 4, 64),
        line(GLASS, 4, 45, 46, 150, 45),
        polygon(GLASS, 160, 40, 174, 42, 166, 46, 158, 46),
        oval(shade(trim, 0.8), 104, 68, 13, 6),
    ]


def draw_bicycle(rng: np.random.Generator) -> list[Shape]:
    frame = any_colour(rng, value=(0.3, 0.9))
    shapes = []
    for x in (32, 128):
        spokes = np.linspace(0, np.pi, 5)[:-1]
        shapes += [
            line((150, 150, 150), 1, x - 27 * c, 70 - 27 * s, x + 27 * c, 70 + 27 * s)
            for c, s in zip(np.cos(spokes), np.sin(spokes), strict=True)
        ]
        shapes.append(ring(TYRE, x, 70, 29, 4))
    return shapes + [
        line(frame, 4, 32, 70, 58, 28, 112, 26, 76, 70, 32, 70),
        line(frame, 4, 54, 20, 76, 70),
        line(frame, 4, 128, 70, 108, 12, 122, 8, 128, 16),
        line(BLACK, 6, 44, 18, 66, 18),
        oval((60, 60, 60), 76, 70, 7, 7),
    ]


def draw_boat(rng: np.random.Generator) -> list[Shape]:
    hull, sail = any_colour(rng, value=(0.3, 0.9)), any_colour(rng, saturation=(0.0, 0.3), value=(0.8, 1.0))
    shapes = [
        polygon(hull, 2, 76, 118, 76, 98, 97, 20, 97),
        line(WHITE, 3, 8, 80, 112, 80),
    ]
    if rng.random() < 0.6:
        return shapes + [
            line(wood(rng), 3, 56, 76, 56, 2),
            polygon(sail, 59, 6, 59, 70, 104, 70),
            polygon(shade(sail, 0.85), 53, 12, 53, 68, 18, 68),
            line(any_colour(rng), 3, 60, 46, 84, 46),
        ]
    return shapes + [
        box(WHITE, 30, 52, 88, 76),
        box(shade(hull, 1.2), 44, 36, 76, 52),
        *(oval(GLASS, x, 63, 5, 5) for x in (40, 56, 72)),
        box(any_colour(rng), 52, 18, 62, 36),
        line(BLACK, 2, 88, 52, 100, 20),
    ]


def draw_bus(rng: np.random.Generator) -> list[Shape]:
    body = any_colour(rng, (0.95, 1.16), (0.6, 0.9), (0.6, 0.95))
    stripe = any_colour(rng, saturation=(0.0, 0.3), value=(0.8, 1.0))
    return [
        box(body, 2, 6, 178, 88),
        box(shade(body, 0.7), 2, 6, 178, 12),
        box(GLASS, 10, 18, 150, 46),
        *(box(body, x, 16, x + 4, 48) for x in (32, 60, 88, 116)),
        box(shade(GLASS, 0.8), 154, 18, 178, 84),
        line(body, 2, 166, 18, 166, 84),
        box(stripe, 2, 56, 150, 66),
        *(oval(TYRE, x, 86, 12, 12) for x in (38, 132)),
        *(oval((160, 160, 160), x, 86, 5, 5) for x in (38, 132)),
        oval((255, 230, 150), 6, 76, 4, 4),
    ]


def draw_car(rng: np.random.Generator) -> list[Shape]:
    body = any_colour(rng, saturation=(0.0, 0.5), value=(0.5, 0.9))
    return [
        polygon(shade(body, 0.9), 46, 44, 66, 12, 132, 12, 160, 44),
        polygon(GLASS, 56, 42, 71, 18, 96, 18, 96, 42),
        polygon(GLASS, 102, 42, 102, 18, 128, 18, 146, 42),
        polygon(body, 4, 54, 14, 44, 180, 42, 197, 54, 197, 80, 4, 80),
        line(shade(body, 0.5), 2, 99, 44, 99, 78),
        line(shade(body, 0.6), 3, 6, 72, 194, 72),
        oval((255, 235, 170), 9, 56, 6, 5),
        oval((220, 40, 30), 193, 54, 4, 5),
        *(oval(TYRE, x, 79, 19, 19) for x in (44, 156)),
        *(oval((190, 190, 195), x, 79, 9, 9) for x in (44, 156)),
    ]


def draw_motorbike(rng: np.random.Generator) -> list[Shape]:
    paint = any_colour(rng, (0.9, 1.1), (0.7, 0.95), (0.5, 0.95))
    return [
        *(ring(TYRE, x, 72, 27, 10) for x in (30, 124)),
        *(oval((140, 140, 145), x, 72, 8, 8) for x in (30, 124)),
        line((170, 170, 175), 6, 124, 72, 104, 20),
        polygon((80, 80, 85), 54, 46, 96, 46, 92, 82, 58, 82),
        *(line((190, 190, 195), 2, 58, y, 92, y) for y in (54, 62, 70)),
        line((205, 205, 210), 7, 80, 82, 44, 80, 8, 82),
        polygon(paint, 62, 34, 92, 22, 108, 36, 98, 50, 66, 48),
        polygon(BLACK, 14, 32, 62, 36, 66, 46, 30, 46),
        polygon(paint, 6, 42, 24, 34, 48, 46, 18, 52),
        line(BLACK, 5, 104, 22, 90, 8),
        polygon(paint, 104, 18, 124, 22, 118, 36, 106, 36),
        oval((255, 240, 190), 120, 27, 6, 6),
    ]


def draw_train(rng: np.random.Generator) -> list[Shape]:
    body = any_colour(rng, (0.36, 0.66), value=(0.35, 0.7))
    front = any_colour(rng, (0.13, 0.17), (0.7, 0.95), (0.8, 1.0))
    shapes = [box((95, 80, 70), x, 90, x + 7, 99) for x in range(2, 255, 14)]
    shapes += [line((170, 170, 175), 4, 0, 90, 260, 90)]
    for x in (4, 84):
        shapes += [
            box((50, 50, 55), x, 74, x + 76, 84),
            box(body, x, 26, x + 76, 76),
            box(shade(body, 0.6), x, 22, x + 76, 30),
            box(WHITE, x, 60, x + 76, 66),
            *(box(GLASS, x + dx, 36, x + dx + 13, 54) for dx in (6, 24, 42, 60)),
        ]
    shapes += [
        line((60, 60, 65), 2, 110, 22, 124, 6, 138, 22),
        box((50, 50, 55), 162, 74, 250, 84),
        polygon(body, 164, 22, 222, 22, 244, 44, 255, 66, 252, 78, 164, 78),
        polygon(front, 222, 22, 244, 44, 255, 66, 252, 78, 226, 78),
        polygon(GLASS, 226, 28, 240, 44, 244, 52, 226, 52),
        *(box(GLASS, x, 36, x + 14, 54) for x in (172, 198)),
        box(WHITE, 164, 60, 226, 66),
        oval((255, 245, 200), 248, 68, 4, 4),
    ]
    return shapes + [oval((45, 45, 50), x, 83, 6, 6) for x in (16, 64, 96, 144, 176, 232)]
