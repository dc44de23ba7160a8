"""A larger data set made of links to the shards of a small one, to see how cost grows with the number of images."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

from voc_tfdata.records.manifest import MANIFEST_NAME, format_manifest, read_manifest
from voc_tfdata.records.tfrecord import crc32c_of_file, ids_name, index_name, iterate_ids, shard_name


def repeat_records(records_dir: str | Path, out_dir: str | Path, *, copies: int) -> Path:
    """Returns a folder whose split "train" holds the "train" of records_dir `copies` times over.

    The shards are symbolic links, the ids get #0, #1 ... behind them. A folder that is there already is kept.

    Args:
      records_dir: folder written by build_records.
      out_dir: to be made.
      copies: how often.
    """
    records_dir, out_dir = Path(records_dir).resolve(), Path(out_dir)
    manifest = read_manifest(records_dir)
    split = manifest.splits["train"]
    if (out_dir / MANIFEST_NAME).exists():
        if read_manifest(out_dir).splits["train"].num_examples != copies * split.num_examples:
            raise ValueError(f"{out_dir} holds another data set; remove it, or name another folder")
        return out_dir
    shutil.rmtree(out_dir, ignore_errors=True)
    out_dir.mkdir(parents=True)
    total = copies * len(split.shards)
    shards = []
    for number in range(total):
        shard = split.shards[number % len(split.shards)]
        file = shard_name("train", number, total)
        os.symlink(records_dir / shard.file, out_dir / file)
        os.symlink(records_dir / index_name(shard.file), out_dir / index_name(file))
        shards.append(dataclasses.replace(shard, file=file))
    ids = tuple(iterate_ids(records_dir, split))
    ids_path = out_dir / ids_name("train")
    ids_path.write_text("".join(f"{i}#{copy}\n" for copy in range(copies) for i in ids), encoding="utf-8")
    repeated = dataclasses.replace(
        split,
        num_examples=copies * split.num_examples,
        num_objects=copies * split.num_objects,
        num_unlabelled=copies * split.num_unlabelled,
        positives={name: copies * count for name, count in split.positives.items()},
        ignores={name: copies * count for name, count in split.ignores.items()},
        shards=tuple(shards),
        ids_file=ids_path.name,
        ids_crc32c=crc32c_of_file(ids_path),
    )
    text = format_manifest(dataclasses.replace(manifest, splits={"train": repeated}))
    (out_dir / MANIFEST_NAME).write_text(text, encoding="utf-8")
    return out_dir
