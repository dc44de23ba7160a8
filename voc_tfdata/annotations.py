"""One annotation file of a VOC devkit -> a frozen Annotation (lxml; no TensorFlow).

    annotation = parse_annotation(data, path="Annotations/a.xml", image_id="a", classes=VOC_CLASSES)

Only an object's own direct <name> is a label: <part>, <attributes>, <owner> and <actions> have names of their own.
Entities, DTDs and the network are off; the encoding comes from the XML, never from the locale.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lxml import etree

from voc_tfdata.devkit import BadFileError, Notice

_NOT_DIFFICULT = ("", "0", "unspecified", "false", "no", "none")
_DIFFICULT = ("1", "true", "yes")


@dataclass(frozen=True)
class AnnotatedObject:
    """One <object>. The box is as the file has it, in pixels: VOC counts them from 1, both ends included."""

    class_name: str  # as in the class list
    class_index: int  # in the class list, from 0
    box: tuple[float, float, float, float] | None  # xmin, ymin, xmax, ymax
    difficult: bool
    truncated: bool
    view: str  # <pose>


@dataclass(frozen=True)
class Annotation:
    """One annotation file."""

    image_id: str
    filename: str  # <filename>, stripped; a hint only
    width: int | None  # <size>, pixels
    height: int | None
    objects: tuple[AnnotatedObject, ...]
    warnings: tuple[Notice, ...]


def parse_annotation(data: bytes, *, path: str, image_id: str, classes: Sequence[str]) -> Annotation:
    """Returns the annotation that an XML file holds.

    Args:
      data: the file's bytes, in any encoding the XML declares.
      path: of the file, for messages.
      image_id: its stem.
      classes: the known class names; matched stripped and without regard to case.

    Raises:
      BadFileError: not well-formed, no <annotation>, entities, an object without a name or of an unknown class.
    """
    root = _parse_xml(data, path)
    if _tag(root) != "annotation":
        raise BadFileError(path, f"its root is <{_tag(root)}>, not <annotation>; is it an annotation?")
    objects = [child for child in root if _tag(child) == "object"]
    everywhere = sum(1 for element in root.iter() if _tag(element) == "object")
    if everywhere != len(objects):
        raise BadFileError(path, "an <object> lies deeper than directly in <annotation>; move it there")
    by_name = {name.casefold(): index for index, name in enumerate(classes)}
    warnings: list[Notice] = []
    parsed = []
    for element in objects:
        index = _class_of(element, by_name, classes, path, warnings)
        parsed.append(
            AnnotatedObject(
                class_name=classes[index],
                class_index=index,
                box=_box_of(element, classes[index], path, warnings),
                difficult=_is_set(element, "difficult", path, warnings),
                truncated=_is_set(element, "truncated", path, warnings),
                view=_text(element, "pose"),
            )
        )
    size = _child(root, "size")
    return Annotation(
        image_id=image_id,
        filename=_text(root, "filename"),
        width=_pixels(size, "width"),
        height=_pixels(size, "height"),
        objects=tuple(parsed),
        warnings=tuple(warnings),
    )


def _parse_xml(data: bytes, path: str) -> etree._Element:
    # A parser a call: they may not be shared between threads, and making one costs microseconds.
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    if not data.strip():
        raise BadFileError(path, "is empty; restore it, or remove it with its picture")
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as err:
        raise BadFileError(path, f"is not well-formed XML ({_reason(err)}); correct or remove it") from err
    dtd: Any = root.getroottree().docinfo.internalDTD
    if dtd is not None and any(True for _ in dtd.iterentities()):
        raise BadFileError(path, "declares XML entities, which are not read; write the text itself")
    if any(isinstance(element, etree._Entity) for element in root.iter()):
        raise BadFileError(path, "holds an XML entity, which is not read; write the text itself")
    return root


def _reason(err: Exception) -> str:
    """lxml ends its messages with '(<string>, line N)', which is its own name for the bytes, not the file's."""
    text = str(err).split(" (<string>")[0].split(" (line ")[0]
    position = getattr(err, "position", None)
    if position and "line" not in text:
        text += f", line {position[0]}, column {position[1]}"
    return text


def _class_of(
    element: etree._Element, by_name: dict[str, int], classes: Sequence[str], path: str, warnings: list[Notice]
) -> int:
    names = [_content(child) for child in element if _tag(child) == "name"]
    if len(names) != 1 or not names[0].strip():
        found = f"{len(names)} <name> elements" if len(names) != 1 else "an empty <name>"
        raise BadFileError(path, f"an <object> (line {element.sourceline}) has {found}; it needs one")
    name = names[0].strip()
    index = by_name.get(name.casefold())
    if index is None:
        near = difflib.get_close_matches(name.casefold(), by_name, n=1, cutoff=0.0)
        raise BadFileError(
            path,
            f"unknown class {name!r} (line {element.sourceline}; nearest known: {classes[by_name[near[0]]]!r}); "
            "correct it, or give your own class list with --classes",
        )
    if names[0] != classes[index]:
        text = f"{path}: class {names[0]!r} counted as {classes[index]!r}"
        warnings.append(Notice("class name spelt differently", text))
    return index


def _box_of(
    element: etree._Element, name: str, path: str, warnings: list[Notice]
) -> tuple[float, float, float, float] | None:
    box = _child(element, "bndbox")
    try:
        sides = [float(_text(box, side)) for side in ("xmin", "ymin", "xmax", "ymax")]
    except ValueError:
        sides = [math.nan]
    if not all(map(math.isfinite, sides)) or sides[0] > sides[2] or sides[1] > sides[3]:
        text = f"{path}: no usable <bndbox> for {name!r} (line {element.sourceline}); the label counts, the box is 0"
        warnings.append(Notice("no usable box", text))
        return None
    return (sides[0], sides[1], sides[2], sides[3])


def _is_set(element: etree._Element, flag: str, path: str, warnings: list[Notice]) -> bool:
    """VOC2007's and VOC2012's files hold 0 and 1; exporters also leave the element out or write 'Unspecified'."""
    text = _text(element, flag)
    value = text.casefold()
    if value in _DIFFICULT:
        return True
    if value in _NOT_DIFFICULT:
        return False
    try:
        return float(value) != 0
    except ValueError:
        warning = f"{path}: <{flag}> is {text!r} (line {element.sourceline}); counted as 0"
        warnings.append(Notice(f"<{flag}> is no 0 or 1", warning))
        return False


def _tag(element: etree._Element) -> str:
    """The element's name without namespace and without regard to case; exporters differ in both."""
    return element.tag.rsplit("}", 1)[-1].casefold() if isinstance(element.tag, str) else ""


def _child(element: etree._Element | None, tag: str) -> etree._Element | None:
    return next((child for child in element if _tag(child) == tag), None) if element is not None else None


def _text(element: etree._Element | None, tag: str) -> str:
    child = _child(element, tag)
    return _content(child).strip() if child is not None else ""


def _content(element: etree._Element) -> str:
    return "".join(map(str, element.itertext()))


def _pixels(size: etree._Element | None, side: str) -> int | None:
    try:
        return int(float(_text(size, side))) or None
    except (ValueError, OverflowError):
        return None
