"""The 20 class names of PASCAL VOC, and reading a user's own list."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

# VOCinit.m of the development kit lists them in this order: alphabetical.
VOC_CLASSES: tuple[str, ...] = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


def read_classes(path: str | Path) -> tuple[str, ...]:
    """Returns the class names of a file, in its order.

    Read are: a name a line (also "0 dog", numbered from 0 or 1 in order), with # comments; label_map.pbtxt of the
    object-detection API; CVAT's labelmap.txt ("dog:255,0,0::", without its background); the `names:` of a data.yaml.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is not UTF-8, is empty, of none of these forms, or names a class twice (case does not
        matter).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no class file {path}; --classes wants a text file with one class name per line")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as err:
        raise ValueError(f"{path} is not UTF-8 ({err.reason} at byte {err.start}); save it as UTF-8") from err
    lines = [line.strip() for line in text.splitlines()]
    if any(re.match(r"item\s*\{", line) for line in lines):
        names = _names_of_label_map(text, path)
    elif path.suffix.lower() in (".yaml", ".yml") or any(re.match(r"names\s*:", line) for line in lines):
        names = _names_of_yaml(text, path)
    else:
        names = _names_of_lines([line for line in lines if line and not line.startswith("#")], path)
    if not names:
        raise ValueError(f"{path} names no class; write one class name per line")
    seen: dict[str, str] = {}
    for name in names:
        if not name.isprintable() or len(name) > 200:
            raise ValueError(f"{path} has the class {name[:100]!r}: 1 to 200 printable characters; correct it")
        if name.casefold() in seen:
            raise ValueError(f"{path} names {seen[name.casefold()]!r} and {name!r}: remove one of them")
        seen[name.casefold()] = name
    return tuple(names)


def _names_of_lines(lines: Sequence[str], path: Path) -> list[str]:
    if lines and all(re.fullmatch(r"[^:]+:[\d,\s]*:[^:]*:[^:]*", line) for line in lines):  # CVAT's labelmap.txt
        names = [line.partition(":")[0].strip() for line in lines]
        return [name for name in names if name.casefold() != "background"]
    numbered = [re.fullmatch(r"(\d+)[\s:,]+(.*\S)", line) for line in lines]
    if numbered and all(numbered):
        return _in_order({int(match[1]): match[2] for match in numbered if match}, len(lines), path)
    return list(lines)


def _names_of_label_map(text: str, path: Path) -> list[str]:
    """Returns the names of a label_map.pbtxt: item { id: 1 name: 'dog' }, ids from 1."""
    items = re.findall(r"item\s*\{([^}]*)\}", re.sub(r"#.*", "", text))
    numbers: dict[int, str] = {}
    for item in items:
        number = re.search(r"\bid\s*:\s*(\d+)", item)
        name = re.search(r"\b(?:display_)?name\s*:\s*(['\"])(.*?)\1", item)
        if not number or not name:
            raise ValueError(f"{path}: an item has no id or no name: {' '.join(item.split())[:100]!r}")
        numbers[int(number[1])] = name[2]
    return _in_order(numbers, len(items), path)


def _names_of_yaml(text: str, path: Path) -> list[str]:
    """Returns the `names:` of a data.yaml: [a, b], a list of "- a" lines, or "0: a" lines. Nothing else is read."""
    text = re.sub(r"(?m)(^|\s)#.*", "", text)
    if match := re.search(r"(?ms)^names\s*:\s*\[(.*?)\]", text):
        return [_unquote(part) for part in match[1].replace("\n", " ").split(",") if part.strip()]
    if match := re.search(r"(?m)^names\s*:[ \t]*\n((?:[ \t]*-[ \t]*\S.*\n?)+)", text + "\n"):
        return [_unquote(line.strip()[1:]) for line in match[1].splitlines() if line.strip()]
    if match := re.search(r"(?m)^names\s*:[ \t]*\n((?:[ \t]+\d+[ \t]*:.*\n?)+)", text + "\n"):
        pairs = [line.strip().partition(":") for line in match[1].splitlines() if line.strip()]
        return _in_order({int(number): _unquote(name) for number, _, name in pairs}, len(pairs), path)
    raise ValueError(f"{path} has no names: that can be read; write one class name per line into a text file")


def _unquote(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _in_order(numbers: Mapping[int, str], count: int, path: Path) -> list[str]:
    """Returns names by their numbers, which are 0, 1, 2 ... or 1, 2, 3 ..., each once."""
    found = sorted(numbers)
    if len(found) < count or found not in (list(range(count)), list(range(1, count + 1))):
        raise ValueError(f"{path} numbers its classes {found[:10]}; number them 0, 1, 2 ... or 1, 2, 3 ..., each once")
    return [numbers[number] for number in found]


def check_class_names(class_names: Sequence[str], num_classes: int) -> tuple[str, ...]:
    """Returns the names as a tuple.

    Raises:
      ValueError: there are not num_classes of them, or one comes twice.
    """
    names = tuple(class_names)
    if len(names) != num_classes:
        raise ValueError(
            f"{len(names)} class names for {num_classes} columns; pass class_names= in the order of the columns"
        )
    if len(set(names)) < len(names):
        raise ValueError(f"class_names has {next(n for n in names if names.count(n) > 1)!r} twice")
    return names
