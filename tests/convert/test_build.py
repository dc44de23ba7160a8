"""A whole conversion: what gets into the records, what is refused by name, what is left of an old data set."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from tests.devkit_fixture import (
    COLOURS,
    annotation_xml,
    difficult,
    draw_noise,
    draw_quarters,
    encode,
    files_in,
    is_close,
    labels_of,
    object_xml,
    plain_jpeg,
    quarters_of,
    read_examples,
    sample,
    write_devkit,
)
from voc_tfdata.convert.build import BuildReport, build_records
from voc_tfdata.convert.shards import BadFilesError
from voc_tfdata.devkit import source_files, spill
from voc_tfdata.records.manifest import MANIFEST_NAME, read_manifest
from voc_tfdata.records.split_source import find_source, open_split
from voc_tfdata.records.tfrecord import iterate_ids

NFC, NFD = unicodedata.normalize("NFC", "caf\u00e9"), unicodedata.normalize("NFD", "caf\u00e9")
ALL = "all=1"


def convert(root: Path, out: Path, **options) -> BuildReport:
    options.setdefault("num_workers", 1)
    if "splits" not in options:
        options.setdefault("split_ratios", ALL)
    return build_records(root, out, **options)


def convert_samples(tmp_path: Path, samples: dict, **options) -> tuple[BuildReport, dict[str, dict]]:
    report = convert(write_devkit(tmp_path / "VOC", samples), tmp_path / "out", **options)
    return report, read_examples(tmp_path / "out")


def kinds_of(report: BuildReport) -> dict[str, int]:
    return dict(report.manifest.warnings)


def ids_of(out: Path) -> dict[str, tuple[str, ...]]:
    return {name: tuple(iterate_ids(out, split)) for name, split in read_manifest(out).splits.items()}


# P1


def test_stems_pair_labels_and_pictures_whatever_filename_says(tmp_path: Path) -> None:
    samples = {
        "cam": sample("dog"),
        "cam.v2.001": sample("cat", filename="cam.jpg"),  # another's image
        "cam.v2.002": sample("bird", "person", filename=""),
        "end.": sample("sofa", filename="end"),
        "photo 5": sample("cow", filename="nowhere.png"),
        NFD: sample("boat", filename=f"{NFC}.jpg"),
    }
    report, examples = convert_samples(tmp_path, samples)
    assert labels_of(examples) == {
        "cam": ["dog"],
        "cam.v2.001": ["cat"],
        "cam.v2.002": ["bird", "person"],
        "end.": ["sofa"],
        "photo 5": ["cow"],
        NFD: ["boat"],
    }
    for image_id, colour in zip(samples, COLOURS, strict=True):
        assert is_close(quarters_of(examples[image_id]["image/encoded"][0]), [colour] * 4), image_id
        assert examples[image_id]["image/filename"] == [f"{image_id}.jpg".encode()]
    assert kinds_of(report) == {"<filename> disagrees": 3}
    assert [w.text.split("Annotations/")[1][:5] for w in report.warnings] == ["cam.v", "end..", "photo"]


def test_a_picture_that_only_filename_names_is_used(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", {"a": sample("dog", picture=None, filename="IMG_1.JPG")})
    (root / "JPEGImages/IMG_1.JPG").write_bytes(plain_jpeg(COLOURS[2]))
    report = convert(root, tmp_path / "out")
    (example,) = read_examples(tmp_path / "out").values()
    assert is_close(quarters_of(example["image/encoded"][0]), [COLOURS[2]] * 4)
    assert kinds_of(report) == {"picture found by <filename>": 1}  # and no "picture without annotation"


@pytest.mark.parametrize(
    "ids, picture",
    [(("a", "b"), "IMG.jpg"), ((NFC, NFD), "IMG.jpg"), ((NFC, NFD), f"{NFC}.jpg"), ((NFC, NFD), f"{NFD}.jpg")],
)
def test_one_picture_never_becomes_two_examples(tmp_path: Path, ids: tuple[str, str], picture: str) -> None:
    samples = {i: sample("dog", picture=None, filename=picture) for i in ids}
    root = write_devkit(tmp_path / "VOC", samples)
    (root / "JPEGImages" / picture).write_bytes(plain_jpeg())
    with pytest.raises(BadFilesError, match=r"1 bad file.*\n.*\.xml: is for the image that .*\.xml is for"):
        convert(root, tmp_path / "out")


def test_a_picture_whose_own_annotation_has_its_other_unicode_form_is_not_given_away(tmp_path: Path) -> None:
    samples = {NFD: sample("dog", picture=None), "a": sample("cat", picture=None, filename=f"{NFC}.jpg")}
    root = write_devkit(tmp_path / "VOC", samples)
    (root / f"JPEGImages/{NFC}.jpg").write_bytes(plain_jpeg())
    report = convert(root, tmp_path / "out", on_error="skip")
    assert labels_of(read_examples(tmp_path / "out")) == {NFD: ["dog"]}
    (bad,) = report.skipped
    assert bad.path.endswith("a.xml") and f"is that of {NFD}.xml" in bad.reason


def test_twin_pictures_are_told_apart_by_filename_or_refused(tmp_path: Path) -> None:
    root = write_devkit(
        tmp_path / "VOC", {"twin": sample("dog", picture=encode(draw_quarters(), "PNG"), suffix=".png")}
    )
    (root / "JPEGImages/twin.jpg").write_bytes(plain_jpeg())
    report = convert(root, tmp_path / "out")
    assert read_examples(tmp_path / "out")["twin"]["image/filename"] == [b"twin.png"]
    assert "twin.jpg" in list(report.warnings)[-1].text
    (root / "Annotations/twin.xml").write_text(annotation_xml("dog"))
    with pytest.raises(BadFilesError, match="twin.xml: several images have its stem: twin.jpg, twin.png"):
        convert(root, tmp_path / "out2")


def test_two_annotations_of_one_stem_are_refused(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", {"a": sample("dog"), "b": sample("cat")})
    (root / "Annotations/a.XML").write_text(annotation_xml("cat"))
    with pytest.raises(BadFilesError, match="several annotations of one stem: a.XML, a.xml; keep one"):
        convert(root, tmp_path / "out")


# P2

BAD = {
    "ghost": sample("dog", picture=None),
    "cut_xml": sample(xml=annotation_xml("dog")[:80]),
    "unknown": sample("unicorn"),
    "empty_xml": sample(xml=b" "),
    "empty_jpg": sample("dog", picture=b"\n"),
    "cut_jpg": sample("dog", picture=encode(draw_noise(), "JPEG")[:1500]),
    "html": sample("dog", picture=b"<html>404</html>"),
}
GOOD = {"good1": sample("dog"), "good2": sample("cat")}


def test_all_bad_files_are_named_in_one_run_and_nothing_is_written(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", GOOD | BAD)
    with pytest.raises(BadFilesError) as caught:
        convert(root, tmp_path / "deep/out")
    lines = str(caught.value).splitlines()
    assert lines[0] == "7 bad files, nothing was written:"
    assert "--on_error=skip" in lines[-1]
    for name in (
        "ghost.xml",
        "cut_xml.xml",
        "unknown.xml",
        "empty_xml.xml",
        "empty_jpg.jpg",
        "cut_jpg.jpg",
        "html.jpg",
    ):
        assert sum(f"{root}/" in line and f"/{name}: " in line for line in lines) == 1, name
    assert sorted(os.listdir(tmp_path)) == ["VOC"]


def test_skipping_goes_on_without_bad_files_and_records_them(tmp_path: Path) -> None:
    report, examples = convert_samples(tmp_path, GOOD | BAD, on_error="skip")
    assert labels_of(examples) == {"good1": ["dog"], "good2": ["cat"]}
    manifest = read_manifest(tmp_path / "out")
    assert manifest.splits["all"].num_examples == 2 and sum(manifest.splits["all"].positives.values()) == 2
    assert [entry["path"] for entry in manifest.skipped] == [
        "Annotations/cut_xml.xml",
        "Annotations/empty_xml.xml",
        "Annotations/ghost.xml",
        "Annotations/unknown.xml",
        "JPEGImages/cut_jpg.jpg",
        "JPEGImages/empty_jpg.jpg",
        "JPEGImages/html.jpg",
    ]
    assert len(report.skipped) == 7
    assert str(tmp_path) not in (tmp_path / "out" / MANIFEST_NAME).read_text()  # the same set from anywhere


def test_skipping_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadFilesError, match="7 bad files, no good one is left(?s:.*)\nfix some of them$"):
        convert_samples(tmp_path, BAD, on_error="skip")
    assert not (tmp_path / "out").exists()


def test_a_name_that_is_no_utf_8_or_holds_a_line_break_is_a_bad_file(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", GOOD)
    for stem in (b"caf\xe9", b"two\nlines"):
        for folder, suffix, data in (("Annotations", b".xml", b"<annotation/>"), ("JPEGImages", b".jpg", plain_jpeg())):
            with open(os.path.join(os.fsencode(root / folder), stem + suffix), "wb") as file:
                file.write(data)
    report = convert(root, tmp_path / "out", on_error="skip")
    assert sorted(read_examples(tmp_path / "out")) == ["good1", "good2"]
    reasons = [err.path for err in report.skipped]
    assert len(reasons) == 2 and "caf\\udce9.xml" in reasons[0] and "two\\nlines.xml" in reasons[1]
    assert len(read_manifest(tmp_path / "out").skipped) == 2


# P3, P4


def test_a_picture_without_annotation_is_left_out_named_and_counted(tmp_path: Path) -> None:
    samples = GOOD | {
        "x": sample(xml=None),
        "y.v2": sample(xml=None, suffix=".PNG"),
        "z": sample(xml=None, suffix=".heic"),
    }
    report, examples = convert_samples(tmp_path, samples)
    assert sorted(examples) == ["good1", "good2"]
    assert kinds_of(report) == {"no image's suffix": 1, "picture without annotation": 2}
    texts = "\n".join(w.text for w in report.warnings)
    assert all(name in texts for name in ("JPEGImages/x.jpg", "JPEGImages/y.v2.PNG", "JPEGImages/z.heic"))


def test_an_annotation_without_objects_is_an_all_zero_example_and_counted(tmp_path: Path) -> None:
    report, examples = convert_samples(tmp_path, {"none": sample(), "one": sample("dog")})
    assert examples["none"]["image/class/multi_hot"] == examples["none"]["image/class/ignore"] == [0] * 20
    assert report.manifest.splits["all"].num_unlabelled == 1


# P5, P6


def test_spelling_is_forgiven_and_counted(tmp_path: Path) -> None:
    samples = {"a": sample("Person", "DOG", "dog"), "b": sample(" TVmonitor ")}
    report, examples = convert_samples(tmp_path, samples)
    assert labels_of(examples) == {"a": ["dog", "person"], "b": ["tvmonitor"]}
    assert kinds_of(report) == {"class name spelt differently": 3}


def test_a_class_list_of_ones_own_decides_names_and_order(tmp_path: Path) -> None:
    samples = {"a": sample("nut"), "b": sample("Bolt", difficult("nut"))}
    report, examples = convert_samples(tmp_path, samples, classes=("nut", "bolt", "rivet"))
    assert examples["a"]["image/class/multi_hot"] == [1, 0, 0]
    assert examples["b"]["image/class/multi_hot"] == [1, 1, 0] and examples["b"]["image/class/ignore"] == [1, 0, 0]
    assert examples["b"]["image/object/class/label"] == [2, 1]
    assert report.manifest.classes == ("nut", "bolt", "rivet")


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


# P10

TEN = {f"im{k}": sample("dog" if k % 2 else "cat") for k in range(10)}


def test_official_lists_decide_who_is_where(tmp_path: Path) -> None:
    lists = {"train": ["im0", "im1  1"], "val": ["im2.jpg"], "trainval": ["im0", "im1", "im2"], "test": ["im3"]}
    root = write_devkit(tmp_path / "VOC", TEN, lists)
    convert(root, tmp_path / "out", splits=("train", "val", "trainval", "test"))
    found = {name: sorted(ids) for name, ids in ids_of(tmp_path / "out").items()}
    assert found == {"train": ["im0", "im1"], "val": ["im2"], "trainval": ["im0", "im1", "im2"], "test": ["im3"]}
    assert list(found) == ["train", "val", "trainval", "test"]


def test_an_id_in_two_lists_an_unknown_one_and_an_empty_list_are_refused(tmp_path: Path) -> None:
    lists = {"train": ["im0", "im1"], "val": ["im1", "im2"], "bad": ["im9", "nobody"], "empty": [], "lone": ["pic"]}
    root = write_devkit(tmp_path / "VOC", TEN | {"pic": sample(xml=None)}, lists)
    for splits, message in (
        (("train", "val"), "1 image is in split 'train' and in 'val' .im1"),
        (("bad",), "bad.txt: names 1 ids .*: nobody"),
        (("train", "empty"), "empty.txt holds no id"),
        (("lone",), "none of the images in .*lone.txt has a file in .*Annotations"),
        (("train", "train"), "names a list twice"),
        (("train/x",), "split name 'train/x'"),
    ):
        with pytest.raises(ValueError, match=message):
            convert(root, tmp_path / "out", splits=splits)
    with pytest.raises(FileNotFoundError, match="no .*Main/test.txt; lists there: .*train, val"):
        convert(root, tmp_path / "out", splits=("test",))
    assert not (tmp_path / "out").exists()


def test_a_listed_picture_without_annotation_is_left_out_and_counted(tmp_path: Path) -> None:
    root = write_devkit(
        tmp_path / "VOC", TEN | {"pic": sample(xml=None), "far": sample(xml=None)}, {"train": ["im0", "pic"]}
    )
    report = convert(root, tmp_path / "out", splits=("train",))
    assert ids_of(tmp_path / "out") == {"train": ("im0",)}
    assert kinds_of(report) == {"picture without annotation": 2, "annotation in no list": 9}
    texts = [notice.text for notice in report.warnings]
    assert any(
        "im1.xml is in no list that is used (train); left out: --splits=none takes all" in text for text in texts
    )


def test_splits_none_takes_all_annotations_whatever_the_lists(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN, {"trainval": ["im0", "im1"]})
    report = convert(root, tmp_path / "some")
    assert report.num_examples == 2 and kinds_of(report) == {"annotation in no list": 8}
    report = convert(root, tmp_path / "all", splits=("none",))
    assert report.num_examples == 10 and kinds_of(report) == {}
    assert report.manifest.options["splits"] == ["none"]


def test_a_list_of_a_whole_release_is_an_error_or_goes_on_with_what_is_there(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN, {"train": [*TEN, *(f"x{k}" for k in range(30))]})
    with pytest.raises(ValueError, match="names 30 ids with neither .*x0, x1, .*and 20 more.*skip.*splits=none"):
        convert(root, tmp_path / "out", splits=("train",))
    report = convert(root, tmp_path / "out", splits=("train",), on_error="skip")
    assert report.num_examples == 10 and "names 30 ids" in report.manifest.skipped[0]["reason"]


def flat(folder: Path, names: dict[str, str]) -> None:
    """Writes annotations beside their images into one folder."""
    root = write_devkit(folder.with_name(f"{folder.name}_kit"), {stem: sample(name) for stem, name in names.items()})
    folder.mkdir(parents=True)
    for path in [*(root / "Annotations").iterdir(), *(root / "JPEGImages").iterdir()]:
        path.rename(folder / path.name)
    shutil.rmtree(root)


def test_annotations_beside_their_images_in_one_folder(tmp_path: Path) -> None:
    flat(tmp_path / "own", {"a": "dog", "b": "cat"})
    assert convert(tmp_path / "own", tmp_path / "out").num_examples == 2
    assert convert(tmp_path, tmp_path / "again").num_examples == 2  # the only one below what was given


def test_roboflows_folders_are_the_splits(tmp_path: Path) -> None:
    for split, names in (("train", {"a": "dog", "b": "cat"}), ("valid", {"c": "cow"}), ("test", {"d": "bus"})):
        flat(tmp_path / "own" / split, names)
    report = build_records(tmp_path / "own", tmp_path / "out", num_workers=1)
    assert {split: set(ids) for split, ids in ids_of(tmp_path / "out").items()} == {
        "train": {"a", "b"},
        "val": {"c"},
        "test": {"d"},
    }
    assert kinds_of(report) == {}
    mixed = convert(tmp_path / "own", tmp_path / "mixed", split_ratios="train=0.5,val=0.5")
    assert {name: split.num_examples for name, split in mixed.manifest.splits.items()} == {"train": 2, "val": 2}
    flat(tmp_path / "twice" / "train", {"a": "dog"})
    flat(tmp_path / "twice" / "test", {"a": "dog"})
    with pytest.raises(ValueError, match="several annotations of one stem: a.xml, a.xml"):
        convert(tmp_path / "twice", tmp_path / "none")


def test_folders_of_other_names_are_found_or_named(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", {"a": sample("dog")})
    (root / "Annotations").rename(root / "annotations")
    (root / "JPEGImages").rename(root / "Images")
    assert convert(root, tmp_path / "case").num_examples == 1
    (root / "annotations").rename(root / "labels")
    (root / "Images").rename(root / "photos")
    with pytest.raises(FileNotFoundError, match="others are named by --annotations_dir and --images_dir"):
        convert(root, tmp_path / "none")
    report = convert(root, tmp_path / "named", annotations_dir="labels", images_dir="photos")
    assert report.num_examples == 1
    outside = convert(
        tmp_path, tmp_path / "outside", annotations_dir=str(root / "labels"), images_dir=str(root / "photos")
    )
    assert outside.num_examples == 1


def test_stem_and_image_that_differ_in_case_only(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", {"0af": sample("dog")})
    (root / "JPEGImages" / "0af.jpg").rename(root / "JPEGImages" / "0AF.jpg")
    report = convert(root, tmp_path / "out")
    assert kinds_of(report) == {"picture differs in case": 1}
    shutil.copy(root / "JPEGImages" / "0AF.jpg", root / "JPEGImages" / "0Af.jpg")
    with pytest.raises(ValueError, match="0af.xml: no image 0af.jpg"):
        convert(root, tmp_path / "two")


def test_files_outside_the_lists_are_not_looked_at(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN | {"broken": sample(xml=b"<")}, {"train": ["im0"]})
    convert(root, tmp_path / "out", splits=("train",))


def test_ratios_deal_out_trainval_where_there_is_one_and_else_all(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN)
    convert(root, tmp_path / "all", split_ratios=None)
    assert {name: len(ids) for name, ids in ids_of(tmp_path / "all").items()} == {"train": 7, "val": 2, "test": 1}
    write_devkit(root, {}, {"trainval": [f"im{k}" for k in range(5)]})
    convert(root, tmp_path / "some", split_ratios="train=0.6,val=0.4")
    found = ids_of(tmp_path / "some")
    assert {name: len(ids) for name, ids in found.items()} == {"train": 3, "val": 2}
    assert sorted(sum(found.values(), ())) == [f"im{k}" for k in range(5)]
    write_devkit(root, {"pic": sample(xml=None)}, {"trainval": ["pic"]})
    with pytest.raises(ValueError, match="none of the images in .*trainval.txt has a file"):
        convert(root, tmp_path / "none")


def test_a_tar_gives_the_records_of_its_folder(tmp_path: Path) -> None:
    root = write_devkit(
        tmp_path / "VOCdevkit/VOC2012", TEN | {"bad": sample("dog", picture=b"x")}, {"trainval": [*TEN, "bad"]}
    )
    tar = shutil.make_archive(str(tmp_path / "voc"), "tar", tmp_path, "VOCdevkit")
    convert(root, tmp_path / "from_folder", on_error="skip")
    convert(Path(tar), tmp_path / "from_tar", on_error="skip")
    assert files_in(tmp_path / "from_tar") == files_in(tmp_path / "from_folder")


# The same input and options give the same bytes.


def test_neither_place_nor_directory_order_nor_links_change_a_byte(tmp_path: Path) -> None:
    first = write_devkit(tmp_path / "a/VOC", TEN)
    convert(first, tmp_path / "out1", split_ratios=None)
    second = tmp_path / "b/elsewhere"
    names = [str(path.relative_to(first)) for path in first.rglob("*.*")]
    random.Random(1).shuffle(names)
    for name in names:
        (second / name).parent.mkdir(parents=True, exist_ok=True)
        (second / name).symlink_to(first / name)
    convert(second, tmp_path / "out2", split_ratios=None)
    assert files_in(tmp_path / "out1") == files_in(tmp_path / "out2")


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


def test_the_seed_decides_split_and_order_and_more_images_do_not_reorder_the_others(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN)
    orders = []
    for seed in (0, 0, 1):
        convert(root, tmp_path / "out", seed=seed, overwrite=True)
        orders.append(ids_of(tmp_path / "out")["all"])
    assert orders[0] == orders[1] != orders[2] and sorted(orders[0]) == sorted(orders[2])
    write_devkit(root, {"more": sample("dog")})
    convert(root, tmp_path / "out", overwrite=True)
    assert tuple(i for i in ids_of(tmp_path / "out")["all"] if i != "more") == orders[0]


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


# Never half done


def test_another_data_set_is_refused_before_the_pictures_are_read(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN)
    convert(root, tmp_path / "out")
    before = files_in(tmp_path / "out")
    (root / "JPEGImages/im0.jpg").write_bytes(b"would be found bad")
    for options in (
        {"seed": 1},
        {"num_shards": 2},
        {"split_ratios": None},
        {"store": "resized"},
        {"classes": ["dog", "cat"]},
    ):
        with pytest.raises(ValueError, match="out holds another data set .*; add --overwrite"):
            convert(root, tmp_path / "out", **options)
    write_devkit(root, {"im1": sample("cow")})
    with pytest.raises(ValueError, match="holds another data set"):
        convert(root, tmp_path / "out")
    assert files_in(tmp_path / "out") == before


def test_other_pictures_under_the_same_names_are_another_data_set(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN)
    convert(root, tmp_path / "out")
    before = files_in(tmp_path / "out")
    (root / "JPEGImages/im0.jpg").write_bytes(plain_jpeg((9, 9, 9)))
    with pytest.raises(ValueError, match="holds another data set"):
        convert(root, tmp_path / "out")
    assert files_in(tmp_path / "out") == before
    convert(root, tmp_path / "out", overwrite=True)
    assert files_in(tmp_path / "out") != before


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_file_that_became_bad_is_named_whatever_out_dir_holds(tmp_path: Path, dry_run: bool) -> None:
    root = write_devkit(tmp_path / "VOC", {"a": sample("dog"), "b": sample("cat")})
    convert(root, tmp_path / "out")
    (root / "Annotations/b.xml").write_text("<annotation>")
    with pytest.raises(BadFilesError, match=r"1 bad file, nothing was written:\n.*b\.xml"):
        convert(root, tmp_path / "out", dry_run=dry_run)


def test_the_same_data_set_is_accepted_and_mended(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN | {"bad": sample("dog", picture=b"x")})
    convert(root, tmp_path / "out", on_error="skip")
    before = files_in(tmp_path / "out")
    shard = tmp_path / "out/voc-all-00000-of-00001.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-1])
    convert(root, tmp_path / "out", on_error="skip")
    assert files_in(tmp_path / "out") == before


def test_overwriting_with_bad_files_leaves_the_old_set_usable(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN)
    convert(root, tmp_path / "out")
    before = files_in(tmp_path / "out")
    write_devkit(root, {"bad": sample("dog", picture=b"x")})
    with pytest.raises(BadFilesError):
        convert(root, tmp_path / "out", overwrite=True)
    assert files_in(tmp_path / "out") == before
    assert open_split(find_source(tmp_path / "out", "all")).num_examples == 10


def test_fewer_shards_leave_none_of_the_old_ones(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN)
    convert(root, tmp_path / "out", num_shards=5)
    convert(root, tmp_path / "out", num_shards=2, overwrite=True)
    convert(root, tmp_path / "fresh", num_shards=2)
    assert files_in(tmp_path / "out") == files_in(tmp_path / "fresh")


def test_a_foreign_manifest_is_refused(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / MANIFEST_NAME).write_text('{"name": "web app"}')
    with pytest.raises(ValueError, match="holds a manifest.json that is not of these records .*--overwrite"):
        convert(root, tmp_path / "out")


def test_a_dry_run_without_out_dir_does_not_look_at_the_current_folder(tmp_path: Path, monkeypatch) -> None:
    convert(write_devkit(tmp_path / "VOC", GOOD), tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")  # of another data set
    assert convert(write_devkit(tmp_path / "VOC2", TEN), "", dry_run=True).num_examples == 10


def test_a_dry_run_reports_the_same_and_writes_nothing(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", TEN | {"bad": sample("dog", picture=b"x"), "lone": sample(xml=None)})
    with pytest.raises(BadFilesError) as dry:
        convert(root, "", dry_run=True)
    with pytest.raises(BadFilesError) as real:
        convert(root, tmp_path / "out")
    assert str(dry.value) == str(real.value)
    dry_report = convert(root, tmp_path / "out", dry_run=True, on_error="skip", num_shards=2)
    assert sorted(os.listdir(tmp_path)) == ["VOC"]
    report = convert(root, tmp_path / "out", on_error="skip", num_shards=2)
    assert not dry_report.written and report.written
    assert (list(dry_report.warnings), list(map(str, dry_report.skipped))) == (
        list(report.warnings),
        list(map(str, report.skipped)),
    )
    for name, split in report.manifest.splits.items():
        dry_split = dry_report.manifest.splits[name]
        assert [s.num_bytes for s in dry_split.shards] == [s.num_bytes for s in split.shards]
        assert (dry_split.num_examples, dry_split.positives) == (split.num_examples, split.positives)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_shards": 0}, "--num_shards=0: it must be at least 1"),
        ({"num_workers": -1}, "--num_workers=-1"),
        ({"store_size": 0, "store": "resized"}, "--store_size=0"),
        ({"max_pixels": 0}, "--max_pixels=0"),
        ({"on_error": "ignore"}, "--on_error=ignore: it is one of fail, skip"),
        ({"store": "small"}, "--store=small: it is one of original, resized"),
        ({"classes": []}, "class list is empty"),
        ({"classes": ["dog", "Dog"]}, "names a class twice"),
        ({"splits": ["train"], "split_ratios": "train=1"}, "exclude each other"),
        ({"split_ratios": "train=0.5"}, "add up to 0.5"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_read(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_records(tmp_path / "nowhere", tmp_path / "out", **options)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    root = write_devkit(tmp_path / "VOC", GOOD)
    with pytest.raises(ValueError, match="--out_dir is empty"):
        convert(root, "")


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space|File too large"):
        _convert_with_a_file_size_limit(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["VOC"]


def _convert_with_a_file_size_limit(tmp_path: Path) -> None:
    """The kernel's limit on file sizes stands in for a full disk: write() fails in the middle of a part."""
    import resource
    import signal

    root = write_devkit(
        tmp_path / "VOC", {f"im{k}": sample("dog", picture=encode(draw_noise(), "JPEG")) for k in range(40)}
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
    try:
        convert(root, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_unknown_classes_are_all_named_with_counts_and_the_way_on(tmp_path: Path) -> None:
    samples = {"a": sample("helmet", "vest", "helmet"), "b": sample("helmet"), "c": sample("dog"), "d": sample("qqqq")}
    root = write_devkit(tmp_path / "VOC", samples)
    with pytest.raises(ValueError) as caught:
        convert(root, tmp_path / "out")
    text = str(caught.value)
    assert "unknown classes, with their objects: 'helmet' (3), 'vest' (1), 'qqqq' (1)\n--classes=auto takes" in text
    assert "nearest known" not in next(line for line in text.splitlines() if "'qqqq'" in line and "d.xml" in line)


def test_classes_auto_takes_the_names_that_occur(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    samples = {"a": sample("vest", "Helmet"), "b": sample("helmet", "helmet"), "c": sample("qqqq")}
    root = write_devkit(tmp_path / "VOC", samples)
    with caplog.at_level("INFO"):
        report = convert(root, tmp_path / "out", classes="auto")
    assert report.manifest.classes == ("helmet", "qqqq", "vest")
    assert "--classes=auto: helmet (3), qqqq (1), vest (1)" in caplog.text
    assert report.manifest.splits["all"].positives == {"helmet": 2, "qqqq": 1, "vest": 1}
    with pytest.raises(ValueError, match="--classes=auto: no annotation in .* holds an object"):
        convert(write_devkit(tmp_path / "none", {"a": sample()}), tmp_path / "no", classes="auto")


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
