"""The options of a conversion: checked once, at the door, and passed on as one frozen dataclass.

options = check_options(split_ratios=None, lists=(), seed=0, ...)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from voc_tfdata.convert import splits as splits_lib
from voc_tfdata.machine import count_cores, read_memory_bytes

AUTO_CLASSES = ("",)  # the class names that occur: found when the devkit is open


_WORDS = {"other_classes": ("fail", "ignore"), "on_error": ("fail", "skip"), "store": ("original", "resized")}


@dataclass(frozen=True)
class ConvertOptions:
    """The options of a conversion, checked."""

    ratios: Mapping[str, float]  # empty when lists are used
    lists: tuple[str, ...]  # empty when ratios are used
    default_splits: bool  # neither was given
    ignore_lists: bool  # --splits=none
    annotations_dir: str
    images_dir: str
    subfolders: bool
    seed: int
    num_shards: int | None
    num_workers: int
    classes: tuple[str, ...]
    ignore_others: bool  # objects of other classes are left out
    skip_bad: bool
    shorter_side: int | None
    max_pixels: int
    max_bytes: int  # of memory that a worker may take for re-encoding an image
    strict_duplicates: bool  # identical images in several splits, or with other labels, are errors
    overwrite: bool
    dry_run: bool
    runner: str  # of Apache Beam; "" for processes of this machine
    runner_options: tuple[str, ...]
    shared_dir: str


def check_options(
    *,
    split_ratios: str | None,
    lists: tuple[str, ...],
    seed: int,
    num_shards: int | None,
    num_workers: int | None,
    classes: tuple[str, ...],
    other_classes: str,
    on_error: str,
    store: str,
    store_size: int,
    max_pixels: int,
    strict_duplicates: bool,
    overwrite: bool,
    dry_run: bool,
    annotations_dir: str,
    images_dir: str,
    subfolders: bool,
    runner: str,
    runner_options: tuple[str, ...],
    shared_dir: str,
) -> ConvertOptions:
    """Returns the options of build_records, of which the names in messages are the flags of build_tfrecords.

    Raises:
      ValueError: one is out of range, or two exclude each other.
    """
    default_splits, ignore_lists = not split_ratios and not lists, lists == ("none",)
    if ignore_lists:
        lists = ()
    _check_lists(split_ratios, lists)
    _check_numbers({"num_shards": num_shards, "num_workers": num_workers}, "at least 1, or left out")
    _check_numbers({"store_size": store_size, "max_pixels": max_pixels}, "at least 1 (pixels)")
    _check_words({"other_classes": other_classes, "on_error": on_error, "store": store})
    if not classes or len({name.casefold() for name in classes}) < len(classes):
        raise ValueError("the class list is empty or names a class twice (case does not matter)")
    if not runner and (runner_options or shared_dir):
        raise ValueError("--shared_dir and Beam's options are for a --runner; name one")
    workers = num_workers or count_cores()
    return ConvertOptions(
        ratios={} if lists else splits_lib.parse_ratios(split_ratios or splits_lib.DEFAULT_RATIOS),
        lists=lists,
        default_splits=default_splits,
        ignore_lists=ignore_lists,
        annotations_dir=annotations_dir,
        images_dir=images_dir,
        subfolders=subfolders,
        seed=seed,
        num_shards=num_shards,
        num_workers=workers,
        classes=classes,
        ignore_others=other_classes == "ignore",
        skip_bad=on_error == "skip",
        shorter_side=store_size if store == "resized" else None,
        max_pixels=max_pixels,
        max_bytes=read_memory_bytes() // (2 * workers),
        strict_duplicates=strict_duplicates,
        overwrite=overwrite,
        dry_run=dry_run,
        runner=runner,
        runner_options=runner_options,
        shared_dir=shared_dir,
    )


def _check_lists(split_ratios: str | None, lists: tuple[str, ...]) -> None:
    if split_ratios and lists:
        raise ValueError("--split_ratios and --splits exclude each other; give one of them")
    for name in lists:
        splits_lib.check_split_name(name)
    if len(set(lists)) < len(lists):
        raise ValueError(f"--splits={','.join(lists)} names a list twice")


def _check_numbers(values: Mapping[str, int | None], rule: str) -> None:
    for flag, value in values.items():
        if value is not None and value < 1:
            raise ValueError(f"--{flag}={value}: it must be {rule}")


def _check_words(words: Mapping[str, str]) -> None:
    for flag, text in words.items():
        if text not in _WORDS[flag]:
            raise ValueError(f"--{flag}={text}: it is one of {', '.join(_WORDS[flag])}")
