"""What manifest.json may hold, field by field: a manifest is untrusted input, wherever it comes from.

    check_fields(json.loads(text))      # ValueError: "splits.train.shards[0].file is '../../a'; ..."

Names of files are one path component of a safe alphabet, so no manifest can lead out of its folder. Numbers are whole,
in range, and add up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_FILE_NAME = re.compile(r"[\w][\w .+,@=()\[\]-]*", re.UNICODE)  # no slash, no leading dot, no control character
_SPLIT_NAME = re.compile(r"[\w.-]+", re.UNICODE)
_HEX = re.compile(r"[0-9a-f]+")
_MAX_NAME = 200  # characters
_MAX_NUMBER = 2**53  # whole numbers up to here survive every JSON reader
_FRAME_BYTES = 16  # of a TFRecord frame around its payload
_RESERVED = "manifest.json"

_TOP = ("classes", "seed", "options", "splits", "skipped", "warnings", "package_version", "schema_version")
_SPLIT = (
    "num_examples",
    "shards",
    "ids_file",
    "ids_crc32c",
    "positives",
    "ignores",
    "num_objects",
    "num_unlabelled",
)
_SHARD = ("file", "num_examples", "num_bytes", "crc32c")


def check_fields(fields: Any) -> None:
    """Raises ValueError, naming the field, unless these are the fields of a sound manifest of schema version 1."""
    _object(fields, "it", _TOP, optional=("checksum",))
    if _number(fields["schema_version"], "schema_version") != 1:
        raise ValueError(f"schema_version is {fields['schema_version']}; it must be 1")
    classes = _list(fields["classes"], "classes")
    for number, name in enumerate(classes):
        _text(name, f"classes[{number}]", filled=True)
    if not classes or len(set(classes)) < len(classes):
        raise ValueError("classes is empty or names one twice")
    _number(fields["seed"], "seed", lowest=-_MAX_NUMBER)
    _text(fields["package_version"], "package_version")
    _object(fields["options"], "options")
    files: set[str] = {_RESERVED}
    for name, split in _object(fields["splits"], "splits").items():
        where = f"splits.{name}"
        if not _SPLIT_NAME.fullmatch(name) or len(name) > _MAX_NAME:
            raise ValueError(f"splits has the name {name[:_MAX_NAME]!r}; letters, digits, '_', '.' and '-' only")
        _check_split(split, where, classes, files)
    for number, skipped in enumerate(_list(fields["skipped"], "skipped")):
        for key, value in _object(skipped, f"skipped[{number}]", ("path", "reason")).items():
            _text(value, f"skipped[{number}].{key}")
    for kind, count in _object(fields["warnings"], "warnings").items():
        _number(count, f"warnings.{kind}")


def _check_split(split: Any, where: str, classes: list[str], files: set[str]) -> None:
    _object(split, where, _SPLIT)
    total = _number(split["num_examples"], f"{where}.num_examples")
    _number(split["num_objects"], f"{where}.num_objects")
    _number(split["num_unlabelled"], f"{where}.num_unlabelled", highest=total)
    _file(split["ids_file"], f"{where}.ids_file", files)
    _checksum(split["ids_crc32c"], f"{where}.ids_crc32c", 8)
    for key in ("positives", "ignores"):
        counts = _object(split[key], f"{where}.{key}", tuple(classes))
        for name, count in counts.items():
            _number(count, f"{where}.{key}.{name}", highest=total)
    found = 0
    for number, shard in enumerate(_list(split["shards"], f"{where}.shards")):
        here = f"{where}.shards[{number}]"
        _object(shard, here, _SHARD)
        _file(shard["file"], f"{here}.file", files)
        _checksum(shard["crc32c"], f"{here}.crc32c", 8)
        found += (examples := _number(shard["num_examples"], f"{here}.num_examples", lowest=1))
        _number(shard["num_bytes"], f"{here}.num_bytes", lowest=examples * _FRAME_BYTES)
    if found != total:
        raise ValueError(f"{where}.num_examples is {total}, its shards hold {found}")


def _file(value: Any, where: str, files: set[str]) -> None:
    name = _text(value, where, filled=True)
    if not _FILE_NAME.fullmatch(name):
        raise ValueError(f"{where} is {name!r}; it must be the name of a file in this folder")
    if name in files:
        raise ValueError(f"{where} is {name!r}, which is listed twice or reserved")
    files.add(name)


def _checksum(value: Any, where: str, digits: int) -> None:
    # A dry run, of which no shard is written, has none.
    if _text(value, where) and (not _HEX.fullmatch(value) or len(value) != digits):
        raise ValueError(f"{where} is {value!r}; it must be {digits} hexadecimal digits")


def _object(
    value: Any, where: str, keys: tuple[str, ...] | None = None, *, optional: tuple[str, ...] = ()
) -> Mapping[str, Any]:
    """Returns a JSON object that has exactly these keys."""
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {_kind(value)}, not an object")
    if keys is not None:
        missing = [key for key in keys if key not in value]
        unknown = [key for key in value if key not in keys and key not in optional]
        if missing or unknown:
            prefix = "" if where == "it" else f"{where}."
            raise ValueError(
                f"{prefix}{missing[0]} is missing" if missing else f"{prefix}{unknown[0][:_MAX_NAME]!r} is not known"
            )
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{where} is {_kind(value)}, not a list")
    return value


def _text(value: Any, where: str, *, filled: bool = False) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{where} is {_kind(value)}, not a text")
    if filled and not (value and len(value) <= _MAX_NAME and value.isprintable()):
        raise ValueError(f"{where} is {value[:_MAX_NAME]!r}; it must be 1 to {_MAX_NAME} printable characters")
    return value


def _number(value: Any, where: str, *, lowest: int = 0, highest: int = _MAX_NUMBER) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{where} is {_kind(value)}, not a whole number")
    if not lowest <= value <= highest:
        raise ValueError(f"{where} is {value}; it must be {lowest} to {highest}")
    return value


def _kind(value: Any) -> str:
    """Returns what a JSON value is, in words."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return "null" if value is None else "a text"
