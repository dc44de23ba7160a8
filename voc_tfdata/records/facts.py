"""What a data set's card tells of the images of a split, counted record by record; counts of parts add up.

facts = SplitFacts()
facts.add(500, 375, objects)              # objects: ExampleObject
facts.merge(others)
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations

from voc_tfdata.records.examples import ExampleObject

# Lower bounds of the bars, and what is written beside them.
SIDES = (0, 64, 128, 224, 256, 384, 512, 768, 1024, 2048)  # pixels, of the shorter side
ASPECTS = (0.0, 0.5, 0.67, 0.9, 1.1, 1.5, 2.0)  # width over height
AREAS = (0.0, 0.01, 0.04, 0.16, 0.36, 0.64)  # of a box, as a share of the image


@dataclass
class SplitFacts:
    """Counts over the images of a split."""

    num_images: int = 0
    objects: Counter[int] = field(default_factory=Counter)  # by class number
    difficult: Counter[int] = field(default_factory=Counter)  # of those
    together: Counter[tuple[int, int]] = field(default_factory=Counter)  # images with both classes, the lower first
    num_labels: Counter[int] = field(default_factory=Counter)  # images by how many classes they have
    sides: Counter[int] = field(default_factory=Counter)  # images by place in SIDES
    aspects: Counter[int] = field(default_factory=Counter)
    areas: Counter[int] = field(default_factory=Counter)  # boxes by place in AREAS
    smallest: tuple[int, int] | None = None  # width, height
    largest: tuple[int, int] | None = None

    def add(self, width: int, height: int, objects: Iterable[ExampleObject]) -> None:
        """Counts an image of a size in pixels, with its objects."""
        self.num_images += 1
        present = set()
        for o in objects:
            present.add(o.class_index)
            self.objects[o.class_index] += 1
            self.difficult[o.class_index] += o.difficult
            area = (o.box[2] - o.box[0]) * (o.box[3] - o.box[1])
            if area > 0:
                self.areas[bisect_right(AREAS, area) - 1] += 1
        self.together.update(combinations(sorted(present), 2))
        self.num_labels[len(present)] += 1
        self.sides[bisect_right(SIDES, min(width, height)) - 1] += 1
        self.aspects[bisect_right(ASPECTS, width / height) - 1] += 1
        self._add_size((width, height))

    def merge(self, other: SplitFacts) -> None:
        """Adds the counts of other images."""
        self.num_images += other.num_images
        for name in ("objects", "difficult", "together", "num_labels", "sides", "aspects", "areas"):
            getattr(self, name).update(getattr(other, name))
        for size in (other.smallest, other.largest):
            if size:
                self._add_size(size)

    def _add_size(self, size: tuple[int, int]) -> None:
        key = (size[0] * size[1], size)
        if self.smallest is None or key < (self.smallest[0] * self.smallest[1], self.smallest):
            self.smallest = size
        if self.largest is None or key > (self.largest[0] * self.largest[1], self.largest):
            self.largest = size
