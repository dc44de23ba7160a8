"""Reads TFRecords of another program where they lie, without copying them.

    voc_tfdata index data/pascal_train.record --split=train --out_dir=records/theirs
    voc_tfdata index 'data/val.record-*' --split=val --out_dir=records/theirs            # adds a split
    voc_tfdata index data/train.record --split=train --out_dir=records/theirs --classes=label_map.pbtxt

Examples in the fields of the TensorFlow object-detection API. Every image is decoded once; out_dir gets an index, the
image ids, a manifest, and links to the files; then every command and train_dataset read it.
"""

from absl import flags

from voc_tfdata.classes import read_classes
from voc_tfdata.commands.command_line import run_command

_SPLIT = flags.DEFINE_string("split", "train", "Name of the split that these files become.")
_OUT_DIR = flags.DEFINE_string("out_dir", None, "Local folder for index, ids and manifest; may be that of the files.")
_CLASSES = flags.DEFINE_string(
    "classes",
    None,
    "File of class names in label order, e.g. label_map.pbtxt (default: the names that occur, sorted).",
)
_NUM_WORKERS = flags.DEFINE_integer("num_workers", None, "Processes (default: one per core).", lower_bound=1)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace a split of this name that --out_dir has.")


def main(argv: list[str]) -> int:
    """Indexes the files that the command line names and prints what they hold."""
    if not argv or not _OUT_DIR.value:
        what = "--out_dir" if argv else "the TFRecords"
        raise ValueError(f"{what} missing; for example: voc_tfdata index data/train.record --out_dir=records/theirs")
    # Here, not on top: --help and a wrong flag answer without waiting for Pillow, lxml and numpy.
    from voc_tfdata.convert.foreign import index_records
    from voc_tfdata.devkit.image_formats import quiet_pillow
    from voc_tfdata.records.describe import describe_manifest

    quiet_pillow()
    manifest = index_records(
        argv,
        _OUT_DIR.value,
        split=_SPLIT.value,
        classes=read_classes(_CLASSES.value) if _CLASSES.value else None,
        num_workers=_NUM_WORKERS.value,
        overwrite=_OVERWRITE.value,
    )
    print(describe_manifest(manifest))
    print(f"\nwrote {_OUT_DIR.value}: {manifest.splits[_SPLIT.value].num_examples:,} images in split {_SPLIT.value}")
    return 0


def run() -> None:
    """The command, with the flags of this process."""
    run_command(main)
