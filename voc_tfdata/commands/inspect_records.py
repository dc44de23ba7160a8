"""inspect_records: what is in a folder of records.

    voc_tfdata inspect DIR                          # splits, counts, classes, sizes, warnings
    voc_tfdata inspect DIR --image_id=2007_000027   # one record, field by field
    voc_tfdata inspect DIR --grid=out.png           # images with boxes and labels
    voc_tfdata inspect DIR --verify                 # re-reads and decodes everything

DIR may be a URI (s3://...), with --cache_dir for a local mirror of it.

Exit status 1 if --verify finds a fault.
"""

import io
from collections.abc import Iterator
from pathlib import Path

from absl import flags
from PIL import Image, ImageDraw, ImageFont

from voc_tfdata.commands.command_line import run_command
from voc_tfdata.records.describe import describe_manifest
from voc_tfdata.records.examples import decode_example
from voc_tfdata.records.manifest import Manifest, find_split, read_manifest
from voc_tfdata.records.mirror import localize
from voc_tfdata.records.tfrecord import iterate_ids, iterate_records
from voc_tfdata.records.verify import verify_records

_IMAGE_ID = flags.DEFINE_string("image_id", None, "Print the fields of this image's record.")
_GRID = flags.DEFINE_string("grid", None, "PNG to draw the first images with their boxes and labels into.")
_SPLIT = flags.DEFINE_string("split", None, "Split to draw from (default: the first).")
_COUNT = flags.DEFINE_integer("count", 24, "Pictures in the grid.", lower_bound=1)
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir", "", "Local folder to mirror remote records into, for all but the overview."
)
_VERIFY = flags.DEFINE_bool("verify", False, "Re-read and decode everything; name every fault.")

_TILE = 256  # pixels
_COLUMNS = 6
_OBJECT_COLOUR = (40, 200, 70)
_DIFFICULT_COLOUR = (240, 150, 30)


def main(argv: list[str]) -> int:
    """Prints or draws what the flags ask for."""
    if len(argv) != 1:
        raise ValueError("give one folder of records: voc_tfdata inspect DIR")
    manifest = read_manifest(argv[0])
    if not (_VERIFY.value or _IMAGE_ID.value or _GRID.value):
        print_overview(manifest)
        return 0
    records_dir = localize(argv[0], _CACHE_DIR.value)
    if _VERIFY.value:
        return print_faults(records_dir, manifest)
    if _IMAGE_ID.value:
        print_record(records_dir, manifest, _IMAGE_ID.value)
    elif _GRID.value:
        split = find_split(manifest, _SPLIT.value or next(iter(manifest.splits)), records_dir)[0]
        draw_grid(records_dir, manifest, split, _COUNT.value, Path(_GRID.value))
    return 0


def print_overview(manifest: Manifest) -> None:
    """Prints the tables of the manifest, its options, what was left out and warned of."""
    print(describe_manifest(manifest))
    print(f"\nwritten by voc_tfdata {manifest.package_version}, schema {manifest.schema_version}, seed {manifest.seed}")
    print("options: " + ", ".join(f"{k}={v}" for k, v in manifest.options.items() if v is not None))
    for kind, count in manifest.warnings.items():
        print(f"warning: {kind}: {count}")
    for entry in manifest.skipped:
        print(f"left out: {entry['path']}: {entry['reason']}")


def print_faults(records_dir: Path, manifest: Manifest) -> int:
    """Prints every fault; returns the exit status."""
    faults = verify_records(records_dir)
    for fault in faults:
        print(fault)
    total = sum(split.num_examples for split in manifest.splits.values())
    print(f"{len(faults)} faults; build the records again" if faults else f"all {total:,} records are as written")
    return 1 if faults else 0


def print_record(records_dir: Path, manifest: Manifest, image_id: str) -> None:
    """Prints the fields of one image's record.

    Raises:
      ValueError: no record has this id.
    """
    for split in manifest.splits:
        if image_id in iterate_ids(records_dir, manifest.splits[split]):
            fields = next(f for f in iterate_split(records_dir, manifest, split) if _text(f, "source_id") == image_id)
            print(f"split: {split}")
            for name in sorted(fields):
                values = fields[name]
                if name == "image/encoded":
                    print(f"{name}: {len(values[0]):,} bytes")
                else:
                    print(f"{name}: {[v.decode() if isinstance(v, bytes) else v for v in values]}")
            return
    raise ValueError(f"no image {image_id!r} in {records_dir}; the ids are in {records_dir}/voc-*-ids.txt")


def draw_grid(records_dir: Path, manifest: Manifest, split: str, count: int, path: Path) -> None:
    """Draws the first images of a split with their boxes (difficult ones orange) into a PNG."""
    tiles = []
    for fields in iterate_split(records_dir, manifest, split):
        tiles.append(_draw_tile(fields))
        if len(tiles) == count:
            break
    rows = -(-len(tiles) // _COLUMNS)
    sheet = Image.new("RGB", (min(_COLUMNS, len(tiles)) * _TILE, rows * _TILE), "white")
    for k, tile in enumerate(tiles):
        sheet.paste(tile, (k % _COLUMNS * _TILE, k // _COLUMNS * _TILE))
    part = path.with_name(path.name + ".part")
    sheet.save(part, "PNG")
    part.replace(path)
    print(f"wrote {path}: {len(tiles)} images of split {split}")


def iterate_split(records_dir: Path, manifest: Manifest, split: str) -> Iterator[dict[str, list]]:
    """Yields the fields of each record of a split, in order."""
    for shard in manifest.splits[split].shards:
        for payload in iterate_records(records_dir / shard.file):
            yield decode_example(payload)


def _draw_tile(fields: dict[str, list]) -> Image.Image:
    picture = Image.open(io.BytesIO(fields["image/encoded"][0])).convert("RGB")
    picture.thumbnail((_TILE - 8, _TILE - 28))
    tile = Image.new("RGB", (_TILE, _TILE), "white")
    tile.paste(picture, (4, 4))
    draw = ImageDraw.Draw(tile)
    font = ImageFont.load_default(12)
    sides = [fields[f"image/object/bbox/{side}"] for side in ("xmin", "ymin", "xmax", "ymax")]
    texts, difficult = fields["image/object/class/text"], fields["image/object/difficult"]
    for *box, text, hard in zip(*sides, texts, difficult, strict=True):
        x0, y0, x1, y1 = (4 + share * length for share, length in zip(box, picture.size * 2, strict=True))
        colour = _DIFFICULT_COLOUR if hard else _OBJECT_COLOUR
        draw.rectangle((x0, y0, max(x0, x1), max(y0, y1)), outline=colour, width=2)
        label = text.decode()
        draw.rectangle(draw.textbbox((x0 + 3, y0 + 1), label, font=font), fill=(0, 0, 0))
        draw.text((x0 + 3, y0 + 1), label, font=font, fill=colour)
    draw.text((4, _TILE - 18), _text(fields, "source_id"), font=font, fill=(60, 60, 60))
    return tile


def _text(fields: dict[str, list], name: str) -> str:
    return fields[f"image/{name}"][0].decode()


def run() -> None:
    """The command, with the flags of this process."""
    run_command(main)
