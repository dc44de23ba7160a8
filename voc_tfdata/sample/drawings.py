"""The 20 VOC classes as drawings: polygons, ovals, rings and lines, each time in other colours and proportions.

A drawing is a list of shapes, later ones in front, on a canvas 100 units high, facing right. What tells a class is
its silhouette and its pattern; colours only lean one way (a bus is red to yellow, a bottle green).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

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


def draw_bird(rng: np.random.Generator) -> list[Shape]:
    body, wing, belly = any_colour(rng), any_colour(rng), any_colour(rng, (0.1, 0.17), value=(0.8, 1.0))
    return [
        polygon(wing, 2, 58, 34, 48, 40, 60, 8, 72),
        polygon(shade(wing, 0.7), 58, 46, 30, 4, 48, 8, 78, 40),
        oval(body, 66, 54, 34, 18),
        oval(belly, 74, 60, 24, 11),
        polygon(wing, 44, 50, 40, 6, 58, 2, 88, 44),
        line(shade(wing, 0.6), 3, 50, 12, 66, 44),
        oval(body, 102, 38, 15, 14),
        polygon((235, 150, 30), 114, 34, 134, 40, 114, 45),
        oval(WHITE, 106, 35, 5, 5),
        oval(BLACK, 107, 35, 3, 3),
        line((200, 120, 40), 3, 64, 70, 60, 92),
        line((200, 120, 40), 3, 74, 70, 72, 92),
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


def draw_bottle(rng: np.random.Generator) -> list[Shape]:
    glass = any_colour(rng, (0.27, 0.45), (0.6, 0.95), (0.2, 0.55))
    label = any_colour(rng, saturation=(0.1, 0.7), value=(0.7, 1.0))
    return [
        box(any_colour(rng), 13, 1, 23, 8),
        box(glass, 14, 8, 22, 34),
        polygon(glass, 14, 26, 22, 26, 32, 42, 32, 99, 4, 99, 4, 42),
        box(label, 4, 54, 32, 82),
        line(shade(label, 0.5), 3, 8, 62, 28, 62),
        line(shade(label, 0.5), 2, 8, 72, 28, 72),
        line(shade(glass, 2.0), 3, 9, 44, 9, 96),
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


def draw_cat(rng: np.random.Generator) -> list[Shape]:
    coat = any_colour(rng, (0.05, 0.09), (0.5, 0.85), (0.7, 1.0))
    if rng.random() < 0.3:
        coat = any_colour(rng, saturation=(0.0, 0.1), value=(0.4, 0.8))
    stripe, eye = shade(coat, 0.5), any_colour(rng, (0.15, 0.35), (0.6, 0.9), (0.8, 1.0))
    return [
        line(coat, 8, 58, 92, 76, 86, 78, 66, 68, 54),
        oval(coat, 40, 74, 25, 26),
        *(line(stripe, 4, 17, y, 30, y + 4) for y in (62, 72, 82)),
        *(line(stripe, 4, 63, y, 50, y + 4) for y in (62, 72, 82)),
        oval(WHITE, 40, 76, 9, 17),
        polygon(coat, 12, 34, 10, 2, 36, 16),
        polygon(coat, 68, 34, 70, 2, 44, 16),
        polygon((225, 150, 150), 16, 24, 15, 9, 27, 16),
        polygon((225, 150, 150), 64, 24, 65, 9, 53, 16),
        oval(coat, 40, 34, 30, 24),
        *(line(stripe, 4, x, 11, x, 22) for x in (31, 40, 49)),
        *(oval(eye, x, 32, 7, 6) for x in (28, 52)),
        *(oval(BLACK, x, 32, 2, 6) for x in (28, 52)),
        oval(WHITE, 40, 46, 12, 8),
        polygon((220, 110, 120), 36, 41, 44, 41, 40, 46),
        *(line(WHITE, 1, 32, 46, 4, y) for y in (42, 50)),
        *(line(WHITE, 1, 48, 46, 76, y) for y in (42, 50)),
    ]


def draw_chair(rng: np.random.Generator) -> list[Shape]:
    frame, seat = any_colour(rng, (0.08, 0.12), (0.5, 0.7), (0.7, 0.95)), any_colour(rng, (0.95, 1.05))
    return [
        line(shade(frame, 0.6), 5, 22, 58, 22, 92),
        line(shade(frame, 0.6), 5, 56, 58, 56, 92),
        line(frame, 6, 10, 3, 10, 98),
        line(frame, 6, 48, 3, 48, 98),
        box(frame, 8, 3, 50, 12),
        *(line(frame, 5, 10, y, 48, y) for y in (22, 34)),
        polygon(seat, 7, 54, 50, 54, 64, 64, 14, 64),
        box(shade(seat, 0.6), 14, 64, 64, 68),
        line(frame, 6, 16, 66, 16, 99),
        line(frame, 6, 62, 66, 62, 99),
    ]


def draw_cow(rng: np.random.Generator) -> list[Shape]:
    white = any_colour(rng, (0.05, 0.15), (0.0, 0.12), (0.85, 1.0))
    patch = BLACK if rng.random() < 0.6 else any_colour(rng, (0.02, 0.07), (0.6, 0.8), (0.25, 0.5))
    shapes = [line(patch, 3, 12, 30, 4, 62)]
    shapes += [box(shade(white, 0.75), x, 60, x + 8, 97) for x in (28, 92)]
    shapes += [box(white, x, 60, x + 9, 99) for x in (16, 104)]
    shapes += [
        polygon(white, 10, 28, 112, 26, 118, 66, 100, 72, 20, 70, 8, 60),
        oval((235, 165, 165), 38, 73, 10, 7),
    ]
    shapes += [
        oval(patch, x + rng.uniform(-5, 5), y, rng.uniform(9, 14), rng.uniform(8, 13))
        for x, y in ((24, 42), (52, 40), (80, 54), (102, 38))
    ]
    return shapes + [
        polygon(patch, 104, 24, 122, 12, 144, 20, 150, 44, 134, 48, 118, 44),
        polygon(white, 124, 18, 132, 18, 140, 44, 134, 46),
        oval((235, 165, 165), 143, 44, 8, 6),
        line((220, 210, 180), 3, 122, 14, 116, 2),
        line((220, 210, 180), 3, 132, 14, 138, 2),
        oval(BLACK, 134, 26, 2.5, 2.5),
    ]


def draw_diningtable(rng: np.random.Generator) -> list[Shape]:
    top, plate = any_colour(rng, saturation=(0.0, 0.25), value=(0.75, 0.95)), any_colour(rng, value=(0.3, 0.9))
    leg = shade(wood(rng), 0.8)
    return [
        *(box(leg, x, 46, x + 7, y) for x, y in ((14, 98), (159, 98), (40, 84), (134, 84))),
        polygon(shade(top, 0.7), 4, 42, 176, 42, 172, 58, 8, 58),
        polygon(top, 28, 18, 152, 18, 178, 44, 2, 44),
        *(oval(plate, x, y, 15, 5) for x, y in ((50, 36), (90, 38), (130, 36), (66, 24), (116, 24))),
        *(oval(any_colour(rng), x, y, 8, 3) for x, y in ((50, 35), (90, 37), (130, 35))),
        box(any_colour(rng), 86, 4, 96, 28),
        *(box((200, 220, 230), x, 16, x + 6, 30) for x in (72, 106)),
    ]


def draw_dog(rng: np.random.Generator) -> list[Shape]:
    coat = any_colour(rng, (0.08, 0.12), (0.4, 0.7), (0.55, 0.9))
    ear, back = shade(coat, 0.35), shade(coat, 0.6)
    return [
        line(coat, 7, 16, 50, 6, 36, 8, 18),
        *(line(back, 9, x, 64, x, 94) for x in (32, 80)),
        polygon(coat, 12, 44, 80, 42, 92, 58, 84, 72, 24, 70, 12, 62),
        line(coat, 10, 22, 64, 20, 96),
        line(coat, 10, 90, 64, 90, 96),
        polygon(back, 20, 44, 70, 43, 60, 54, 26, 54),
        polygon(coat, 72, 52, 84, 22, 104, 40, 94, 64),
        oval(coat, 94, 24, 19, 18),
        oval(shade(coat, 1.25), 112, 34, 15, 10),
        oval(BLACK, 124, 30, 6, 5),
        oval((225, 90, 100), 114, 46, 5, 7),
        oval(ear, 82, 30, 8, 20),
        oval(BLACK, 102, 20, 3.5, 3.5),
        line((190, 40, 40), 5, 78, 44, 98, 52),
    ]


def draw_horse(rng: np.random.Generator) -> list[Shape]:
    coat = any_colour(rng, (0.02, 0.07), (0.5, 0.85), (0.25, 0.6))
    mane = shade(coat, 0.35)
    return [
        polygon(mane, 12, 36, 2, 44, 4, 78, 12, 60),
        *(line(shade(coat, 0.7), 6, x, 56, x + d, 98) for x, d in ((30, -4), (74, 6))),
        oval(coat, 46, 46, 38, 16),
        *(line(coat, 7, x, 54, x + d, 98) for x, d in ((18, 4), (80, -4))),
        polygon(coat, 64, 42, 84, 8, 98, 14, 86, 54),
        polygon(coat, 84, 6, 98, 8, 114, 28, 106, 34, 90, 22),
        line(mane, 7, 84, 4, 74, 18, 66, 36),
        polygon(coat, 88, 8, 90, 0, 95, 8),
        oval(BLACK, 97, 15, 2, 2),
        line(WHITE, 3, 98, 10, 106, 24),
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


def draw_person(rng: np.random.Generator) -> list[Shape]:
    skin, hair = any_colour(rng, (0.04, 0.08), (0.3, 0.6), (0.4, 0.95)), any_colour(rng, (0.03, 0.12), value=(0.1, 0.6))
    shirt, trousers = any_colour(rng), any_colour(rng, (0.5, 0.7), (0.1, 0.6), (0.15, 0.5))
    lift = rng.uniform(0, 30)
    return [
        box(trousers, 13, 54, 20.5, 94),
        box(trousers, 22.5, 54, 30, 94),
        oval(BLACK, 15, 96, 6, 3, part="foot"),
        oval(BLACK, 28, 96, 6, 3, part="foot"),
        line(shade(shirt, 0.85), 6, 11, 26, 5, 42, 5, 52),
        line(shade(shirt, 0.85), 6, 32, 26, 38, 42 - lift / 2, 38, 52 - lift),
        oval(skin, 5, 55, 3.5, 3.5, part="hand"),
        oval(skin, 38, 55 - lift, 3.5, 3.5, part="hand"),
        polygon(shirt, 10, 22, 33, 22, 31, 58, 12, 58),
        box(skin, 18.5, 16, 24.5, 23),
        oval(hair, 21.5, 9.5, 8.5, 9, part="head"),
        oval(skin, 21.5, 12, 7, 8, part="head"),
        oval(BLACK, 19, 11.5, 1, 1),
        oval(BLACK, 24, 11.5, 1, 1),
    ]


def draw_pottedplant(rng: np.random.Generator) -> list[Shape]:
    pot = any_colour(rng, (0.0, 0.1), (0.4, 0.8), (0.45, 0.8))
    leaf = any_colour(rng, (0.25, 0.4), (0.5, 0.9), (0.3, 0.7))
    shapes = [line(shade(leaf, 0.5), 3, 40, 70, 40, 34)]
    for angle in rng.permutation(np.linspace(-2.9, -0.25, 11)):
        reach = rng.uniform(22, 36)
        x, y = 40 + reach * np.cos(angle), 50 + 1.25 * reach * np.sin(angle)
        shapes.append(line(leaf, 3, 40, 58, x, y))
        shapes.append(oval(shade(leaf, rng.uniform(0.6, 1.4)), x, y, rng.uniform(6, 10), rng.uniform(6, 10)))
    if rng.random() < 0.5:
        bloom = any_colour(rng, (0.8, 1.15))
        shapes += [oval(bloom, rng.uniform(15, 65), rng.uniform(12, 45), 5, 5) for _ in range(5)]
    return shapes + [
        polygon(pot, 20, 66, 60, 66, 54, 99, 26, 99),
        box(shade(pot, 1.2), 16, 62, 64, 71),
    ]


def draw_sheep(rng: np.random.Generator) -> list[Shape]:
    wool = any_colour(rng, (0.08, 0.14), (0.05, 0.25), (0.75, 0.98))
    face = shade(wool, rng.choice([0.2, 0.3, 0.7]))
    shapes = [line(shade(face, 0.8), 6, x, 64, x, 98) for x in (32, 44, 78, 90)]
    for angle in np.linspace(0, 2 * np.pi, 13)[:-1]:
        x, y = 58 + 38 * np.cos(angle), 46 + 24 * np.sin(angle)
        shapes.append(oval(shade(wool, rng.uniform(0.8, 1.0)), x, y, 15, 14))
    shapes.append(oval(wool, 58, 46, 42, 26))
    curls = ((30, 40), (44, 54), (52, 34), (66, 52), (74, 36), (86, 50), (38, 62), (74, 66), (60, 66))
    shapes += [ring(shade(wool, 0.72), x, y, 7, 2) for x, y in curls]
    return shapes + [
        oval(shade(face, 0.8), 94, 28, 9, 4),
        oval(face, 106, 38, 12, 16),
        oval(wool, 102, 22, 12, 8),
        oval(WHITE, 109, 34, 2.5, 2.5),
    ]


def draw_sofa(rng: np.random.Generator) -> list[Shape]:
    cloth, pillow = any_colour(rng, (0.6, 1.05), (0.35, 0.7), (0.35, 0.75)), any_colour(rng, value=(0.7, 1.0))
    dark = shade(cloth, 0.7)
    return [
        *(box(BLACK, x, 92, x + 8, 99) for x in (16, 178)),
        polygon(shade(cloth, 0.9), 22, 10, 178, 10, 184, 60, 16, 60),
        line(dark, 3, 74, 12, 72, 58),
        line(dark, 3, 126, 12, 128, 58),
        box(shade(cloth, 1.2), 20, 52, 180, 72),
        line(dark, 3, 100, 52, 100, 72),
        box(dark, 16, 72, 184, 93),
        polygon(cloth, 2, 38, 20, 32, 30, 40, 30, 94, 2, 94),
        polygon(cloth, 198, 38, 180, 32, 170, 40, 170, 94, 198, 94),
        polygon(pillow, 40, 26, 68, 30, 66, 54, 36, 52),
        polygon(shade(pillow, 0.8), 134, 30, 162, 26, 166, 50, 136, 54),
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


def draw_tvmonitor(rng: np.random.Generator) -> list[Shape]:
    case = shade((60, 60, 64), rng.uniform(0.3, 1.0))
    glow = any_colour(rng, (0.5, 0.7), (0.5, 0.9), (0.3, 0.9))
    shapes = [
        polygon(shade(case, 1.5), 40, 97, 90, 97, 76, 88, 54, 88),
        box(case, 57, 76, 73, 92),
        box(case, 2, 2, 128, 80),
        box(shade(glow, 0.6), 9, 9, 121, 72),
        polygon(glow, 9, 9, 121, 9, 121, 30, 9, 60),
    ]
    for _ in range(int(rng.integers(2, 5))):
        x, y = rng.uniform(14, 80), rng.uniform(14, 50)
        shapes.append(box(any_colour(rng), x, y, x + rng.uniform(12, 36), y + rng.uniform(6, 18)))
    return shapes + [polygon(shade(glow, 1.6), 9, 9, 40, 9, 9, 36)]


class Drawing(NamedTuple):
    """How to draw one class, and where it is mostly met."""

    draw: Callable[[np.random.Generator], list[Shape]]
    aspect: float  # width of the canvas over its height
    scene: str  # "sky", "water", "road", "field" or "room"


DRAWINGS = {
    "aeroplane": Drawing(draw_aeroplane, 1.9, "sky"),
    "bicycle": Drawing(draw_bicycle, 1.6, "road"),
    "bird": Drawing(draw_bird, 1.36, "sky"),
    "boat": Drawing(draw_boat, 1.2, "water"),
    "bottle": Drawing(draw_bottle, 0.36, "room"),
    "bus": Drawing(draw_bus, 1.8, "road"),
    "car": Drawing(draw_car, 2.0, "road"),
    "cat": Drawing(draw_cat, 0.8, "room"),
    "chair": Drawing(draw_chair, 0.7, "room"),
    "cow": Drawing(draw_cow, 1.52, "field"),
    "diningtable": Drawing(draw_diningtable, 1.8, "room"),
    "dog": Drawing(draw_dog, 1.3, "field"),
    "horse": Drawing(draw_horse, 1.16, "field"),
    "motorbike": Drawing(draw_motorbike, 1.54, "road"),
    "person": Drawing(draw_person, 0.43, "road"),
    "pottedplant": Drawing(draw_pottedplant, 0.8, "room"),
    "sheep": Drawing(draw_sheep, 1.2, "field"),
    "sofa": Drawing(draw_sofa, 2.0, "room"),
    "train": Drawing(draw_train, 2.6, "road"),
    "tvmonitor": Drawing(draw_tvmonitor, 1.3, "room"),
}
