"""TFRecords of other programs: indexed where they lie, and read like our own."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.convert.converting import convert
from tests.devkit_fixture import difficult, draw_noise, encode, plain_jpeg, sample, write_devkit
from tests.paths import ROOT
from voc_tfdata.convert.foreign import index_records
from voc_tfdata.convert.shards import BadFilesError
from voc_tfdata.records.examples import _EXAMPLE, complete_labels, decode_example
from voc_tfdata.records.manifest import read_manifest
from voc_tfdata.records.tfrecord import iterate_ids, iterate_records
from voc_tfdata.records.tiles import iterate_split
from voc_tfdata.records.verify import verify_records
from voc_tfdata.remote.frames import frame_record

CLASSES = ("cat", "dog", "person")


def example(
    texts: Sequence[str] = (), labels: Sequence[int] = (), hard: Sequence[int] | None = None, **fields: Any
) -> bytes:
    """Returns an Example in the object-detection API's fields; keyword names have __ for /."""
    values = {
        "encoded": plain_jpeg(),
        "format": b"jpeg",
        "height": 24,
        "width": 32,
        "object/class/text": [text.encode() for text in texts],
        "object/class/label": list(labels),
        "object/difficult": hard,
    }
    values |= {name.replace("__", "/"): value for name, value in fields.items()}
    message = _EXAMPLE()
    for name, value in values.items():
        if value is None or value == []:
            continue
        items = value if isinstance(value, list) else [value]
        feature = message.features.feature[f"image/{name}"]
        (feature.bytes_list if isinstance(items[0], bytes) else feature.int64_list).value.extend(items)
    return message.SerializeToString()


def write(path: Path, payloads: Iterable[bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(map(frame_record, payloads)))
    return path


FOUR = [
    example(["dog", "cat"], [2, 1], [0, 1], source_id=b"a"),
    example(["person"], [3], source_id=b"b"),
    example(source_id=b"c"),
    example(["cat", "cat"], [1, 1], [1, 0], source_id=b"d"),
]
# 1 with an object that is not difficult, -1 with difficult ones only; in the order of CLASSES.
FOUR_LABELS = [[-1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]]


def labels_of(records: Path | str, split: str = "train") -> list[list[float]]:
    from voc_tfdata import eval_dataset

    ds = eval_dataset(records, split, batch_size=3, image_size=32, difficult="ignore")
    return [row for _, labels in ds.as_numpy_iterator() for row in labels.tolist()]


def test_theirs_are_read_as_ours_without_a_copy(tmp_path: Path) -> None:
    from voc_tfdata import read_examples, train_dataset

    write(tmp_path / "data/t.record-00000-of-00002", FOUR[:3])
    write(tmp_path / "data/t.record-00001-of-00002", FOUR[3:])
    manifest = index_records([tmp_path / "data"], tmp_path / "out", split="train")
    assert manifest.classes == CLASSES and manifest == read_manifest(tmp_path / "out")
    split = manifest.splits["train"]
    assert (split.positives, split.ignores) == ({"cat": 1, "dog": 1, "person": 1}, {"cat": 1, "dog": 0, "person": 0})
    assert (split.num_examples, split.num_objects, split.num_unlabelled) == (4, 5, 1)
    assert list(iterate_ids(tmp_path / "out", split)) == ["a", "b", "c", "d"]
    assert all(os.path.islink(tmp_path / "out" / shard.file) for shard in split.shards)
    assert verify_records(tmp_path / "out") == []
    assert labels_of(tmp_path / "out") == FOUR_LABELS
    fields = list(read_examples(tmp_path / "out", "train"))
    assert [f["image/class/multi_hot"].numpy().tolist() for f in fields] == np.abs(FOUR_LABELS).tolist()
    assert [f["image/class/ignore"].numpy().tolist() for f in fields] == [[1, 0, 0], [0] * 3, [0] * 3, [0] * 3]
    ds = train_dataset(tmp_path / "out", batch_size=4, image_size=32, cache="decoded", difficult="ignore")
    (labels,) = [labels for _, labels in ds.take(1)]
    assert sorted(labels.numpy().tolist()) == sorted(FOUR_LABELS)


def test_numbers_are_named_by_a_label_map_and_fields_that_are_missing_are_filled_up(tmp_path: Path) -> None:
    write(tmp_path / "a.tfrecord", [example(labels=[2]), example(labels=[3, 1])])
    with pytest.raises(ValueError, match="3 objects have a number and no .*--classes=label_map.pbtxt"):
        index_records([tmp_path / "a.tfrecord"], tmp_path / "out", split="train")
    index_records([tmp_path / "a.tfrecord"], tmp_path / "out", split="train", classes=CLASSES)
    assert labels_of(tmp_path / "out") == [[0, 1, 0], [1, 0, 1]]
    assert list(iterate_ids(tmp_path / "out", read_manifest(tmp_path / "out").splits["train"])) == [
        "00000000",
        "00000001",
    ]
    with pytest.raises(ValueError, match="label 3, there are 2 classes"):
        index_records([tmp_path / "a.tfrecord"], tmp_path / "two", split="train", classes=CLASSES[:2])


def test_the_name_of_an_object_wins_over_its_number(tmp_path: Path) -> None:
    write(tmp_path / "a.record", [example(["person"], [1]), example(["cat"], [17])])
    index_records([tmp_path / "a.record"], tmp_path / "out", split="train")
    assert read_manifest(tmp_path / "out").classes == ("cat", "person")
    assert labels_of(tmp_path / "out") == [[0, 1], [1, 0]]
    assert verify_records(tmp_path / "out") == []


def test_ids_are_the_source_ids_else_the_file_names_else_numbers(tmp_path: Path) -> None:
    cases = {
        "source": ([b"1", b"2"], [b"x.jpg", b"x.jpg"], ["1", "2"]),
        "file": ([b"1", b"1"], [b"x.jpg", b"y.b.png"], ["x", "y.b"]),
        "number": ([b"1", b"1"], [b"x.jpg", b"x.jpg"], ["00000000", "00000001"]),
    }
    for name, (sources, files, wanted) in cases.items():
        payloads = [example(["dog"], source_id=s, filename=f) for s, f in zip(sources, files, strict=True)]
        index_records([write(tmp_path / f"{name}.record", payloads)], tmp_path / name, split="train")
        assert list(iterate_ids(tmp_path / name, read_manifest(tmp_path / name).splits["train"])) == wanted


def test_further_splits_are_added_and_a_known_one_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "t.record", FOUR)
    write(tmp_path / "v.record", [example(["dog"], source_id=b"v")])
    index_records([tmp_path / "t.record"], tmp_path / "out", split="train")
    index_records([tmp_path / "v.record"], tmp_path / "out", split="val")
    assert labels_of(tmp_path / "out", "val") == [[0, 1, 0]]
    assert labels_of(tmp_path / "out", "train+val") == [*FOUR_LABELS, [0, 1, 0]]
    with pytest.raises(ValueError, match="has a split 'val'; add --overwrite"):
        index_records([tmp_path / "t.record"], tmp_path / "out", split="val")
    with pytest.raises(ValueError, match="t.record is in split 'train', too"):
        index_records([tmp_path / "t.record"], tmp_path / "out", split="val", overwrite=True)
    write(tmp_path / "w.record", [example(["cat"], source_id=b"w")])
    index_records([tmp_path / "w.record"], tmp_path / "out", split="val", overwrite=True)
    assert labels_of(tmp_path / "out", "val") == [[1, 0, 0]]
    with pytest.raises(ValueError, match="classes that are not in the list: 'bus' .1."):
        index_records([write(tmp_path / "b.record", [example(["bus"])])], tmp_path / "out", split="b")


def test_ours_and_theirs_are_one_data_set(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", {"o": sample("dog", difficult("cat"))})
    convert(root, tmp_path / "ours", classes=CLASSES, split_ratios="train=1")
    index_records([write(tmp_path / "t.record", FOUR)], tmp_path / "theirs", split="train")
    assert labels_of(f"{tmp_path}/ours,{tmp_path}/theirs") == [[-1, 1, 0], *FOUR_LABELS]


def test_label_vectors_of_another_program_say_nothing(tmp_path: Path) -> None:
    """Found by fuzzing: verifying believed them, training the objects."""
    theirs = example(["dog"], class__multi_hot=[1, 0, 1], class__ignore=[0, 0, 0])
    write(tmp_path / "a.record", [theirs, FOUR[1]])
    manifest = index_records([tmp_path / "a.record"], tmp_path / "out", split="train", classes=CLASSES)
    assert list(manifest.splits["train"].positives.values()) == [0, 1, 1]
    assert verify_records(tmp_path / "out") == []
    assert labels_of(tmp_path / "out") == [[0, 1, 0], [0, 0, 1]]
    assert [fields["image/class/multi_hot"] for _, fields in iterate_split(tmp_path / "out", manifest, "train")] == [
        [0, 1, 0],
        [0, 0, 1],
    ]


def test_the_labels_made_of_objects_are_those_that_our_records_hold(tmp_path: Path) -> None:
    import tensorflow as tf

    from voc_tfdata import parse_example

    samples = {f"i{k}": sample(*["dog", "cat"][:k], difficult("person"), difficult("dog")) for k in range(3)}
    convert(write_devkit(tmp_path / "VOC", samples), tmp_path / "out", classes=CLASSES)
    (shard,) = (tmp_path / "out").glob("*.tfrecord")
    parse = tf.function(lambda payload: parse_example(payload, classes=CLASSES))
    for payload in iterate_records(shard):
        ours = decode_example(payload)
        bare = {name: values for name, values in ours.items() if not name.startswith("image/class/")}
        made = complete_labels(bare, CLASSES)
        parsed = parse(tf.constant(payload))
        for name in ("image/class/multi_hot", "image/class/ignore"):
            assert made[name] == ours[name] == parsed[name].numpy().tolist()


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (example(["dog"], encoded=None), "image/encoded has 0 values"),
        (example(["dog"], encoded=encode(draw_noise(32, 24), "PNG")), "PNG re-encoded as JPEG.*voc_tfdata convert"),
        (example(["dog"], encoded=encode(draw_noise(32, 24), "JPEG")[:-200]), "truncated or damaged JPEG"),
        (example(["dog"], width=31), "are 31 x 24, its image is 32 x 24"),
        (example(["dog"], [1, 2]), "class/label has 2 values for 1 objects"),
        (example(object__class__text=[b"d\xf6g"]), "class/text is no UTF-8 text"),
        (b"\xff\xff", "not a tf.train.Example"),
    ],
)
def test_records_that_cannot_be_read_are_named_and_nothing_is_written(
    tmp_path: Path, payload: bytes, message: str
) -> None:
    write(tmp_path / "a.record", [FOUR[0], payload])
    with pytest.raises(BadFilesError, match=rf"a.record, record 1: .*{message}"):
        index_records([tmp_path / "a.record"], tmp_path / "out", split="train")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_compressed_files_are_refused_with_the_remedy(tmp_path: Path, compress: Any) -> None:
    path = write(tmp_path / "a.record", FOUR)
    path.write_bytes(compress(path.read_bytes()))
    with pytest.raises(BadFilesError, match="is compressed .(GZIP|ZLIB).*write it again uncompressed"):
        index_records([path], tmp_path / "out", split="train")


def test_what_is_no_tfrecord_is_told_by_name(tmp_path: Path) -> None:
    for name, data, message in (
        ("empty.record", b"", "is empty"),
        ("text.record", b"hello, this is no record at all", "record 0: damaged or cut off"),
        ("cut.record", b"".join(map(frame_record, FOUR))[:-9], "record 3: damaged or cut off"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadFilesError, match=message):
            index_records([tmp_path / name], tmp_path / "out", split="train")
    with pytest.raises(FileNotFoundError, match="no TFRecords in .*nowhere"):
        index_records([tmp_path / "nowhere*"], tmp_path / "out", split="train")


def test_a_folder_of_theirs_that_is_opened_without_an_index_advises_to_make_one(tmp_path: Path) -> None:
    write(tmp_path / "theirs/pascal_train.record-00000-of-00001", FOUR)
    with pytest.raises(FileNotFoundError, match="voc_tfdata index .*theirs --split=train"):
        read_manifest(tmp_path / "theirs")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="run: build_tfrecords"):
        read_manifest(tmp_path / "empty")


def test_an_image_with_an_orientation_is_read_as_stored_and_told(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encode(draw_noise(32, 24), "JPEG", exif=exif)
    path = write(tmp_path / "a.record", [example(["dog"], encoded=turned)])
    manifest = index_records([path], tmp_path / "out", split="t")
    assert manifest.warnings == {"EXIF orientation not applied": 1}
    assert verify_records(tmp_path / "out") == []


def test_an_index_in_the_folder_of_the_files_needs_no_links(tmp_path: Path) -> None:
    path = write(tmp_path / "a.record", FOUR)
    before = path.read_bytes()
    index_records([path], tmp_path, split="train")
    assert not path.is_symlink() and path.read_bytes() == before
    assert labels_of(tmp_path) == FOUR_LABELS


def test_the_command_indexes_and_the_others_read(tmp_path: Path) -> None:
    write(tmp_path / "a.record", FOUR)
    command = [sys.executable, "-m", "voc_tfdata"]
    made = subprocess.run(
        [*command, "index", str(tmp_path / "a.record"), f"--out_dir={tmp_path / 'out'}"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert made.returncode == 0 and "4 images in split train" in made.stdout, made.stderr
    for arguments in (["--verify"], ["--image_id=d"], [f"--grid={tmp_path / 'grid.png'}"]):
        shown = subprocess.run(
            [*command, "inspect", str(tmp_path / "out"), *arguments], capture_output=True, text=True, cwd=ROOT
        )
        assert shown.returncode == 0, shown.stderr
