"""A small VOC devkit of drawn images, to try everything before the real data is there.

    root = make_sample_voc("quickstart/sample", num_images=800, seed=0)

OUT/VOC2012 then holds Annotations, JPEGImages and ImageSets/Main as the development kit of PASCAL VOC2012 has them.
Nothing in it is a photograph: the 20 classes are drawn on made-up scenes. The same arguments give the same bytes.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from voc_tfdata.classes import VOC_CLASSES
from voc_tfdata.sample.drawings import DRAWINGS
from voc_tfdata.sample.pictures import Box, Placed, draw_picture

SHARES = {"val": 0.1, "test": 0.2}  # of the images; the others are for training
MIN_SPLIT = 10  # images: with two large objects in each, all 20 classes are in every split
MIN_IMAGES = 3 * MIN_SPLIT
JPEG_QUALITY = 82


class Plan(NamedTuple):
    """What one image is to show."""

    image_id: str
    split: str
    mains: tuple[str, ...]  # classes of the large objects
    extras: tuple[str, ...]  # classes of the difficult ones


def make_sample_voc(out_dir: str | os.PathLike[str], *, num_images: int = 800, seed: int = 0) -> Path:
    """Writes the devkit and returns its folder, out_dir/VOC2012.

    The folder appears under its name when it is complete. One that is there already with the same arguments is kept.

    Args:
      out_dir: made if missing.
      num_images: at least 30. About 10 % are for val and 20 % for test, at least 10 each.
      seed: of everything that is random.

    Raises:
      ValueError: num_images or seed is out of range.
      FileExistsError: out_dir/VOC2012 is there and holds something else.
    """
    if num_images < MIN_IMAGES:
        raise ValueError(f"num_images={num_images}; at least {MIN_IMAGES}, so that every split has every class")
    if seed < 0:
        raise ValueError(f"seed={seed}; at least 0")
    readme = (
        "A synthetic sample in the layout of PASCAL VOC2012: drawn by voc_tfdata sample, no photographs.\n"
        f"num_images={num_images} seed={seed}\n"
    )
    root = Path(out_dir) / "VOC2012"
    if root.exists():
        if (root / "README.txt").is_file() and (root / "README.txt").read_text() == readme:
            return root
        raise FileExistsError(f"{root} is there and is not this sample; remove it or name another folder")
    unfinished = root.with_name(f"VOC2012.unfinished-{os.getpid()}")
    try:
        write_devkit(unfinished, plan_pictures(num_images, seed), seed)
        (unfinished / "README.txt").write_text(readme)
        unfinished.rename(root)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return root


def plan_pictures(num_images: int, seed: int) -> list[Plan]:
    """Returns what each image is to show: in every split all classes about equally often, person more often."""
    rng = np.random.default_rng([seed, 0])
    sizes = {split: max(MIN_SPLIT, round(share * num_images)) for split, share in SHARES.items()}
    sizes["train"] = num_images - sum(sizes.values())
    ids = rng.permutation([f"2012_{number:06d}" for number in range(1, num_images + 1)]).tolist()
    plans = []
    for split, size in sizes.items():
        used: Counter[str] = Counter()
        for number in range(size):
            count = 2 if size < 2 * MIN_SPLIT else int(rng.choice([1, 2, 3], p=[0.55, 0.4, 0.05]))
            mains = choose_classes(rng, count, used)
            if "person" not in mains and count < 3 and rng.random() < 0.2:
                mains.append("person")
            extras = [str(rng.choice(VOC_CLASSES))] if number % 4 == 0 else []
            if number % 8 == 2:
                extras = [mains[0]]  # a class with a difficult object beside one that counts
            plans.append(Plan(ids.pop(), split, tuple(mains), tuple(extras)))
    return sorted(plans)


def choose_classes(rng: np.random.Generator, count: int, used: Counter[str]) -> list[str]:
    """Returns different classes, the least used first and, among equals, those met in the same scene; counts them."""
    chosen: list[str] = []
    while len(chosen) < count:
        scene = DRAWINGS[chosen[0]].scene if chosen else ""
        order = rng.permutation(len(VOC_CLASSES)).tolist()  # decides between those equal in the rest
        ranked = sorted(
            (used[name], DRAWINGS[name].scene != scene, order[index], name)
            for index, name in enumerate(VOC_CLASSES)
            if name not in chosen
        )
        chosen.append(ranked[0][-1])
        used[chosen[-1]] += 1
    return chosen


def write_devkit(root: Path, plans: Sequence[Plan], seed: int) -> None:
    """Writes images, annotations and lists under root."""
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    objects = {}
    for plan in plans:
        # A stream of its own for each image: what one shows does not change the others.
        rng = np.random.default_rng([seed, int(plan.image_id.replace("_", ""))])
        picture, placed = draw_picture(rng, plan.mains, plan.extras)
        picture.save(
            root / "JPEGImages" / f"{plan.image_id}.jpg",
            format="JPEG",
            quality=JPEG_QUALITY,
            subsampling="4:2:0",
            optimize=False,
            progressive=False,
        )
        xml = format_annotation(plan.image_id, picture.size, placed)
        (root / "Annotations" / f"{plan.image_id}.xml").write_text(xml, encoding="utf-8")
        objects[plan.image_id] = placed
    for split in ("train", "val", "trainval", "test"):
        # "trainval" holds both names.
        ids = [plan.image_id for plan in plans if plan.split in split and (split != "test" or plan.split == "test")]
        write_lists(root / "ImageSets/Main", split, {image_id: objects[image_id] for image_id in ids})


def write_lists(folder: Path, split: str, objects: dict[str, list[Placed]]) -> None:
    """Writes {split}.txt, and {class}_{split}.txt with 1, 0 (difficult objects only) or -1 behind each id."""
    (folder / f"{split}.txt").write_text("".join(f"{image_id}\n" for image_id in objects))
    for name in VOC_CLASSES:
        lines = []
        for image_id, placed in objects.items():
            difficult = [found.difficult for found in placed if found.name == name]
            flag = -1 if not difficult else 0 if all(difficult) else 1
            lines.append(f"{image_id} {flag:2d}\n")  # the devkit pads to two characters
        (folder / f"{name}_{split}.txt").write_text("".join(lines))


def format_annotation(image_id: str, size: tuple[int, int], placed: Sequence[Placed]) -> str:
    """Returns the XML of one image of size (width, height), as the devkit writes it: tabs, boxes counted from 1."""
    lines = [
        "<annotation>",
        "\t<folder>VOC2012</folder>",
        f"\t<filename>{image_id}.jpg</filename>",
        "\t<source>",
        "\t\t<database>Synthetic sample</database>",
        "\t\t<annotation>PASCAL VOC layout</annotation>",
        "\t\t<image>drawn</image>",
        "\t</source>",
        "\t<size>",
        f"\t\t<width>{size[0]}</width>",
        f"\t\t<height>{size[1]}</height>",
        "\t\t<depth>3</depth>",
        "\t</size>",
        "\t<segmented>0</segmented>",
    ]
    for found in placed:
        lines += [
            "\t<object>",
            f"\t\t<name>{found.name}</name>",
            f"\t\t<pose>{found.pose}</pose>",
            f"\t\t<truncated>{found.truncated:d}</truncated>",
            f"\t\t<occluded>{found.occluded:d}</occluded>",
            *format_box(found.box, "\t\t"),
            f"\t\t<difficult>{found.difficult:d}</difficult>",
        ]
        for part, box in found.parts:
            lines += ["\t\t<part>", f"\t\t\t<name>{part}</name>", *format_box(box, "\t\t\t"), "\t\t</part>"]
        lines.append("\t</object>")
    return "\n".join([*lines, "</annotation>", ""])


def format_box(box: Box, indent: str) -> list[str]:
    xmin, ymin, xmax, ymax = box
    corners = {"xmin": xmin + 1, "ymin": ymin + 1, "xmax": xmax, "ymax": ymax}  # from 1, the last pixel included
    return [
        f"{indent}<bndbox>",
        *(f"{indent}\t<{name}>{value}</{name}>" for name, value in corners.items()),
        f"{indent}</bndbox>",
    ]
