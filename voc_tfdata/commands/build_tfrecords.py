"""Turns a PASCAL VOC devkit into sharded TFRecords.

    voc_tfdata convert --voc_root=VOCdevkit/VOC2012 --out_dir=records/voc2012        # the same as build_tfrecords
    build_tfrecords --voc_root=VOCdevkit/VOC2007 --out_dir=records/voc2007 --splits=train,val,test
    build_tfrecords --voc_root=VOCdevkit/VOC2012 --out_dir=s3://bucket/voc2012      # with: pip install 'voc_tfdata[s3]'
    build_tfrecords --voc_root=... --out_dir=... --runner=FlinkRunner --shared_dir=/nfs/tmp -- --flink_master=host:8081

Bad files are all named in one run and nothing is written; --on_error=skip goes on without them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from absl import flags

from voc_tfdata.classes import VOC_CLASSES, read_classes
from voc_tfdata.commands.command_line import check_no_arguments, run_command

_VOC_ROOT = flags.DEFINE_string(
    "voc_root", None, "Folder with Annotations/ and JPEGImages/, a VOCdevkit with one year in it, or its .tar."
)
_OUT_DIR = flags.DEFINE_string("out_dir", None, "Folder for the records; made if it is not there. Or s3://, gs://, ...")
_SPLIT_RATIOS = flags.DEFINE_string(
    "split_ratios",
    None,
    "Shares of the splits, stratified over the labels; without it and --splits: train=0.7,val=0.2,test=0.1. Deals out "
    "the ids of ImageSets/Main/trainval.txt where there is one, else all.",
)
_SPLITS = flags.DEFINE_list(
    "splits", [], "Lists in ImageSets/Main to use instead, e.g. train,val,test; none: use no list, all annotations."
)
_ANNOTATIONS_DIR = flags.DEFINE_string(
    "annotations_dir", "", "Folder of the annotations, below --voc_root or absolute, if it has another name."
)
_IMAGES_DIR = flags.DEFINE_string("images_dir", "", "Folder of the images, likewise.")
_SUBFOLDERS = flags.DEFINE_bool(
    "subfolders", False, "Read annotations and images in sub-folders, too; the id of sub/name.xml is sub/name."
)
_SEED = flags.DEFINE_integer("seed", 0, "Fixes the splits and the order of the records.")
_NUM_SHARDS = flags.DEFINE_integer(
    "num_shards", None, "Shards of each split (default: as many as make about 128 MiB each).", lower_bound=1
)
_NUM_WORKERS = flags.DEFINE_integer("num_workers", None, "Processes (default: one per core).", lower_bound=1)
_CLASSES = flags.DEFINE_string(
    "classes",
    None,
    f"File of class names (a name a line, label_map.pbtxt, labelmap.txt, data.yaml), or auto: the names that occur "
    f"(default: the {len(VOC_CLASSES)} of PASCAL VOC).",
)
_OTHER_CLASSES = flags.DEFINE_enum(
    "other_classes", "fail", ["fail", "ignore"], "Objects of classes not in the list: bad files, or left out and told."
)
_ON_ERROR = flags.DEFINE_enum(
    "on_error", "fail", ["fail", "skip"], "fail: name every bad file and write nothing. skip: go on without them."
)
_STORE = flags.DEFINE_enum(
    "store", "original", ["original", "resized"], "original: plain JPEGs are kept byte for byte. resized: shrink first."
)
_STORE_SIZE = flags.DEFINE_integer(
    "store_size", 256, "Shorter side in pixels with --store=resized; smaller images stay as they are.", lower_bound=1
)
_MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels", 180_000_000, "Pictures with more pixels are bad files, told from their header.", lower_bound=1
)
_STRICT_DUPLICATES = flags.DEFINE_bool(
    "strict_duplicates", False, "Refuse identical images in several splits or with other labels, instead of warning."
)
_OVERWRITE = flags.DEFINE_bool(
    "overwrite", False, "Replace another data set in --out_dir, which stays usable until the new one is complete."
)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Read and check everything, write nothing, print the same report.")
_RUNNER = flags.DEFINE_string(
    "runner", "", "Apache Beam runner that does the work instead of --num_workers; its own options follow a lone --."
)
_SHARED_DIR = flags.DEFINE_string(
    "shared_dir", "", "With --runner: folder for its workers' intermediate files; they see it at the same path."
)


def main(argv: list[str]) -> int:
    """Converts as the flags say and prints what came out."""
    if not _RUNNER.value:
        check_no_arguments(argv)
    voc_root, out_dir = _VOC_ROOT.value, _OUT_DIR.value
    if not voc_root or not (out_dir or _DRY_RUN.value):
        missing = "--out_dir" if voc_root else "--voc_root"
        raise ValueError(
            f"{missing} is missing; for example: build_tfrecords --voc_root=VOCdevkit/VOC2012 --out_dir=records/voc2012"
        )
    # Here, not on top: --help and a wrong flag answer without waiting for Pillow, lxml and numpy.
    from voc_tfdata.convert.build import build_records
    from voc_tfdata.devkit.image_formats import quiet_pillow
    from voc_tfdata.records.describe import count_of, describe_manifest, describe_notices

    quiet_pillow()
    report = build_records(
        voc_root,
        out_dir or "",
        split_ratios=_SPLIT_RATIOS.value,
        splits=_SPLITS.value,
        seed=_SEED.value,
        num_shards=_NUM_SHARDS.value,
        num_workers=_NUM_WORKERS.value,
        classes=_choose_classes(),
        other_classes=_OTHER_CLASSES.value,
        on_error=_ON_ERROR.value,
        store=_STORE.value,
        store_size=_STORE_SIZE.value,
        max_pixels=_MAX_PIXELS.value,
        strict_duplicates=_STRICT_DUPLICATES.value,
        overwrite=_OVERWRITE.value,
        dry_run=_DRY_RUN.value,
        runner=_RUNNER.value,
        runner_options=argv,
        shared_dir=_SHARED_DIR.value,
        annotations_dir=_ANNOTATIONS_DIR.value,
        images_dir=_IMAGES_DIR.value,
        subfolders=_SUBFOLDERS.value,
    )
    if report.warnings:
        where = f", in {report.out_dir}/warnings.txt" if report.written else ""
        print(
            f"{count_of(len(report.warnings), 'warning')}{where}\n{describe_notices(report.warnings)}", file=sys.stderr
        )
    if report.skipped:
        print(f"{count_of(len(report.skipped), 'file')} left out:", file=sys.stderr)
        for err in report.skipped:
            print(f"  {err}", file=sys.stderr)
    print(describe_manifest(report.manifest))
    rate = report.num_examples / max(report.seconds, 1e-9)
    done = f"wrote {report.out_dir}" if report.written else "dry run, nothing written"
    print(f"\n{done}: {report.num_examples:,} images in {report.seconds:.1f} s ({rate:,.0f} images/s)")
    return 0


def _choose_classes() -> Sequence[str] | str:
    if not _CLASSES.value:
        return VOC_CLASSES
    return "auto" if _CLASSES.value == "auto" else read_classes(_CLASSES.value)


def run() -> None:
    """The console script."""
    run_command(main)
