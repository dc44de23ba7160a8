"""Annotations and their images: what pairs, what is a bad file, what is odd and told."""

from __future__ import annotations

import os
import shutil
import unicodedata
from pathlib import Path

import pytest

from tests.convert.converting import BAD, GOOD, convert, convert_samples, flat, kinds_of
from tests.devkit_fixture import (
    COLOURS,
    annotation_xml,
    difficult,
    draw_quarters,
    encode,
    is_close,
    labels_of,
    plain_jpeg,
    quarters_of,
    read_examples,
    sample,
    write_devkit,
)
from voc_tfdata.convert.shards import BadFilesError
from voc_tfdata.devkit.annotations import UnknownClassError
from voc_tfdata.devkit.source_files import BadFileError
from voc_tfdata.records.manifest import MANIFEST_NAME, read_manifest

# P1

NFC, NFD = unicodedata.normalize("NFC", "caf\u00e9"), unicodedata.normalize("NFD", "caf\u00e9")


def test_stems_pair_labels_and_pictures_whatever_filename_says(tmp_path: Path) -> None:
    samples = {
        "cam": sample("dog"),
        "cam.v2.001": sample("cat", filename="cam.jpg"),  # another's image
        "cam.v2.002": sample("bird", "person", filename=""),
        "end.": sample("sofa", filename="end"),
        "photo 5": sample("cow", filename="nowhere.png"),
        NFD: sample("boat", filename=f"{NFC}.jpg"),
        "was": sample("train", filename="was.PNG"),
        "was.v2": sample("horse", filename="was.v2"),
    }
    report, examples = convert_samples(tmp_path, samples)
    assert labels_of(examples) == {
        "cam": ["dog"],
        "cam.v2.001": ["cat"],
        "cam.v2.002": ["bird", "person"],
        "end.": ["sofa"],
        "photo 5": ["cow"],
        NFD: ["boat"],
        "was": ["train"],
        "was.v2": ["horse"],
    }
    for image_id, colour in zip(samples, COLOURS, strict=False):
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


def test_annotations_beside_their_images_in_one_folder(tmp_path: Path) -> None:
    flat(tmp_path / "own", {"a": "dog", "b": "cat"})
    assert convert(tmp_path / "own", tmp_path / "out").num_examples == 2
    assert convert(tmp_path, tmp_path / "again").num_examples == 2  # the only one below what was given


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


def test_unknown_classes_are_all_named_with_counts_and_the_way_on(tmp_path: Path) -> None:
    samples = {"a": sample("helmet", "vest", "helmet"), "b": sample("helmet"), "c": sample("dog"), "d": sample("qqqq")}
    root = write_devkit(tmp_path / "VOC", samples)
    with pytest.raises(ValueError) as caught:
        convert(root, tmp_path / "out")
    text = str(caught.value)
    assert "unknown classes, with their objects: 'helmet' (3), 'vest' (1), 'qqqq' (1)\n--classes=auto takes" in text
    assert "nearest known" not in next(line for line in text.splitlines() if "'qqqq'" in line and "d.xml" in line)


def test_objects_of_other_classes_can_be_left_out_and_are_told_of(tmp_path: Path) -> None:
    samples = {"a": sample("dog", "van", "dgo"), "b": sample("van"), "c": sample("cat")}
    root = write_devkit(tmp_path / "VOC", samples)
    report = convert(root, tmp_path / "out", classes=("dog", "cat"), other_classes="ignore")
    split = report.manifest.splits["all"]
    assert split.positives == {"dog": 1, "cat": 1} and split.num_objects == 2 and split.num_unlabelled == 1
    assert report.manifest.options["other_classes"] == "ignore"
    assert kinds_of(report) == {"object of another class": 3}
    told = sorted(notice.text for notice in report.warnings)
    assert [text.partition("Annotations/")[2] for text in told] == [
        "a.xml: unknown class 'dgo' (line 1; nearest known: 'dog'); left out",
        "a.xml: unknown class 'van' (line 1); left out",
        "b.xml: unknown class 'van' (line 1); left out",
    ]
    with pytest.raises(ValueError, match="--other_classes=ignore leaves out objects of other classes"):
        convert(root, tmp_path / "fail", classes=("dog", "cat"))
    with pytest.raises(ValueError, match="--other_classes=skip: it is one of fail, ignore"):
        convert(root, tmp_path / "fail", other_classes="skip")


def test_files_with_unknown_classes_are_named_up_to_twenty_and_all_others() -> None:
    unknown = [UnknownClassError(f"a{k:03}.xml", "unknown class 'van'", ("van",)) for k in range(150)]
    others = [BadFileError(f"b{k:03}.jpg", "is cut off") for k in range(30)]
    text = str(BadFilesError([*unknown, *others], "nothing was written", "fix them"))
    lines = text.splitlines()
    assert lines[0] == "180 bad files, nothing was written:"
    assert [line for line in lines if ".xml" in line] == [f"  {err}" for err in unknown[:20]]
    assert "  and 130 files more with unknown classes" in lines
    assert len([line for line in lines if ".jpg" in line]) == 30
    assert "unknown classes, with their objects: 'van' (150)" in text


def test_classes_auto_takes_the_names_that_occur(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    samples = {"a": sample("vest", "Helmet"), "b": sample("helmet", "helmet"), "c": sample("qqqq")}
    root = write_devkit(tmp_path / "VOC", samples)
    with caplog.at_level("INFO", logger="absl"):
        report = convert(root, tmp_path / "out", classes="auto")
    assert report.manifest.classes == ("helmet", "qqqq", "vest")
    assert "--classes=auto: helmet (3), qqqq (1), vest (1)" in caplog.text
    assert report.manifest.splits["all"].positives == {"helmet": 2, "qqqq": 1, "vest": 1}
    many = {f"d{k}": sample(*["dog", "car"] * 10) for k in range(2)} | {"e": sample("dgo", "cow", *["cat"] * 10)}
    with caplog.at_level("WARNING", logger="absl"):
        convert(write_devkit(tmp_path / "many", many), tmp_path / "typos", classes="auto")
    assert "--classes=auto: 'dgo' (1) is nearly 'dog' (20): if it is misspelt" in caplog.text
    assert "'cow' (1) is nearly" not in caplog.text and "'cat' (10) is nearly" not in caplog.text
    with pytest.raises(ValueError, match="--classes=auto: no annotation in .* holds an object"):
        convert(write_devkit(tmp_path / "none", {"a": sample()}), tmp_path / "no", classes="auto")
