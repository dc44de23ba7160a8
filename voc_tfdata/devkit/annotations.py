"""One annotation file of a VOC devkit -> a frozen Annotation (lxml; no TensorFlow).

    annotation = parse_annotation(data, path="Annotations/a.xml", image_id="a", classes=VOC_CLASSES)

Only an object's own direct <name> is a label: <part>, <attributes>, <owner> and <actions> have names of their own.
Entities, DTDs and the network are off; the encoding comes from the XML, never from the locale.
"""

from __future__ import annotations

import difflib
import functools
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lxml import etree

from voc_tfdata.devkit.source_files import BadFileError, Notice

_MAX_SHOWN = 100  # characters of a value in a message
_Parts = dict[str, list[etree._Element]]
_NOT_DIFFICULT = ("", "0", "unspecified", "false", "no", "none", "nan")
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


class UnknownClassError(BadFileError):
    """An annotation with objects of classes that are not in the list."""

    def __init__(self, path: str, what: str, class_names: tuple[str, ...]) -> None:
        super().__init__(path, f"{what}; correct it, or give your own class list with --classes")
        self.args = (path, what, class_names)  # what a copy in another process is made of
        self.what = what  # the first of them, and where
        self.class_names = class_names  # of each such object


def list_class_names(data: bytes, *, path: str) -> list[str]:
    """Returns the class name of every object of an annotation, stripped.

    Raises:
      BadFileError: as parse_annotation, but for unknown classes.
    """
    objects = [_children(element) for element in _children(_parse_xml(data, path)).get("object", [])]
    return [name for parts in objects if (name := _text(parts, "name")) and _text(parts, "deleted") != "1"]


def parse_annotation(
    data: bytes, *, path: str, image_id: str, classes: Sequence[str], ignore_others: bool = False
) -> Annotation:
    """Returns the annotation that an XML file holds.

    Args:
      data: the file's bytes, in any encoding the XML declares.
      path: of the file, for messages.
      image_id: its stem.
      classes: the known class names; matched stripped and without regard to case.
      ignore_others: objects of other classes are left out, with a warning, instead of an error.

    Raises:
      BadFileError: not well-formed, no <annotation>, entities, an object without a name or of an unknown class.
    """
    root = _parse_xml(data, path)
    if _tag(root) != "annotation":
        raise BadFileError(path, f"its root is <{_tag(root)}>, not <annotation>; is it an annotation?")
    parts = _children(root)
    objects = parts.get("object", [])
    everywhere = sum(1 for element in root.iter() if _tag(element) == "object")
    if everywhere != len(objects):
        raise BadFileError(path, "an <object> lies deeper than directly in <annotation>; move it there")
    warnings: list[Notice] = []
    size = _children(parts["size"][0]) if "size" in parts else {}
    _tell_repeated(parts, ("size",), path, "in <annotation>", warnings)
    parsed: list[AnnotatedObject] = []
    unknown: list[UnknownClassError] = []
    for element in objects:
        if _is_deleted(element):  # LabelMe keeps what was deleted
            text = f"{path}: an object (line {element.sourceline}) is marked deleted; left out"
            warnings.append(Notice("deleted object", text))
        else:
            try:
                parsed.append(_parse_object(element, tuple(classes), path, warnings))
            except UnknownClassError as err:
                unknown.append(err)
    if ignore_others:
        warnings += [Notice("object of another class", f"{path}: {err.what}; left out") for err in unknown]
    elif unknown:
        names = tuple(name for err in unknown for name in err.class_names)
        raise UnknownClassError(path, unknown[0].what, names)
    return Annotation(
        image_id=image_id,
        filename=_text(parts, "filename"),
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
        raise BadFileError(path, "is empty; restore it, or remove it with its image")
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as err:
        raise BadFileError(path, f"is not well-formed XML ({_reason(err)}); correct or remove it") from err
    dtd: Any = root.getroottree().docinfo.internalDTD
    if dtd is not None and any(True for _ in dtd.iterentities()):
        raise BadFileError(path, "declares XML entities, which are not read; write the text itself")
    if dtd is not None and any(isinstance(element, etree._Entity) for element in root.iter()):
        raise BadFileError(path, "holds an XML entity, which is not read; write the text itself")
    return root


def _reason(err: Exception) -> str:
    """lxml ends its messages with '(<string>, line N)', which is its own name for the bytes, not the file's."""
    text = str(err).split(" (<string>")[0].split(" (line ")[0]
    position = getattr(err, "position", None)
    if position and "line" not in text:
        text += f", line {position[0]}, column {position[1]}"
    return text


def _parse_object(
    element: etree._Element, classes: tuple[str, ...], path: str, warnings: list[Notice]
) -> AnnotatedObject:
    parts = _children(element)
    where = f"line {element.sourceline}"
    _tell_repeated(parts, ("bndbox", "difficult", "truncated"), path, where, warnings)
    index = _class_of(parts.get("name", []), classes, path, where, warnings)
    return AnnotatedObject(
        class_name=classes[index],
        class_index=index,
        box=_box_of(parts, classes[index], path, where, warnings),
        difficult=_is_set(parts, "difficult", path, where, warnings),
        truncated=_is_set(parts, "truncated", path, where, warnings),
        view=_text(parts, "pose"),
    )


def _tell_repeated(parts: _Parts, names: Sequence[str], path: str, where: str, warnings: list[Notice]) -> None:
    for name in names:
        if len(parts.get(name, ())) > 1:
            text = f"{path}: {len(parts[name])} <{name}> ({where}); the first is used"
            warnings.append(Notice("repeated element", text))


def _is_deleted(element: etree._Element) -> bool:
    return _text(_children(element), "deleted").casefold() in _DIFFICULT


def _class_of(
    names: list[etree._Element], classes: tuple[str, ...], path: str, where: str, warnings: list[Notice]
) -> int:
    text = _content(names[0]) if len(names) == 1 else ""
    name = text.strip()
    if not name:
        found = f"{len(names)} <name> elements" if len(names) != 1 else "an empty <name>"
        raise BadFileError(path, f"an <object> ({where}) has {found}; it needs one")
    by_name = _index_by_name(classes)
    folded = fold_class_name(name)
    index = by_name.get(folded)
    if index is None:
        near = [known for known in by_name if folded in known or known in folded]  # tv: tvmonitor
        near = near or difflib.get_close_matches(folded, by_name, n=1)
        hint = f"; nearest known: {classes[by_name[near[0]]]!r}" if near else ""
        shown = name if len(name) <= _MAX_SHOWN else f"{name[:_MAX_SHOWN]}..."
        raise UnknownClassError(path, f"unknown class {shown!r} ({where}{hint})", (name,))
    if text != classes[index]:
        warnings.append(Notice("class name spelt differently", f"{path}: class {text!r} counted as {classes[index]!r}"))
    return index


@functools.lru_cache(maxsize=8)
def _index_by_name(classes: tuple[str, ...]) -> dict[str, int]:
    return {fold_class_name(name): index for index, name in enumerate(classes)}


def fold_class_name(name: str) -> str:
    """Names that differ in case or in Unicode normal form only are one."""
    return unicodedata.normalize("NFC", name).casefold()


def _box_of(
    parts: _Parts, name: str, path: str, where: str, warnings: list[Notice]
) -> tuple[float, float, float, float] | None:
    box = _children(parts["bndbox"][0]) if "bndbox" in parts else {}
    if not box and "polygon" in parts:
        return _box_of_polygon(parts["polygon"][0], name, path, where, warnings)
    try:
        sides = [float(_text(box, side)) for side in ("xmin", "ymin", "xmax", "ymax")]
    except ValueError:
        sides = [math.nan]
    if not all(map(math.isfinite, sides)) or sides[0] > sides[2] or sides[1] > sides[3]:
        text = f"{path}: no usable <bndbox> for {name!r} ({where}); the label counts, the box is 0"
        warnings.append(Notice("no usable box", text))
        return None
    if sides[0] == sides[2] or sides[1] == sides[3]:
        text = f"{path}: the <bndbox> of {name!r} ({where}) has no area; the label counts, the box stays as it is"
        warnings.append(Notice("box without area", text))
    return (sides[0], sides[1], sides[2], sides[3])


def _box_of_polygon(
    polygon: etree._Element, name: str, path: str, where: str, warnings: list[Notice]
) -> tuple[float, float, float, float] | None:
    """Returns the box around the points of a polygon, as LabelMe writes it: <pt><x>..</x><y>..</y></pt>."""
    points = [_children(point) for point in _children(polygon).get("pt", [])]
    try:
        xs, ys = ([float(_text(point, side)) for point in points] for side in ("x", "y"))
    except ValueError:
        xs = ys = []
    if not xs or not all(map(math.isfinite, [*xs, *ys])):
        text = f"{path}: no usable <polygon> for {name!r} ({where}); the label counts, the box is 0"
        warnings.append(Notice("no usable box", text))
        return None
    warnings.append(Notice("polygon", f"{path}: {name!r} ({where}) is a polygon; the box around it is used"))
    return (min(xs), min(ys), max(xs), max(ys))


def _is_set(parts: _Parts, flag: str, path: str, where: str, warnings: list[Notice]) -> bool:
    """VOC2007's and VOC2012's files hold 0 and 1; exporters also leave the element out or write 'Unspecified'."""
    text = _text(parts, flag)
    value = text.casefold()
    if value in _DIFFICULT:
        return True
    if value in _NOT_DIFFICULT:
        return False
    try:
        return float(value) != 0
    except ValueError:
        warnings.append(Notice(f"<{flag}> is no 0 or 1", f"{path}: <{flag}> is {text!r} ({where}); counted as 0"))
        return False


def _children(element: etree._Element) -> _Parts:
    """Returns {tag: child elements}."""
    parts: _Parts = {}
    for child in element:
        parts.setdefault(_tag(child), []).append(child)
    return parts


def _tag(element: etree._Element) -> str:
    tag = element.tag
    return _fold_tag(tag) if isinstance(tag, str) else ""


@functools.lru_cache(maxsize=1024)
def _fold_tag(tag: str) -> str:
    """Returns an element's name without namespace and without regard to case; exporters differ in both."""
    return tag.rsplit("}", 1)[-1].casefold()


def _text(parts: _Parts, tag: str) -> str:
    """Returns the text of the first child of that name, stripped; "" where there is none."""
    return _content(parts[tag][0]).strip() if tag in parts else ""


def _content(element: etree._Element) -> str:
    return "".join(map(str, element.itertext())) if len(element) else str(element.text or "")


def _pixels(size: _Parts, side: str) -> int | None:
    try:
        return int(float(_text(size, side))) or None
    except (ValueError, OverflowError):
        return None
