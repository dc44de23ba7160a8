"""The six things of a room among the drawings: see drawings."""

from __future__ import annotations

import numpy as np

from voc_tfdata.sample.shapes import BLACK, Shape, any_colour, box, line, oval, polygon, shade, wood


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
