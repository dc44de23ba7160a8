"""Unpacks the VOCdevkit/VOC{year} of an archive that nobody has to trust: all of it or nothing, over no other file.

folder = Path("data/VOCdevkit/VOC2007")
if find_missing(folder, "VOCtrainval_06-Nov-2007.tar"):
    with open("data/VOCtrainval_06-Nov-2007.tar", "rb") as file:
        unpack(file, folder, archive_name="VOCtrainval_06-Nov-2007.tar", year=2007)
"""

from __future__ import annotations

import filecmp
import os
import posixpath
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from absl import logging

from voc_tfdata.files import check_free_disk, show_progress

_BLOCK_BYTES = 4096  # what a file occupies on disk is a multiple of this


def unpack(file: BinaryIO, folder: Path, *, archive_name: str, year: int) -> None:
    """Unpacks VOCdevkit/VOC{year} of an archive: into a temporary folder beside, checked, then all at once.

    Only regular files are ever made, by us, under names that were checked: no link, device, owner or mode of the
    archive reaches the disk, whatever the Python version's tarfile would allow.

    Args:
      file: the tar, open for reading; compressed or not.
      folder: gets what is below VOCdevkit/VOC{year}, beside the files of other archives that are there already.
      archive_name: under which find_missing knows the files again.
      year: of the challenge.

    Raises:
      ValueError: no readable tar, no VOC{year} in it, or a member that is no plain file inside the archive.
      FileExistsError: the folder holds files that differ from those of the archive; nothing was changed.
      OSError: the disk is too small.
    """
    final = folder.resolve()  # may be a link to another disk; the temporary folder must lie on the same
    temporary = final.with_name(f".{archive_name}.unpacking")
    if temporary.exists():
        shutil.rmtree(temporary)  # of a killed run
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:*") as tar:
            members = _list_files(tar, archive_name, year)
            temporary.mkdir(parents=True)
            needed = sum(-(-member.size // _BLOCK_BYTES) * _BLOCK_BYTES for member in members.values())
            what = f"unpacking {len(members):,} files"
            check_free_disk(temporary.parent, needed, what=what, remedy="make room or choose another --out_dir")
            with show_progress(0, sum(member.size for member in members.values())) as update:
                for name, member in members.items():
                    _write_member(tar, member, temporary / name)
                    update(member.size)
        file_list = "".join(f"{name}\n" for name in sorted(members))
        (temporary / _list_name(archive_name)).write_text(file_list, "utf-8", "surrogateescape")
        _move_into_place(temporary, final, [*members, _list_name(archive_name)])
    except tarfile.TarError as err:
        raise ValueError(
            f"{file.name} is no readable tar: {str(err).splitlines()[0]}; remove it and run again"
        ) from err
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def find_missing(folder: Path, archive_name: str) -> list[str]:
    """Returns which files of an unpacked archive are not in the folder, or its list if even that is missing.

    Args:
      folder: of `unpack`.
      archive_name: of `unpack`.

    Returns:
      Paths inside the folder, sorted; [] if all are there. Their contents are not looked at.
    """
    file_list = folder / _list_name(archive_name)
    if not file_list.exists():
        return [file_list.name]
    names = file_list.read_text("utf-8", "surrogateescape").split("\n")[:-1]
    parents = {posixpath.dirname(name) for name in names}  # listed whole: 40,000 stats are slow on a share
    found = {posixpath.join(p, n) for p in parents if (folder / p).is_dir() for n in os.listdir(folder / p)}
    missing = sorted(set(names) - found)
    if missing:
        logging.warning("%s: %d files are missing, e.g. %s: unpacking again", folder, len(missing), missing[0])
    return missing


def _list_files(tar: tarfile.TarFile, archive_name: str, year: int) -> dict[str, tarfile.TarInfo]:
    """Returns the files below VOCdevkit/VOC{year}, wherever that lies (2011: TrainVal/VOCdevkit/VOC2011).

    Returns:
      Path inside VOC{year} -> regular member with its bytes, in the order of the archive. A link to a file of the
      archive comes as that file.

    Raises:
      ValueError: an absolute path, "..", a device, a link to anything but a file of the archive; no VOC{year}.
    """
    regular = {posixpath.normpath(m.name): m for m in tar.getmembers() if m.isfile()}
    files: dict[str, tarfile.TarInfo] = {}
    left_out: list[str] = []
    for member in tar.getmembers():
        name = posixpath.normpath(member.name)
        parts = member.name.split("/")
        if member.name.startswith("/") or ".." in parts or "\\" in member.name or ":" in parts[0]:
            raise ValueError(f"{archive_name} is refused: member {member.name!r} would leave the folder")
        if member.isdir():
            continue
        source = member if member.isfile() else None
        if member.issym():  # relative to its own folder; a hard link is relative to the archive
            source = regular.get(posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname)))
        elif member.islnk():
            source = regular.get(posixpath.normpath(member.linkname))
        if source is None:
            what = f"a link to {member.linkname!r}, no file of it" if member.linkname else "a device or a pipe"
            raise ValueError(f"{archive_name} is refused: member {member.name!r} is {what}")
        _, found, inside = f"/{name}".partition(f"/VOCdevkit/VOC{year}/")
        if found:
            files[inside] = source
        else:
            left_out.append(name)
    if not files:
        raise ValueError(f"{archive_name} holds no VOCdevkit/VOC{year}: it is not the archive that was asked for")
    if left_out:
        logging.warning("left out %d files outside VOCdevkit/VOC%d, e.g. %s", len(left_out), year, left_out[0])
    return files


def _write_member(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """Writes the bytes of a regular member to a new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = tar.extractfile(member)
    if source is None:
        raise ValueError(f"member {member.name!r} is no regular file")
    with source, open(path, "xb") as target:
        shutil.copyfileobj(source, target)


def _move_into_place(unpacked: Path, final: Path, names: Sequence[str]) -> None:
    """Renames the unpacked folder to its final name, or adds its files to a folder that is there already.

    Files with the same content stay as they are. The last of `names` is moved last: it says that all are there.

    Raises:
      FileExistsError: some file there has other content; nothing was moved.
    """
    try:
        os.rename(unpacked, final)
        return
    except OSError:
        if not final.is_dir():
            raise
    there = [name for name in names if os.path.lexists(final / name)]
    differing = [name for name in there if not filecmp.cmp(unpacked / name, final / name, shallow=False)]
    if differing:
        raise FileExistsError(
            f"{final}: {len(differing)} files differ from those of the archive ({', '.join(differing[:3])}"
            f"{', ...' if len(differing) > 3 else ''}); nothing was changed: move them or the folder away and run again"
        )
    for name in names:
        (final / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(unpacked / name, final / name)
    logging.info("%s: %d files added, %d were there already", final, len(names) - len(there), len(there))


def _list_name(archive_name: str) -> str:
    """Returns the name of the file, in the unpacked folder, that says what came from the archive."""
    return f".{archive_name}.files"
