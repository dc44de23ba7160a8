"""The 20 VOC classes as drawings: polygons, ovals, rings and lines, each time in other colours and proportions.

A drawing is a list of shapes, later ones in front, on a canvas 100 units high, facing right. What tells a class is
its silhouette and its pattern; colours only lean one way (a bus is red to yellow, a bottle green).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from voc_tfdata.sample import furnishings, living, vehicles
from voc_tfdata.sample.shapes import Shape


class Drawing(NamedTuple):
    """How to draw one class, and where it is mostly met."""

    draw: Callable[[np.random.Generator], list[Shape]]
    aspect: float  # width of the canvas over its height
    scene: str  # "sky", "water", "road", "field" or "room"


DRAWINGS = {
    "aeroplane": Drawing(vehicles.draw_aeroplane, 1.9, "sky"),
    "bicycle": Drawing(vehicles.draw_bicycle, 1.6, "road"),
    "bird": Drawing(living.draw_bird, 1.36, "sky"),
    "boat": Drawing(vehicles.draw_boat, 1.2, "water"),
    "bottle": Drawing(furnishings.draw_bottle, 0.36, "room"),
    "bus": Drawing(vehicles.draw_bus, 1.8, "road"),
    "car": Drawing(vehicles.draw_car, 2.0, "road"),
    "cat": Drawing(living.draw_cat, 0.8, "room"),
    "chair": Drawing(furnishings.draw_chair, 0.7, "room"),
    "cow": Drawing(living.draw_cow, 1.52, "field"),
    "diningtable": Drawing(furnishings.draw_diningtable, 1.8, "room"),
    "dog": Drawing(living.draw_dog, 1.3, "field"),
    "horse": Drawing(living.draw_horse, 1.16, "field"),
    "motorbike": Drawing(vehicles.draw_motorbike, 1.54, "road"),
    "person": Drawing(living.draw_person, 0.43, "road"),
    "pottedplant": Drawing(furnishings.draw_pottedplant, 0.8, "room"),
    "sheep": Drawing(living.draw_sheep, 1.2, "field"),
    "sofa": Drawing(furnishings.draw_sofa, 2.0, "room"),
    "train": Drawing(vehicles.draw_train, 2.6, "road"),
    "tvmonitor": Drawing(furnishings.draw_tvmonitor, 1.3, "room"),
}
