"""One annotation file: labels, difficult flags, boxes and encodings come out as they are there, or it is named."""

from __future__ import annotations

import time

import pytest

from tests.devkit_fixture import annotation_xml, object_xml
from voc_tfdata.classes import VOC_CLASSES
from voc_tfdata.devkit.annotations import Annotation, parse_annotation
from voc_tfdata.devkit.source_files import BadFileError


def parse(xml: str | bytes, classes: tuple[str, ...] = VOC_CLASSES) -> Annotation:
    data = xml if isinstance(xml, bytes) else xml.encode()
    return parse_annotation(data, path="Annotations/a.xml", image_id="a", classes=classes)


def names(xml: str | bytes, classes: tuple[str, ...] = VOC_CLASSES) -> list[str]:
    return [o.class_name for o in parse(xml, classes).objects]


def test_a_whole_annotation_is_read() -> None:
    xml = annotation_xml("dog", object_xml("person", box=(1, 2.5, 30, 20), difficult="1"), filename=" a.jpg ")
    annotation = parse(xml)
    dog, person = annotation.objects
    assert (annotation.image_id, annotation.filename, annotation.width, annotation.height) == ("a", "a.jpg", 32, 24)
    assert (dog.class_name, dog.class_index, dog.difficult, dog.truncated, dog.view) == (
        "dog",
        11,
        False,
        False,
        "Left",
    )
    assert (person.class_index, person.box, person.difficult) == (14, (1.0, 2.5, 30.0, 20.0), True)
    assert annotation.warnings == ()


def test_an_annotation_without_objects_has_none() -> None:
    assert parse(annotation_xml()).objects == ()


@pytest.mark.parametrize(
    "inside",
    [
        "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>",
        "<attributes><attribute><name>train</name><value>1</value></attribute></attributes>",
        "<owner><name>dog</name></owner>",
        "<actions><jumping>1</jumping><name>cat</name></actions>",
        "<point><x>1</x></point><meta><name>sheep</name><difficult>1</difficult></meta>",
        "<part><part><name>cow</name></part><name>hand</name></part>",
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_only_an_objects_own_name_is_a_label(inside: str, first: bool) -> None:
    xml = object_xml("bus", inside=inside)
    if first:  # the trap before the object's own name
        xml = xml.replace(inside, "").replace("<object>", f"<object>{inside}")
    annotation = parse(annotation_xml(xml))
    assert [(o.class_name, o.box, o.difficult) for o in annotation.objects] == [("bus", (4, 6, 16, 12), False)]


def test_names_beside_the_objects_are_no_labels() -> None:
    beside = "<owner><name>dog</name></owner><source><annotation>cat</annotation></source><name>cow</name>"
    assert names(annotation_xml("bus").replace("<size>", f"{beside}<size>")) == ["bus"]


@pytest.mark.parametrize("name", ["Dog", "DOG", " dog", "dog\n", "\tdOg  ", "<![CDATA[dog]]>", "d<!-- x -->og"])
def test_class_names_match_stripped_and_without_regard_to_case(name: str) -> None:
    annotation = parse(annotation_xml(object_xml(name)))
    assert [o.class_name for o in annotation.objects] == ["dog"]
    spelt_otherwise = name not in ("<![CDATA[dog]]>", "d<!-- x -->og")
    assert [w.kind for w in annotation.warnings] == ["class name spelt differently"] * spelt_otherwise
    if spelt_otherwise:
        assert "Annotations/a.xml" in annotation.warnings[0].text and "'dog'" in annotation.warnings[0].text


@pytest.mark.parametrize(
    "name, nearest",
    [
        ("motorcycle", "motorbike"),
        ("tv", "tvmonitor"),
        ("peson", "person"),
        ("dining table", "diningtable"),
        ("狗", ""),
    ],
)
def test_an_unknown_class_is_named_with_file_value_nearest_class_and_remedy(name: str, nearest: str) -> None:
    with pytest.raises(BadFileError) as caught:
        parse(annotation_xml("dog", object_xml(name)))
    message = str(caught.value)
    assert message.startswith("Annotations/a.xml: unknown class ")
    assert name in message and "--classes" in message and "line 1" in message
    assert f"nearest known: '{nearest}'" in message if nearest else "nearest" not in message


def test_a_class_name_matches_in_either_unicode_form() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    assert names(annotation_xml(object_xml(decomposed)), (composed, "dog")) == [composed]
    assert names(annotation_xml(object_xml(composed)), ("dog", decomposed)) == [decomposed]


@pytest.mark.parametrize(
    "object_element, found",
    [
        ("<object></object>", "0 <name> elements"),
        ("<object><name/></object>", "an empty <name>"),
        ("<object><name>  </name></object>", "an empty <name>"),
        ("<object><name>dog</name><name>cat</name></object>", "2 <name> elements"),
        ("<object><part><name>head</name></part></object>", "0 <name> elements"),
    ],
)
def test_an_object_needs_exactly_one_name(object_element: str, found: str) -> None:
    with pytest.raises(BadFileError, match=f"a.xml: an <object> .*line 1.* has {found}; it needs one"):
        parse(annotation_xml(object_element))


@pytest.mark.parametrize("value", ["", "0", " 0 ", "Unspecified", "unspecified", "0.0", "false", "No", "nan"])
def test_difficult_that_is_empty_unspecified_or_0_is_not_difficult(value: str) -> None:
    annotation = parse(annotation_xml(object_xml("dog", difficult=value)))
    assert (annotation.objects[0].difficult, annotation.warnings) == (False, ())


@pytest.mark.parametrize("value", ["1", " 1\n", "1.0", "true", "True", "yes"])
def test_difficult_that_is_1_or_true_is_difficult(value: str) -> None:
    assert parse(annotation_xml(object_xml("dog", difficult=value))).objects[0].difficult


def test_a_missing_or_capitalised_difficult_element_is_read_as_meant() -> None:
    plain = object_xml("dog")
    missing = plain.replace("<difficult>0</difficult>", "")
    assert parse(annotation_xml(missing)).objects[0].difficult is False
    capital = plain.replace("<difficult>0</difficult>", "<Difficult>1</Difficult>")
    assert parse(annotation_xml(capital)).objects[0].difficult is True


def test_a_difficult_that_is_no_number_is_0_with_a_warning() -> None:
    annotation = parse(annotation_xml(object_xml("dog", difficult="maybe")))
    assert annotation.objects[0].difficult is False
    assert annotation.warnings[0].kind == "<difficult> is no 0 or 1" and "'maybe'" in annotation.warnings[0].text


@pytest.mark.parametrize(
    "box",
    ["", "<bndbox/>", "<bndbox><xmin>1</xmin><ymin>a</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>"]
    + [
        f"<bndbox><xmin>{a}</xmin><ymin>2</ymin><xmax>{b}</xmax><ymax>9</ymax></bndbox>"
        for a, b in ((9, 3), ("nan", 3), (1, "inf"))
    ],
)
def test_an_unusable_box_costs_no_label(box: str) -> None:
    annotation = parse(annotation_xml(f"<object><name>dog</name>{box}</object>"))
    assert [(o.class_name, o.box) for o in annotation.objects] == [("dog", None)]
    assert [w.kind for w in annotation.warnings] == ["no usable box"]


@pytest.mark.parametrize(
    "encoding, declared",
    [
        ("utf-8", None),
        ("utf-8", "UTF-8"),
        ("utf-8-sig", None),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "UTF-16"),
        ("utf-16", None),
        ("utf-16-le", "UTF-16LE"),
        ("gbk", "GBK"),
        ("gbk", "gb2312"),
        ("gb18030", "GB18030"),
        ("big5", "Big5"),
        ("shift_jis", "Shift_JIS"),
        ("euc-jp", "EUC-JP"),
    ],
)
def test_the_encoding_comes_from_the_xml(encoding: str, declared: str | None) -> None:
    word = "中大" if encoding[:2] in ("gb", "bi") else "日本"
    head = f"<?xml version='1.0' encoding='{declared}'?>\n" if declared else ""
    xml = annotation_xml(object_xml(word), "dog", filename=f"{word}.jpg", head=head).encode(encoding)
    annotation = parse(xml, (word, "dog"))
    assert [o.class_name for o in annotation.objects] == [word, "dog"]
    assert annotation.filename == f"{word}.jpg"


@pytest.mark.parametrize("encoding, declared", [("latin-1", "ISO-8859-1"), ("cp1252", "windows-1252")])
def test_western_encodings_come_from_the_xml(encoding: str, declared: str) -> None:
    head = f'<?xml version="1.0" encoding="{declared}"?>'
    xml = annotation_xml("dog", filename="für.jpg", head=head).encode(encoding)
    assert parse(xml).filename == "für.jpg"


def test_bytes_of_another_encoding_than_declared_are_an_error_not_a_guess() -> None:
    with pytest.raises(BadFileError, match="a.xml: is not well-formed XML .*line 1"):
        parse(annotation_xml("dog", filename="für.jpg").encode("latin-1"))
    with pytest.raises(BadFileError, match="a.xml: is not well-formed XML .*(martian|encoding)"):
        parse(annotation_xml("dog", head='<?xml version="1.0" encoding="martian"?>'))


def test_namespaces_capitals_comments_and_instructions_do_not_matter() -> None:
    xml = annotation_xml("dog").replace("<annotation>", '<Annotation xmlns="urn:x"><!-- c --><?php x?>', 1)
    xml = xml.replace("</annotation>", "</Annotation>").replace("<object>", "<Object>").replace("/object>", "/Object>")
    assert names(xml) == ["dog"]


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"", "is empty; restore it"),
        (b" \r\n ", "is empty"),
        (b"\0" * 512, "is not well-formed XML"),
        (b"<annotation><object>", "is not well-formed XML .*line 1"),
        (b"<annotation>Tom & Jerry</annotation>", "is not well-formed XML .*line 1, column 18"),
        (b"<annotation/><annotation/>", "is not well-formed XML"),
        (b"\xff\xd8\xff\xe0 an image", "is not well-formed XML"),
        (b"{}", "is not well-formed XML"),
        (b"<html><body>404</body></html>", "its root is <html>, not <annotation>"),
        (b"<annotations><object><name>dog</name></object></annotations>", "its root is <annotations>"),
    ],
)
def test_what_is_no_annotation_is_named_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(BadFileError, match=f"^Annotations/a.xml: {reason}"):
        parse(data)


def test_an_annotation_cut_off_at_any_byte_is_an_error() -> None:
    data = annotation_xml("dog", object_xml("cat")).encode()
    for k in range(len(data)):
        with pytest.raises(BadFileError, match="a.xml: is (empty|not well-formed)"):
            parse(data[:k])


def test_an_object_that_lies_deeper_is_an_error_and_not_lost() -> None:
    xml = annotation_xml("dog").replace("<object>", "<objects><object>").replace("</object>", "</object></objects>")
    with pytest.raises(BadFileError, match="an <object> lies deeper than directly in <annotation>"):
        parse(xml)


def test_entities_are_refused_and_never_read(tmp_path) -> None:
    canary = tmp_path / "canary.txt"
    canary.write_text("dog")
    external = f'<!DOCTYPE annotation [<!ENTITY x SYSTEM "file://{canary}">]>'
    inside = '<!DOCTYPE annotation [<!ENTITY x "dog">]>'
    parameter = f'<!DOCTYPE annotation [<!ENTITY % p SYSTEM "file://{canary}"> %p;]>'
    for head in (external, inside):
        with pytest.raises(BadFileError, match="a.xml: .*entit"):
            parse(annotation_xml(object_xml("&x;"), head=head))
    with pytest.raises(BadFileError, match="a.xml: .*entit"):
        parse(annotation_xml("cat", head=parameter))
    with pytest.raises(BadFileError, match="a.xml: .*[Ee]ntity"):
        parse(annotation_xml(object_xml("&x;")))


@pytest.mark.parametrize("where", ["<name>{}</name>", '<name id="{}">dog</name>'])
def test_an_entity_bomb_is_refused_at_once(where: str) -> None:
    levels = "".join(f'<!ENTITY b{k} "{f"&b{k - 1};" * 10}">' for k in range(1, 10))
    head = f'<!DOCTYPE annotation [<!ENTITY b0 "dog">{levels}]>'
    start = time.monotonic()
    with pytest.raises(BadFileError, match="a.xml: "):
        parse(f"{head}<annotation><object>{where.format('&b9;')}</object></annotation>")
    assert time.monotonic() - start < 60  # written out it is 3 GB


def test_an_external_dtd_is_not_fetched_and_harms_nothing() -> None:
    head = '<!DOCTYPE annotation SYSTEM "http://192.0.2.1/voc.dtd">'  # RFC 5737: an address nobody has
    start = time.monotonic()
    assert names(annotation_xml("dog", head=head)) == ["dog"]
    assert time.monotonic() - start < 30  # a connection to that address takes two minutes to fail


def test_characters_and_the_five_built_in_entities_are_text() -> None:
    assert names(annotation_xml(object_xml("&#100;og")), ("dog",)) == ["dog"]
    assert names(annotation_xml(object_xml("R&amp;D")), ("R&D",)) == ["R&D"]


def notices_of(*objects: str) -> tuple[Annotation, list[tuple[str, str]]]:
    found = parse_annotation(annotation_xml(*objects).encode(), path="a.xml", image_id="a", classes=("dog", "cat"))
    return found, [(notice.kind, notice.text) for notice in found.warnings]


def test_a_box_without_area_is_told_with_its_line_and_the_label_stays() -> None:
    found, notices = notices_of(object_xml("dog", box=(5, 5, 5, 9)))
    assert [o.class_name for o in found.objects] == ["dog"]
    assert notices == [
        (
            "box without area",
            "a.xml: the <bndbox> of 'dog' (line 1) has no area; the label counts, the box stays as it is",
        )
    ]


def test_repeated_elements_are_told_and_the_first_is_used() -> None:
    twice = "<object><name>dog</name><difficult>1</difficult><difficult>0</difficult>"
    twice += "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox>"
    twice += "<bndbox><xmin>3</xmin><ymin>3</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></object>"
    found, notices = notices_of(twice)
    assert found.objects[0].difficult and found.objects[0].box == (1, 1, 2, 2)
    assert [kind for kind, _ in notices] == ["repeated element"] * 2
    assert notices[0][1] == "a.xml: 2 <bndbox> (line 1); the first is used"


def test_an_object_marked_deleted_becomes_no_label() -> None:
    found, notices = notices_of("<object><name>unicorn</name><deleted>1</deleted></object>", object_xml("dog"))
    assert [o.class_name for o in found.objects] == ["dog"]
    assert notices[0][0] == "deleted object" and "line 1" in notices[0][1]


def test_the_box_around_a_polygon_is_used() -> None:
    points = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in ((3, 9), (7, 2), (5, 5)))
    found, notices = notices_of(f"<object><name>cat</name><deleted>0</deleted><polygon>{points}</polygon></object>")
    assert found.objects[0].box == (3, 2, 7, 9) and notices[0][0] == "polygon"
    found, notices = notices_of("<object><name>cat</name><polygon><pt><x>a</x></pt></polygon></object>")
    assert found.objects[0].box is None and notices[0][0] == "no usable box"
