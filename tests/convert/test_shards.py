"""What is in the records: labels, boxes, images; and how many shards there are."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from tests.convert.converting import TEN, convert, convert_samples, kinds_of
from tests.devkit_fixture import (
    COLOURS,
    annotation_xml,
    difficult,
    draw_noise,
    draw_quarters,
    encode,
    files_in,
    labels_of,
    object_xml,
    plain_jpeg,
    read_examples,
    sample,
    write_devkit,
)
from voc_tfdata.convert.shards import BadFilesError
from voc_tfdata.devkit import source_files, spill


def test_difficult_objects_count_and_difficult_only_classes_are_marked(tmp_path: Path) -> None:
    samples = {
        "a": sample("cat", difficult("dog")),
        "b": sample("dog", difficult("dog")),
        "c": sample(difficult("person"), object_xml("cow", difficult="Unspecified")),
    }
    report, examples = convert_samples(tmp_path, samples)
    assert labels_of(examples) == {"a": ["cat", "dog"], "b": ["dog"], "c": ["cow", "person"]}
    ignored = {i: [k for k, bit in enumerate(e["image/class/ignore"]) if bit] for i, e in examples.items()}
    assert ignored == {"a": [11], "b": [], "c": [14]}  # dog is class 11, person is 14
    counts = report.manifest.splits["all"]
    assert (counts.positives["dog"], counts.ignores["dog"], counts.positives["person"]) == (1, 1, 0)
    assert (counts.ignores["person"], counts.positives["cow"], counts.num_objects) == (1, 1, 6)


# P7, P8, P9


def test_plain_jpegs_keep_their_bytes_and_the_rest_is_counted(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x0112] = 3
    pictures = {
        "plain": encode(draw_noise(), "JPEG"),
        "progressive": encode(draw_noise(), "JPEG", progressive=True),
        "grey": encode(draw_noise().convert("L"), "JPEG"),
        "png": encode(draw_quarters(), "PNG"),
        "turned": encode(draw_quarters(), "JPEG", exif=tags),
    }
    report, examples = convert_samples(tmp_path, {i: sample("dog", picture=data) for i, data in pictures.items()})
    for image_id in ("plain", "progressive", "grey"):
        assert examples[image_id]["image/encoded"] == [pictures[image_id]]
    for example in examples.values():
        digest = hashlib.sha256(example["image/encoded"][0]).hexdigest().encode()
        assert example["image/key/sha256"] == [digest] and example["image/format"] == [b"jpeg"]
    assert kinds_of(report) == {"EXIF orientation applied": 1, "PNG re-encoded as JPEG": 1}
    assert "png.jpg" in "".join(w.text for w in report.warnings)


def test_max_pixels_refuses_by_name_with_the_flag(tmp_path: Path) -> None:
    with pytest.raises(BadFilesError, match="b.jpg: has 65 x 10 = 650 pixels, the limit is 640; .*--max_pixels"):
        convert_samples(
            tmp_path,
            {
                "a": sample("dog", picture=plain_jpeg(size=(64, 10))),
                "b": sample("dog", picture=plain_jpeg(size=(65, 10))),
            },
            max_pixels=640,
        )


def test_store_resized_shrinks_the_shorter_side(tmp_path: Path) -> None:
    samples = {"a": sample("dog", picture=encode(draw_quarters(64, 48), "JPEG")), "b": sample("cat")}
    report, examples = convert_samples(tmp_path, samples, store="resized", store_size=30)
    assert (examples["a"]["image/width"], examples["a"]["image/height"]) == ([40], [30])
    assert examples["b"]["image/encoded"] == [plain_jpeg(COLOURS[1])]  # 32 x 24 is small enough
    assert report.manifest.options["store_size"] == 30 and kinds_of(report) == {}


def test_what_goes_through_temporary_files_comes_out_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = {f"im{k:03}": sample("dog" if k % 3 else "Cat", filename="x.jpg") for k in range(60)}
    samples |= {f"borrower{k}": sample("cow", picture=None, filename=f"lone{k}.jpg") for k in range(20)}
    samples |= {f"lone{k}": sample(xml=None) for k in range(25)}
    samples |= {f"odd{k}": sample("cow", suffix=".heic") for k in range(9)} | {"bad": sample("unicorn")}
    root = write_devkit(tmp_path / "VOC", samples, {"train": [*list(samples)[:50], "im000"], "val": list(samples)[50:]})
    reports = []
    for name in ("in_memory", "in_files"):
        for options in ({"split_ratios": None}, {"splits": ("train", "val")}):
            out = tmp_path / name / str(len(options.get("splits", ())))
            report = convert(root, out, on_error="skip", num_shards=3, **options)
            reports.append((list(report.warnings), list(map(str, report.skipped)), files_in(out)))
        monkeypatch.setattr(spill, "_IN_MEMORY", 100)
        monkeypatch.setattr(spill, "_WRITE_BYTES", 100)
        monkeypatch.setattr(spill, "_RUN_ITEMS", 7)
        monkeypatch.setattr(spill, "_BLOCK_ITEMS", 3)
        monkeypatch.setattr(source_files, "_BLOCK_FILES", 5)
    assert reports[:2] == reports[2:]
    kinds = Counter(notice.kind for notice in reports[0][0])
    # 20 of the 25 images without annotation of their stem are somebody's
    assert kinds["picture found by <filename>"] == 20 and kinds["picture without annotation"] == 5
    assert kinds["class name spelt differently"] == 20 and len(reports[0][1]) == 1


@pytest.mark.parametrize("num_shards, files", [(1, 1), (3, 3), (16, 10)])
def test_there_are_never_more_shards_than_images(tmp_path: Path, num_shards: int, files: int) -> None:
    convert(write_devkit(tmp_path / "VOC", TEN), tmp_path / "out", num_shards=num_shards)
    shards = sorted((tmp_path / "out").glob("*.tfrecord"))
    assert len(shards) == files and all(path.stat().st_size for path in shards)
    assert len(read_examples(tmp_path / "out")) == 10


def test_a_shard_of_bad_files_only_is_none(tmp_path: Path) -> None:
    samples = {f"im{k}": sample("dog", picture=b"x" if k else b"") for k in range(4)}
    report, examples = convert_samples(tmp_path, samples, num_shards=4, on_error="skip")
    assert list(examples) == ["im0"]
    assert [s.file for s in report.manifest.splits["all"].shards] == ["voc-all-00000-of-00001.tfrecord"]


def test_a_size_that_is_not_the_pictures_is_told_and_a_rescaled_copys_boxes_follow_it(tmp_path: Path) -> None:
    box = object_xml("dog", box=(8, 12, 32, 24))
    half = annotation_xml(box, filename="half.jpg", width=64, height=48)  # the image is 32 x 24
    other = annotation_xml(box, filename="other.jpg", width=64, height=64)
    root = write_devkit(tmp_path / "VOC", {"half": sample(xml=half), "other": sample(xml=other), "good": sample("dog")})
    report = convert(root, tmp_path / "out")
    examples = read_examples(tmp_path / "out")
    assert kinds_of(report) == {"<size> is not the image's": 2}
    texts = sorted(notice.text for notice in report.warnings)
    assert "half.xml: <size> is 64 x 48" in texts[0] and "taken as drawn on a copy of that size" in texts[0]
    assert "other.xml: <size> is 64 x 64" in texts[1] and "doubtful" in texts[1]
    sides = ("xmin", "ymin", "xmax", "ymax")
    # 8 / 64, 12 / 48, 32 / 64, 24 / 48 of the copy; as they are 8 / 32, 12 / 24, 32 / 32, 24 / 24 of the image
    assert [examples["half"][f"image/object/bbox/{s}"][0] for s in sides] == [0.125, 0.25, 0.5, 0.5]
    assert [examples["other"][f"image/object/bbox/{s}"][0] for s in sides] == [0.25, 0.5, 1.0, 1.0]
