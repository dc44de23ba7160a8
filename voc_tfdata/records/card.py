"""The card of a data set: one HTML page that tells what is in it, for who is to train on it.

html = format_card(manifest, facts, duplicates=4, warnings=["kind: text"], tiles=draw_tiles(records_dir, manifest))
html = format_card(manifest, *read_facts(records_dir, manifest), ...)        # from the records alone
"""

from __future__ import annotations

import io
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from voc_tfdata.devkit.source_files import printable
from voc_tfdata.page import format_image, format_page, format_tiles
from voc_tfdata.records.examples import decode_objects
from voc_tfdata.records.facts import AREAS, ASPECTS, SIDES, SplitFacts
from voc_tfdata.records.manifest import Manifest
from voc_tfdata.records.tiles import draw_tile, iterate_split

CARD_NAME = "dataset.html"
_NUM_TILES = 12
_TILE_QUALITY = 80
_MAX_MATRIX = 24  # classes of which every pair is shown
_MAX_PAIRS = 40
_MAX_LINES = 100  # warnings, files left out


def read_facts(records_dir: Path, manifest: Manifest) -> tuple[dict[str, SplitFacts], int]:
    """Returns the facts of each split and the number of images that are identical to another one.

    Raises:
      ValueError: a record is damaged.
    """
    facts = {name: SplitFacts() for name in manifest.splits}
    digests: Counter[bytes] = Counter()
    for name in manifest.splits:
        for _, fields in iterate_split(records_dir, manifest, name):
            width, height = fields["image/width"][0], fields["image/height"][0]
            facts[name].add(width, height, decode_objects(fields, manifest.classes))
            digests.update(fields.get("image/key/sha256", []))
    return facts, sum(count for count in digests.values() if count > 1)


def draw_tiles(records_dir: Path, manifest: Manifest) -> list[tuple[str, bytes]]:
    """Returns (image id, JPEG bytes) of the first images, taken from the splits in turn."""
    splits = [name for name in manifest.splits if manifest.splits[name].num_examples]
    share = -(-_NUM_TILES // max(1, len(splits)))
    tiles = []
    for name in splits:
        for image_id, fields in itertools.islice(iterate_split(records_dir, manifest, name), share):
            buffer = io.BytesIO()
            draw_tile(image_id, fields, manifest.classes).save(buffer, "JPEG", quality=_TILE_QUALITY)
            tiles.append((image_id, buffer.getvalue()))
    return tiles[:_NUM_TILES]


def format_card(
    manifest: Manifest,
    facts: Mapping[str, SplitFacts],
    duplicates: int,
    *,
    warnings: Iterable[str] = (),
    tiles: Sequence[tuple[str, bytes]] = (),
) -> str:
    """Returns the page as text, to be written as UTF-8. The same data set gives the same page.

    Args:
      manifest: of the data set.
      facts: of each split.
      duplicates: images that are identical to another one.
      warnings: every warning, "kind: text".
      tiles: of draw_tiles.
    """
    total = SplitFacts()
    for part in facts.values():
        total.merge(part)
    options = ", ".join(
        f"{name} {_describe_option(value)}" for name, value in manifest.options.items() if value is not None
    )
    body = (
        _format_head(manifest, total, duplicates)
        + "<h2>Images by class</h2>\n"
        + _format_classes(manifest, total)
        + "<h2>Classes in an image</h2>\n"
        + _format_bars([(str(n), total.num_labels[n]) for n in range(max(total.num_labels, default=0) + 1)], "images")
        + "<h2>Classes that occur together</h2>\n"
        + _format_together(manifest.classes, total)
        + "<h2>Sizes of the images</h2>\n"
        + _format_sizes(total)
        + "<h2>Sizes of the boxes</h2>\n"
        + _format_bars(
            _name_bins(AREAS, total.areas, lambda share: f"{share:.0%}"), "boxes, by share of the image's area"
        )
        + _format_lines("Warnings", [f"{kind}: {count:,}" for kind, count in manifest.warnings.items()], warnings)
        + _format_lines("Left out", [], (f"{skipped['path']}: {skipped['reason']}" for skipped in manifest.skipped))
        + ("<h2>Images</h2>\n<p>Boxes of difficult objects are orange.</p>\n" if tiles else "")
        + '<div class="images">\n'
        + "".join(f"{format_image(data, 'jpeg', image_id)}\n" for image_id, data in tiles)
        + "</div>\n"
    )
    return format_page(
        "Data set card",
        f"{total.num_images:,} images in {', '.join(manifest.splits)}; made by voc_tfdata {manifest.package_version}, "
        f"seed {manifest.seed}; {options}",
        body,
    )


def _describe_option(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}={share}" for name, share in value.items())
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _format_head(manifest: Manifest, total: SplitFacts, duplicates: int) -> str:
    splits = ", ".join(f"{name} {split.num_examples:,}" for name, split in manifest.splits.items())
    warnings = sum(manifest.warnings.values())
    return format_tiles(
        [
            ("head", "images", f"{total.num_images:,}", splits),
            ("", "objects", f"{total.objects.total():,}", f"difficult: {total.difficult.total():,}"),
            ("", "classes", str(len(manifest.classes)), f"that occur: {sum(1 for n in total.objects.values() if n)}"),
            ("", "images without an object", f"{total.num_labels[0]:,}", "all labels are 0"),
            ("", "identical images", f"{duplicates:,}", "byte for byte the same as another one"),
            ("", "warnings", f"{warnings:,}", f"files left out: {len(manifest.skipped):,}"),
        ]
    )


def _format_classes(manifest: Manifest, total: SplitFacts) -> str:
    """A row for each class: its images in each split, with those where all its objects are difficult; its objects."""
    heads = "".join(f"<th>{escape(name)}</th>" for name in manifest.splits)
    most = max([1, *(sum(split.positives[c] for split in manifest.splits.values()) for c in manifest.classes)])
    rows = []
    for number, name in enumerate(manifest.classes):
        positives = [split.positives[name] for split in manifest.splits.values()]
        ignores = [split.ignores[name] for split in manifest.splits.values()]
        cells = "".join(f"<td>{p:,}{f' ({i:,})' if i else ''}</td>" for p, i in zip(positives, ignores, strict=True))
        objects = f"{total.objects[number]:,}"
        if total.difficult[number]:
            objects += f" ({total.difficult[number]:,})"
        rows.append(
            f"<tr><td>{escape(name)}</td>{cells}<td>{objects}</td>"
            f'<td class="bar">{_bar(sum(positives) / most)}</td></tr>\n'
        )
    return (
        f'<div class="scroll"><table>\n<thead><tr><th>class</th>{heads}<th>objects</th>'
        f'<th class="bar">images, all splits'
        f"</th></tr></thead>\n<tbody>\n{''.join(rows)}</tbody>\n</table></div>\n"
        '<p class="sub">In brackets: images in which all objects of the class are difficult; objects that are.</p>\n'
    )


def _format_together(classes: Sequence[str], total: SplitFacts) -> str:
    """A matrix of the classes that occur, or, of many, the most frequent pairs."""
    if not total.together:
        return "<p>No image has objects of two classes.</p>\n"
    present = [number for number in range(len(classes)) if total.objects[number]]
    if len(present) > _MAX_MATRIX:
        pairs = sorted(total.together.items(), key=lambda item: (-item[1], item[0]))[:_MAX_PAIRS]
        return _format_bars([(f"{classes[a]}, {classes[b]}", count) for (a, b), count in pairs], "images")
    most = max(total.together.values())
    head = "".join(f"<th>{escape(classes[number][:8])}</th>" for number in present)
    rows = []
    for a in present:
        cells = "".join(_format_cell(total.together[min(a, b), max(a, b)] if a != b else 0, most) for b in present)
        rows.append(f"<tr><td>{escape(classes[a])}</td>{cells}</tr>\n")
    return (
        '<div class="scroll"><table class="matrix">\n'
        f"<thead><tr><th></th>{head}</tr></thead>\n<tbody>\n{''.join(rows)}</tbody>\n</table></div>\n"
    )


def _format_cell(count: int, most: int) -> str:
    if not count:
        return "<td></td>"
    return f'<td style="background:rgba(31,111,180,{0.08 + 0.5 * count / most:.2f})">{count:,}</td>'


def _format_sizes(total: SplitFacts) -> str:
    if total.smallest is None or total.largest is None:
        return "<p>No image.</p>\n"
    (w, h), (width, height) = total.smallest, total.largest
    return (
        f"<p>From {w:,} x {h:,} to {width:,} x {height:,} pixels.</p>\n"
        + _format_bars(
            _name_bins(SIDES, total.sides, lambda side: f"{side:,}"), "images, by the shorter side in pixels"
        )
        + _format_bars(_name_bins(ASPECTS, total.aspects, lambda ratio: f"{ratio:g}"), "images, by width over height")
    )


def _name_bins(bounds: Sequence[float], counts: Counter[int], name: object) -> list[tuple[str, int]]:
    """Returns ("256 to 384", count) of each bin between the first and the last that holds any."""
    assert callable(name)
    used = [place for place in range(len(bounds)) if counts[place]]
    bins = []
    for place in range(min(used, default=0), max(used, default=-1) + 1):
        upper = f"to {name(bounds[place + 1])}" if place + 1 < len(bounds) else "and more"
        bins.append((f"{name(bounds[place])} {upper}", counts[place]))
    return bins


def _format_bars(bars: Sequence[tuple[str, int]], unit: str) -> str:
    """A table of numbers with bars as long as they are large."""
    if not bars:
        return "<p>None.</p>\n"
    most = max([1, *(count for _, count in bars)])
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td>{count:,}</td><td class="bar">{_bar(count / most)}</td></tr>\n'
        for name, count in bars
    )
    head = f'<thead><tr><th></th><th>{escape(unit)}</th><th class="bar"></th></tr></thead>'
    return f"<table>\n{head}\n<tbody>\n{rows}</tbody>\n</table>\n"


def _bar(share: float) -> str:
    return f'<div class="track"><div class="fill" style="width:{100 * share:.1f}%"></div></div>'


def _format_lines(heading: str, counts: Sequence[str], lines: Iterable[str]) -> str:
    """A heading with counts and the first lines in full; nothing if there are neither."""
    lines = iter(lines)
    shown = list(itertools.islice(lines, _MAX_LINES))
    more = sum(1 for _ in lines)
    if not counts and not shown:
        return ""
    items = "".join(f"<li>{escape(printable(text))}</li>\n" for text in counts)
    text = "\n".join(escape(printable(line)) for line in shown) + (f"\nand {more:,} more" if more else "")
    return (
        f"<h2>{heading}</h2>\n" + (f"<ul>\n{items}</ul>\n" if items else "") + (f"<pre>{text}</pre>\n" if shown else "")
    )
