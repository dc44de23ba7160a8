"""The animals and the person among the drawings: see drawings."""

from __future__ import annotations

import numpy as np

from voc_tfdata.sample.shapes import BLACK, WHITE, Shape, any_colour, box, line, oval, polygon, ring, shade


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
