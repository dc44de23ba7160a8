"""A manifest as text: the table at the end of a conversion and on top of an inspection."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from voc_tfdata.devkit.source_files import Notice, printable
from voc_tfdata.records.manifest import Manifest

_EXAMPLES_A_KIND = 5


def describe_manifest(manifest: Manifest) -> str:
    """Returns tables of the splits and of the classes: images with the class, in brackets those with difficult
    objects of it only.
    """
    names = list(manifest.splits)
    head = ["split", "images", "without objects", "objects", "labels", "difficult only", "shards", "bytes"]
    rows = [
        [
            name,
            f"{split.num_examples:,}",
            f"{split.num_unlabelled:,}",
            f"{split.num_objects:,}",
            f"{sum(split.positives.values()):,}",
            f"{sum(split.ignores.values()):,}",
            f"{len(split.shards):,}",
            f"{sum(shard.num_bytes for shard in split.shards):,}",
        ]
        for name, split in manifest.splits.items()
    ]
    classes = [
        [c, *(_count(manifest.splits[name].positives[c], manifest.splits[name].ignores[c]) for name in names)]
        for c in manifest.classes
    ]
    notes = ""
    if any(any(split.ignores.values()) for split in manifest.splits.values()):
        notes += "\n(N): N images more, in which all objects of the class are marked difficult"
    unseen = [c for c in manifest.classes if not any(s.positives[c] or s.ignores[c] for s in manifest.splits.values())]
    if unseen:
        notes += (
            f"\nno image shows {', '.join(unseen)}: nothing can be learnt about {'it' if len(unseen) == 1 else 'them'}"
        )
    return format_table(head, rows) + "\n\n" + format_table(["class", *names], classes) + notes


def describe_notices(notices: Iterable[Notice]) -> str:
    """Returns the warnings by kind, with the first few of each.

    Args:
      notices: in the order of their kinds.
    """
    lines = []
    for kind, several in itertools.groupby(notices, key=lambda notice: notice.kind):
        first = [notice.text for notice in itertools.islice(several, _EXAMPLES_A_KIND)]
        more = sum(1 for _ in several)
        lines.append(f"{kind}: {len(first) + more}")
        lines.extend(f"  {printable(text)}" for text in first)
        if more:
            lines.append(f"  and {more} more")
    return "\n".join(lines)


def count_of(number: int, noun: str) -> str:
    """Returns "1 file" or "1,200 files"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table in plain text: the first column left, the others right-justified."""
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]
    lines = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in [head, *rows]]
    return "\n".join("  ".join(cells) for cells in lines)


def _count(positives: int, ignores: int) -> str:
    return f"{positives:,} ({ignores:,})" if ignores else f"{positives:,}"
