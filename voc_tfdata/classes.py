"""The 20 class names of PASCAL VOC, and reading a user's own list."""

from collections.abc import Sequence
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
    """Returns the class names of a text file, one a line, in its order; blank lines do not count.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is not UTF-8, is empty, or names a class twice (case does not matter).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no class file {path}; --classes wants a text file with one class name a line")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as err:
        raise ValueError(f"{path} is not UTF-8 ({err.reason} at byte {err.start}); save it as UTF-8") from err
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise ValueError(f"{path} names no class; write one class name a line")
    seen: dict[str, str] = {}
    for name in names:
        if name.casefold() in seen:
            raise ValueError(f"{path} names {seen[name.casefold()]!r} and {name!r}: remove one of them")
        seen[name.casefold()] = name
    return names


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
