"""Writes a small VOC devkit of drawn images, to try everything before the real data is there.

    voc_tfdata sample OUT --num_images=800 --seed=0

OUT/VOC2012 then holds Annotations, JPEGImages and ImageSets/Main as the development kit of PASCAL VOC2012 has them.
Nothing in it is a photograph: the 20 classes are drawn on made-up scenes. The same arguments give the same bytes.
"""

from __future__ import annotations

import shlex

from absl import flags, logging

from voc_tfdata.commands.command_line import run_command
from voc_tfdata.sample.devkit import make_sample_voc

_NUM_IMAGES = flags.DEFINE_integer("num_images", 800, "pictures, at least 30")
_SEED = flags.DEFINE_integer("seed", 0, "other numbers give other images")


def main(argv: list[str]) -> None:
    """Draws by the flags and says what was written."""
    if len(argv) != 1:
        raise ValueError(f"{len(argv)} arguments; wanted one, the folder to write to (--help says more)")
    logging.info("drawing %d images", _NUM_IMAGES.value)
    root = make_sample_voc(argv[0], num_images=_NUM_IMAGES.value, seed=_SEED.value)
    megabytes = sum(path.stat().st_size for path in root.rglob("*.jpg")) / 1e6
    logging.info("%s: %d synthetic images, %.1f MB", root, _NUM_IMAGES.value, megabytes)
    logging.info(
        "next: build_tfrecords --voc_root=%s --out_dir=records --splits=train,val,test", shlex.quote(str(root))
    )


def run() -> None:
    """The command, with the flags of this process."""
    run_command(main)
