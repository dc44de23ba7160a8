"""Tells what is in a folder of records.

    voc_tfdata inspect DIR                          # splits, counts, classes, sizes, warnings
    voc_tfdata inspect DIR --image_id=2007_000027   # one record, field by field
    voc_tfdata inspect DIR --grid=out.png           # images with boxes and labels
    voc_tfdata inspect DIR --html=card.html         # the data set's card: counts, sizes, warnings, images
    voc_tfdata inspect DIR --verify                 # re-reads and decodes everything

DIR may be a URI (s3://...), with --cache_dir for a local mirror of it.

Exit status 1 if --verify finds a fault.
"""

from pathlib import Path

from absl import flags
from PIL import Image

from voc_tfdata.commands.command_line import run_command
from voc_tfdata.files import write_whole
from voc_tfdata.records.card import draw_tiles, format_card, read_facts
from voc_tfdata.records.describe import count_of, describe_manifest
from voc_tfdata.records.manifest import Manifest, find_split, read_manifest
from voc_tfdata.records.mirror import localize
from voc_tfdata.records.tfrecord import iterate_ids
from voc_tfdata.records.tiles import TILE, draw_tile, iterate_split
from voc_tfdata.records.verify import verify_records

_IMAGE_ID = flags.DEFINE_string("image_id", None, "Print the fields of this image's record.")
_GRID = flags.DEFINE_string("grid", None, "PNG to draw the first images with their boxes and labels into.")
_HTML = flags.DEFINE_string("html", None, "HTML page to write: the data set's card, as convert leaves it.")
_SPLIT = flags.DEFINE_string("split", None, "Split to draw from (default: the first).")
_COUNT = flags.DEFINE_integer("count", 24, "Pictures in the grid.", lower_bound=1)
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir", "", "Local folder to mirror remote records into, for all but the overview."
)
_VERIFY = flags.DEFINE_bool("verify", False, "Re-read and decode everything; name every fault.")

_COLUMNS = 6


def main(argv: list[str]) -> int:
    """Prints or draws what the flags ask for."""
    if len(argv) != 1:
        raise ValueError("give one folder of records: voc_tfdata inspect DIR")
    manifest = read_manifest(argv[0])
    if not (_VERIFY.value or _IMAGE_ID.value or _GRID.value or _HTML.value):
        print_overview(manifest)
        return 0
    records_dir = localize(argv[0], _CACHE_DIR.value)
    if _VERIFY.value:
        return print_faults(records_dir, manifest)
    if _IMAGE_ID.value:
        print_record(records_dir, manifest, _IMAGE_ID.value)
    if _HTML.value:
        write_card(records_dir, manifest, Path(_HTML.value))
    if _GRID.value:
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
    print(
        f"{count_of(len(faults), 'fault')}; build the records again"
        if faults
        else f"all {total:,} records are as written"
    )
    return 1 if faults else 0


def print_record(records_dir: Path, manifest: Manifest, image_id: str) -> None:
    """Prints the fields of one image's record.

    Raises:
      ValueError: no record has this id.
    """
    for split in manifest.splits:
        if image_id in iterate_ids(records_dir, manifest.splits[split]):
            fields = next(f for i, f in iterate_split(records_dir, manifest, split) if i == image_id)
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
    for image_id, fields in iterate_split(records_dir, manifest, split):
        tiles.append(draw_tile(image_id, fields, manifest.classes))
        if len(tiles) == count:
            break
    rows = -(-len(tiles) // _COLUMNS)
    sheet = Image.new("RGB", (min(_COLUMNS, len(tiles)) * TILE, rows * TILE), "white")
    for k, tile in enumerate(tiles):
        sheet.paste(tile, (k % _COLUMNS * TILE, k // _COLUMNS * TILE))
    part = path.with_name(path.name + ".part")
    sheet.save(part, "PNG")
    part.replace(path)
    print(f"wrote {path}: {len(tiles)} images of split {split}")


def write_card(records_dir: Path, manifest: Manifest, path: Path) -> None:
    """Writes the data set's card, from its records and its warnings.txt."""
    warnings = records_dir / "warnings.txt"
    lines = warnings.read_text("utf-8", "replace").splitlines() if warnings.exists() else []
    facts, duplicates = read_facts(records_dir, manifest)
    card = format_card(manifest, facts, duplicates, warnings=lines, tiles=draw_tiles(records_dir, manifest))
    write_whole(path, card)
    print(f"wrote {path}")


def run() -> None:
    """The command, with the flags of this process."""
    run_command(main)
