"""Annotations/ and JPEGImages/ -> sharded TFRecords: a whole conversion, in the order it happens.

    report = build_records("VOCdevkit/VOC2012", "records/voc2012")
    report.manifest.splits["train"].num_examples

Plan (parse every annotation, find its image, deal out the splits) -> write (decode and check every image, put it
into its shard) -> publish. A shard's content depends on its ids alone, so the number of workers changes nothing. Bad
files are collected over the whole run and reported once.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from absl import logging

from voc_tfdata.classes import VOC_CLASSES
from voc_tfdata.convert.options import AUTO_CLASSES, ConvertOptions, check_options
from voc_tfdata.convert.plan import ConversionPlan, count_splits, make_plan
from voc_tfdata.convert.publish import WARNINGS_NAME, publish, stage
from voc_tfdata.convert.recovery import RECOVERIES
from voc_tfdata.convert.scan import Problems, find_classes
from voc_tfdata.convert.shards import BadFilesError, WrittenShards, write_shards
from voc_tfdata.convert.worker_pool import Run, start_workers
from voc_tfdata.devkit.images import DEFAULT_MAX_PIXELS
from voc_tfdata.devkit.listing import Devkit, open_devkit
from voc_tfdata.devkit.source_files import BadFileError, Notice, printable
from voc_tfdata.files import syncing
from voc_tfdata.records.card import CARD_NAME, draw_tiles, format_card
from voc_tfdata.records.manifest import MANIFEST_NAME, Manifest, format_manifest, read_manifest
from voc_tfdata.records.tfrecord import index_name
from voc_tfdata.remote.addresses import is_uri
from voc_tfdata.version import __version__

_ADVICE = "add --overwrite to replace it, or take another --out_dir"


@dataclass(frozen=True)
class BuildReport:
    """What a conversion did."""

    manifest: Manifest
    out_dir: str
    warnings: Collection[Notice]  # to iterate over, by kind and text; may be many, and are read from a temporary file
    skipped: tuple[BadFileError, ...]
    seconds: float
    written: bool  # False for a dry run

    @property
    def num_examples(self) -> int:
        return sum(split.num_examples for split in self.manifest.splits.values())


def build_records(
    voc_root: str | Path,
    out_dir: str | Path,
    *,
    split_ratios: str | None = None,
    splits: Sequence[str] = (),
    seed: int = 0,
    num_shards: int | None = None,
    num_workers: int | None = None,
    classes: Sequence[str] | str = VOC_CLASSES,
    other_classes: str = "fail",
    on_error: str = "fail",
    store: str = "original",
    store_size: int = 256,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    strict_duplicates: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    runner: str = "",
    runner_options: Sequence[str] = (),
    shared_dir: str = "",
    annotations_dir: str = "",
    images_dir: str = "",
    subfolders: bool = False,
) -> BuildReport:
    """Writes the records of a devkit and returns what was done. The same input and options give the same bytes.

    Args:
      voc_root: folder with Annotations/ and JPEGImages/, a VOCdevkit with one year in it, or an uncompressed .tar.
      out_dir: local folder, made if it is not there, or a URI (s3://, gs://, az://, hdfs://): then the records are
        built in a temporary folder (TMPDIR) and uploaded, the manifest last.
      split_ratios: e.g. "train=0.7,val=0.2,test=0.1" (the default): stratified over the labels, of the ids in
        ImageSets/Main/trainval.txt where that exists, else of all annotated images.
      splits: names of lists in ImageSets/Main instead, e.g. ("train", "val", "test"); ("none",) ignores all lists and
        deals out every annotated image by split_ratios.
      seed: fixes the split and the order of the records.
      num_shards: of each split; by default as many as make about 128 MiB each. Never more than it has images.
      num_workers: processes; by default one per core. With more than one, call this under `if __name__ == "__main__"`.
      classes: class names, in label order; "auto" takes the names that occur, sorted.
      other_classes: "fail": an object of a class that is not in `classes` makes its annotation a bad file; "ignore":
        such objects are left out, each with a warning; images that have only such become images without objects.
      on_error: "fail" reports all bad files and writes nothing; "skip" goes on without them, named and counted.
      store: "original" keeps the images' own size, "resized" shrinks the shorter side to store_size.
      store_size: pixels.
      max_pixels: larger images are bad files, told from their header.
      strict_duplicates: identical images in several splits, or with other labels, are errors instead of warnings.
      overwrite: replace another data set in out_dir; it stays usable until the new one is complete.
      dry_run: read and check everything, write nothing.
      runner: name of an Apache Beam runner that does the work, instead of num_workers processes; its machines must see
        voc_root, out_dir and shared_dir at the same paths.
      runner_options: Beam's own options, e.g. ["--flink_master=host:8081"].
      annotations_dir: folder of the annotations, below voc_root or absolute, where find_layout knows no such layout.
      images_dir: folder of the images, likewise.
      subfolders: read annotations and images in sub-folders, too; the id of sub/a.xml is "sub/a".
      shared_dir: folder for what Beam's workers and this process hand each other; by default a temporary one.

    Raises:
      BadFilesError: a ValueError with every bad file and its reason; nothing was written.
      FileNotFoundError, ValueError: a wrong option, no devkit there, or out_dir holds another data set.
      OSError: out_dir or the temporary folder (TMPDIR) cannot be written, or its disk is full; PermissionError,
        ConnectionError if out_dir is remote.
      ImportError: out_dir is remote and nothing that writes there is installed; or Beam is not there.
      RuntimeError: a worker was killed, the Beam pipeline failed, or another process builds in out_dir.
    """
    options = check_options(
        split_ratios=split_ratios,
        lists=tuple(splits),
        seed=seed,
        num_shards=num_shards,
        num_workers=num_workers,
        classes=AUTO_CLASSES if classes == "auto" else tuple(classes),
        other_classes=other_classes,
        on_error=on_error,
        store=store,
        store_size=store_size,
        max_pixels=max_pixels,
        strict_duplicates=strict_duplicates,
        overwrite=overwrite,
        dry_run=dry_run,
        runner=runner,
        runner_options=tuple(runner_options),
        shared_dir=shared_dir,
        annotations_dir=annotations_dir,
        images_dir=images_dir,
        subfolders=subfolders,
    )
    return _build(*_check_places(voc_root, out_dir, options), options)


def _build(voc_root: str | Path, out_dir: str | Path, options: ConvertOptions) -> BuildReport:
    start = time.monotonic()
    logging.info("listing the files of %s", voc_root)
    with _start(voc_root, options) as run:
        devkit = open_devkit(
            voc_root,
            annotations_dir=options.annotations_dir,
            images_dir=options.images_dir,
            subfolders=options.subfolders,
        )
        if options.default_splits and devkit.split_ids:  # folders that stand for splits
            options = replace(options, lists=tuple(devkit.split_ids), ratios={})
        if options.classes == AUTO_CLASSES:
            options = replace(options, classes=find_classes(devkit, run))
        found = Problems()
        plan = make_plan(devkit, options, run, found)
        blank = _describe(options)
        writes = not options.dry_run and (options.skip_bad or not found.errors)
        if out_dir and not options.overwrite and (options.skip_bad or not found.errors):  # a dry run needs no out_dir
            _refuse_other_images(out_dir, blank, plan, options)
        with stage(out_dir) if writes else contextlib.nullcontext() as staging:
            with syncing() as sync:  # the disk writes shards while the next ones are made, and the reports
                written = write_shards(plan, options, run, found, staging, sync)
                manifest = _add_problems(replace(blank, splits=written.splits), found, devkit)
                reports = _write_reports(staging, manifest, written, found, devkit) if staging else []
            if staging:
                names = [*_file_names(manifest), *reports]
                (staging / MANIFEST_NAME).write_text(format_manifest(manifest), encoding="utf-8")
                if not options.overwrite:
                    _refuse_other(out_dir, _read_old(out_dir), manifest)
                publish(staging, out_dir, names)
    return BuildReport(
        manifest=manifest,
        out_dir=str(out_dir),
        warnings=found.warnings,
        skipped=tuple(sorted(found.errors, key=lambda err: (err.path, err.reason))),
        seconds=time.monotonic() - start,
        written=writes,
    )


def _check_places(voc_root: str | Path, out_dir: str | Path, options: ConvertOptions) -> tuple[str | Path, str | Path]:
    """Returns voc_root and out_dir as every process of the conversion can use them.

    Raises:
      ValueError: out_dir is empty or cannot be used by the runner's machines; or see check_writable.
    """
    if not str(out_dir) and not options.dry_run:
        raise ValueError("--out_dir is empty; give a folder for the records")
    if options.runner:  # its workers have another working directory
        voc_root = os.path.abspath(voc_root)
        if is_uri(out_dir) and options.shared_dir:
            raise ValueError(
                f"--out_dir={out_dir} with --runner={options.runner}; its workers need a folder that they mount"
            )
        out_dir = out_dir if is_uri(out_dir) or not str(out_dir) else os.path.abspath(out_dir)
    if is_uri(out_dir) and not options.dry_run:
        from voc_tfdata.remote.files import check_writable

        check_writable(str(out_dir))  # now, rather than after hours of work
    return voc_root, out_dir


def _start(voc_root: str | Path, options: ConvertOptions) -> contextlib.AbstractContextManager[Run]:
    if not options.runner:
        return start_workers(options.num_workers, RECOVERIES)
    from voc_tfdata.convert.beam_workers import start_beam

    return start_beam(options.runner, options.runner_options, shared_dir=options.shared_dir, must_see=str(voc_root))


def _describe(options: ConvertOptions) -> Manifest:
    """Returns the manifest as far as the options decide it."""
    return Manifest(
        classes=options.classes,
        seed=options.seed,
        options={
            "split_ratios": dict(options.ratios) or None,
            "splits": ["none"] if options.ignore_lists else list(options.lists) or None,
            "num_shards": options.num_shards,
            "store": "resized" if options.shorter_side else "original",
            "store_size": options.shorter_side,
            "max_pixels": options.max_pixels,
            "other_classes": "ignore" if options.ignore_others else "fail",
            "on_error": "skip" if options.skip_bad else "fail",
        },
        splits={},
        package_version=__version__,
    )


def _add_problems(manifest: Manifest, found: Problems, devkit: Devkit) -> Manifest:
    """Returns the manifest with what was left out, by path inside the devkit, and the warnings by kind.

    Raises:
      BadFilesError: nothing is left.
    """
    if not any(split.num_examples for split in manifest.splits.values()):
        raise BadFilesError(found.errors, "no good one is left", "fix some of them")
    inside = f"{devkit.root}/"
    errors = sorted(
        (printable(err.path.replace(inside, "")), printable(err.reason.replace(inside, ""))) for err in found.errors
    )
    by_kind = itertools.groupby(found.warnings, key=lambda notice: notice.kind)
    return replace(
        manifest,
        skipped=tuple({"path": path, "reason": reason} for path, reason in errors),
        warnings={kind: sum(1 for _ in notices) for kind, notices in by_kind},
    )


def _write_reports(
    staging: Path, manifest: Manifest, written: WrittenShards, found: Problems, devkit: Devkit
) -> list[str]:
    """Writes warnings.txt, if there are any, and the data set's card; returns their names."""
    names = [CARD_NAME]
    if found.warnings:
        with open(staging / WARNINGS_NAME, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(f"{line}\n" for line in _format_warnings(found, devkit))
        names.append(WARNINGS_NAME)
    card = format_card(
        manifest,
        written.facts,
        written.duplicates,
        warnings=_format_warnings(found, devkit),
        tiles=draw_tiles(staging, manifest),
    )
    (staging / CARD_NAME).write_text(card, encoding="utf-8", errors="backslashreplace")
    return names


def _format_warnings(found: Problems, devkit: Devkit) -> Iterator[str]:
    """Yields every warning as a line, paths inside the devkit: the same for the same input, wherever it lies."""
    inside = f"{devkit.root}/"
    return (printable(f"{notice.kind}: {notice.text.replace(inside, '')}") for notice in found.warnings)


def _file_names(manifest: Manifest) -> list[str]:
    """Returns the names of all files of a data set but the manifest."""
    shards = [shard.file for split in manifest.splits.values() for shard in split.shards]
    return shards + [index_name(file) for file in shards] + [split.ids_file for split in manifest.splits.values()]


def _refuse_other_images(
    out_dir: str | Path, manifest: Manifest, plan: ConversionPlan, options: ConvertOptions
) -> None:
    """Raises ValueError if out_dir holds a data set of other images, labels or options, images unread."""
    old = _read_old(out_dir)
    if old is None:
        return
    # With bad files to be skipped it shows later what the splits hold.
    planned = {} if options.skip_bad else count_splits(plan, options.classes)
    before = {} if options.skip_bad else {name: replace(split, shards=()) for name, split in old.splits.items()}
    _refuse_other(out_dir, replace(old, splits=before, skipped=(), warnings={}), replace(manifest, splits=planned))


def _refuse_other(out_dir: str | Path, old: Manifest | None, manifest: Manifest) -> None:
    """Raises ValueError unless out_dir is free or holds this very data set."""
    if old is not None and old != manifest:
        raise ValueError(f"{out_dir} holds another data set (other images, labels or options); {_ADVICE}")


def _read_old(out_dir: str | Path) -> Manifest | None:
    """Returns the manifest that is in out_dir.

    Raises:
      ValueError: there is one that is not ours.
    """
    try:
        return read_manifest(out_dir)
    except FileNotFoundError:
        return None
    except ValueError as err:
        raise ValueError(f"{out_dir} holds a {MANIFEST_NAME} that is not of these records ({err}); {_ADVICE}") from err
