"""What a conversion will write, before any image is read: which images, in which split, order and shard.

plan = make_plan(devkit, options, run, found)
for split, image in plan.records(): ...                # in the order of the records

Of the images nothing stays in memory here: they lie in temporary files. Dealing out and sorting are passes over those;
then the images are read one by one, in the order of their records.
"""

from __future__ import annotations

import hashlib
import itertools
import operator
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import google_crc32c
import numpy as np
from absl import logging

from voc_tfdata.convert import splits
from voc_tfdata.convert.duplicates import find_copies
from voc_tfdata.convert.options import ConvertOptions
from voc_tfdata.convert.scan import Image, Images, Problems, label_set, scan
from voc_tfdata.convert.tasks import IGNORED, POSITIVE
from voc_tfdata.convert.worker_pool import Run
from voc_tfdata.devkit.listing import Devkit, some_of
from voc_tfdata.devkit.pairing import SplitList, read_split_list
from voc_tfdata.devkit.source_files import BadFileError, Notice
from voc_tfdata.devkit.spill import Sorter
from voc_tfdata.records.manifest import Shard, Split
from voc_tfdata.records.tfrecord import ids_name

_SHARD_BYTES = 128 << 20  # 128 MiB
_COUNTED = 256  # images at a time


@dataclass
class SplitSize:
    """How much goes into a split."""

    num_images: int = 0
    picture_bytes: int = 0


@dataclass(frozen=True)
class ConversionPlan:
    """The usable images and their order."""

    images: Images
    order: Sorter[tuple[int, bytes, int]]  # number of the split, key of the shuffle, place of the image
    splits: Mapping[str, SplitSize]

    def records(self) -> Iterator[tuple[str, Image]]:
        """Yields (split, image), in the order of the records."""
        names = list(self.splits)
        for number, _, place in self.order:
            yield names[number], self.images.at(place)


CountedRow = tuple[str, bytes, int]  # id, labels and number of objects of an image


def counted_row(image: Image) -> CountedRow:
    """Returns what SplitCounts needs of an image."""
    return image.image_id, image.labels, image.num_objects


class SplitCounts:
    """What the manifest says of a split, counted as its images go by, in the order of their records."""

    def __init__(self, split: str, classes: Sequence[str]) -> None:
        self.num_examples = 0
        self._split, self._classes = split, classes
        self._positives = np.zeros(len(classes), np.int64)
        self._ignores = np.zeros(len(classes), np.int64)
        self._num_objects = self._num_unlabelled = 0
        self._ids = google_crc32c.Checksum()

    def add(self, rows: Sequence[CountedRow]) -> bytes:
        """Counts the next images and returns what is to be added to the file of ids."""
        labels = np.frombuffer(b"".join(labels for _, labels, _ in rows), np.uint8).reshape(-1, len(self._classes))
        self.num_examples += len(rows)
        self._positives += (labels == POSITIVE).sum(axis=0)
        self._ignores += (labels == IGNORED).sum(axis=0)
        self._num_objects += sum(num_objects for _, _, num_objects in rows)
        self._num_unlabelled += sum(not num_objects for _, _, num_objects in rows)
        ids = "".join(f"{image_id}\n" for image_id, _, _ in rows).encode()
        self._ids.update(ids)
        return ids

    def describe(self, shards: Sequence[Shard] = ()) -> Split:
        """Returns the manifest's entry."""
        return Split(
            num_examples=self.num_examples,
            shards=tuple(shards),
            ids_file=ids_name(self._split),
            ids_crc32c=self._ids.hexdigest().decode(),
            positives=dict(zip(self._classes, self._positives.tolist(), strict=True)),
            ignores=dict(zip(self._classes, self._ignores.tolist(), strict=True)),
            num_objects=self._num_objects,
            num_unlabelled=self._num_unlabelled,
        )


def make_plan(devkit: Devkit, options: ConvertOptions, run: Run, found: Problems) -> ConversionPlan:
    """Returns the plan; what cannot be used and what is odd goes to `found`.

    Raises:
      FileNotFoundError, ValueError: a list is missing, empty, or shares images with another.
      OSError: the temporary folder is full.
    """
    scan_wanted = partial(
        scan, devkit, classes=options.classes, run=run, found=found, ignore_others=options.ignore_others
    )
    found.warnings.extend(devkit.list_warnings())
    if not options.lists and (options.ignore_lists or "trainval" not in devkit.lists):
        unused = [name for name in ("train", "val", "test") if name in devkit.lists]
        if unused and not options.ignore_lists:
            text = "ImageSets/Main has lists that are not used: %s; --splits=%s takes them, --splits=none says so"
            logging.warning(text, ", ".join(unused), ",".join(unused))
        logging.info("reading %d annotations", len(devkit.annotations))
        images = scan_wanted((i, ()) for i in devkit.annotations)
        left_out = (i for i in devkit.pictures if i not in devkit.annotations)
        for file in devkit.other_pictures.files():
            if images.adopted.named(file.name) is None:
                notice = Notice("no image's suffix", f"{file.path} has no image's suffix; left out")
                found.warnings.add(notice)
    else:
        # With ratios those of trainval: VOC2012 annotates 17,125 images, 11,540 of them for classification.
        names = options.lists or ("trainval",)
        lists = _read_lists(devkit, names, found)
        logging.info("reading the annotations of %s", ", ".join(names))
        wanted = (listed for listed in splits.merge_lists(lists) if listed[0] in devkit.annotations)
        images = scan_wanted(wanted)
        left_out = (i for i, _ in splits.merge_lists(lists) if i not in devkit.annotations)
        _tell_unlisted(devkit, names, lists, found)
    for file in itertools.chain.from_iterable(devkit.pictures[i] for i in left_out):
        if images.adopted.named(file.name) is None:
            notice = Notice("picture without annotation", f"{file.path} has no annotation; left out")
            found.warnings.add(notice)
    copies = {} if options.lists else find_copies(images, run)  # lists are taken at their word
    return _put_in_order(images, options, copies)


def count_splits(plan: ConversionPlan, classes: Sequence[str]) -> dict[str, Split]:
    """Returns the manifest's entries of all splits, without their shards."""
    counts = {split: SplitCounts(split, classes) for split in plan.splits}
    for split, records in itertools.groupby(plan.records(), key=operator.itemgetter(0)):
        while rows := [counted_row(image) for _, image in itertools.islice(records, _COUNTED)]:
            counts[split].add(rows)
    return {split: it.describe() for split, it in counts.items()}


def shard_sizes(plan: ConversionPlan, split: str, num_shards: int | None) -> list[int]:
    """Returns the number of images in each shard of a split: nearly equal ones."""
    size = plan.splits[split]
    count = max(1, min(num_shards or -(-size.picture_bytes // _SHARD_BYTES), size.num_images))
    bounds = [size.num_images * k // count for k in range(count + 1)]
    return [end - start for start, end in itertools.pairwise(bounds) if end > start]


def _read_lists(devkit: Devkit, names: Sequence[str], found: Problems) -> list[SplitList]:
    lists = {name: read_split_list(devkit, name) for name in names}
    splits.check_disjoint(lists)
    for split_list in lists.values():
        found.warnings.extend(split_list.list_warnings())
        if split_list.unknown:
            unknown = split_list.unknown
            reason = f"names {len(unknown)} ids with neither annotation nor image in {devkit.root}: "
            advice = "--on_error=skip goes on without them, --splits=none ignores the lists"
            found.errors.append(BadFileError(split_list.path, f"{reason}{some_of(list(unknown))}; {advice}"))
        if not any(image_id in devkit.annotations for image_id in split_list):
            raise ValueError(f"none of the images in {split_list.path} has a file in {devkit.root}/Annotations")
    return list(lists.values())


def _tell_unlisted(devkit: Devkit, names: Sequence[str], lists: Sequence[SplitList], found: Problems) -> None:
    """Warns of every annotation, and every image without one, that no list which is used names."""
    used = ", ".join(names)
    for image_id in _unlisted(devkit.annotations, lists):
        text = f"{devkit.annotations[image_id][0].path} is in no list that is used ({used}); left out: "
        found.warnings.add(Notice("annotation in no list", f"{text}--splits=none takes all annotations"))
    for image_id in _unlisted(devkit.pictures, lists):
        if image_id not in devkit.annotations:
            text = f"{devkit.pictures[image_id][0].path} has no annotation and is in no list that is used; left out"
            found.warnings.add(Notice("picture without annotation", text))


def _unlisted(ids: Iterable[str], lists: Sequence[SplitList]) -> Iterator[str]:
    """Yields those of the ids that no list names; both come in increasing order."""
    listed = (image_id for image_id, _ in splits.merge_lists(lists))
    next_listed = next(listed, None)
    for image_id in ids:
        while next_listed is not None and next_listed < image_id:
            next_listed = next(listed, None)
        if image_id != next_listed:
            yield image_id


def _put_in_order(images: Images, options: ConvertOptions, copies: Mapping[int, int]) -> ConversionPlan:
    """Returns the plan, after dealing out the images that no list has a split for.

    Args:
      images: all of them.
      options: of the conversion.
      copies: of find_copies. The splits are dealt out among the other images; a copy goes where its first one goes.
    """
    names = options.lists or tuple(options.ratios)
    plan = ConversionPlan(images, Sorter(), {name: SplitSize() for name in names})
    sizes = list(plan.splits.values())
    left = {}  # places in each split, by label set
    if not options.lists:
        label_sets = images.label_sets - Counter(label_set(images.at(place).labels) for place in copies)
        split_sizes = splits.split_sizes(label_sets.total(), options.ratios)
        left = splits.stratify(label_sets, split_sizes, seed=options.seed)
    firsts = dict.fromkeys(copies.values(), -1)  # number of the split that has it; it comes before its copies
    for place, image in images.usable():
        key = hashlib.sha256(f"{options.seed}:{image.image_id}".encode()).digest()
        numbers = image.lists
        if not options.lists:
            number = firsts[copies[place]] if place in copies else _draw(left[label_set(image.labels)], key)
            if place in firsts:
                firsts[place] = number
            numbers = (number,)
        picture_bytes = image.picture_bytes
        if options.shorter_side:
            # A resized image of quality 95 takes about 0.4 bytes a pixel; never more than the file it came from.
            picture_bytes = min(picture_bytes, int(options.shorter_side**2 * 4 / 3 * 0.4))
        for number in numbers:
            # The shuffle depends on the seed and the id only: adding images does not reorder the others.
            plan.order.add((number, key, place))
            sizes[number].num_images += 1
            sizes[number].picture_bytes += picture_bytes
    return plan


def _draw(left: list[int], key: bytes) -> int:
    """Takes one of the places that are left in the splits, all alike, and returns the number of its split."""
    lot = int.from_bytes(key[-8:], "big") * sum(left) >> 64  # the order is by the first bytes of the key
    for number, places in enumerate(left):
        if lot < places:
            left[number] -= 1
            return number
        lot -= places
    raise AssertionError("more images than places")
