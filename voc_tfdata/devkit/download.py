"""The public archives of PASCAL VOC: one downloaded, its md5 checked, unpacked to OUT_DIR/VOCdevkit/VOC{year}.

    folder = download_voc(2012, "data")

A broken transfer goes on where it stopped, within a run and in the next one.
"""

import errno
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from absl import logging

from voc_tfdata.devkit.transfer import compute_md5, download
from voc_tfdata.devkit.unpacking import find_missing, unpack
from voc_tfdata.files import locked

OFFICIAL_URL = "http://host.robots.ox.ac.uk/pascal/VOC"  # asked by https first


@dataclass(frozen=True)
class Archive:
    """One archive of the official site: its file name and every md5 under which it was published."""

    name: str
    md5s: tuple[str, ...]


ARCHIVES: Mapping[tuple[int, str], Archive] = {
    (2007, "trainval"): Archive("VOCtrainval_06-Nov-2007.tar", ("c52e279531787c972589f7e41ab4ae64",)),
    (2007, "test"): Archive("VOCtest_06-Nov-2007.tar", ("b6e924de25625d8de591ea690078ad9f",)),
    (2008, "trainval"): Archive("VOCtrainval_14-Jul-2008.tar", ("2629fa636546599198acfcfbfcf1904a",)),
    (2009, "trainval"): Archive(
        "VOCtrainval_11-May-2009.tar", ("a3e00b113cfcfebf17e343f59da3caa1", "59065e4b188729180974ef6572f6a212")
    ),
    (2010, "trainval"): Archive("VOCtrainval_03-May-2010.tar", ("da459979d0c395079b5c75ee67908abb",)),
    (2011, "trainval"): Archive("VOCtrainval_25-May-2011.tar", ("6c3384ef61512963050cb5d687e5bf1e",)),
    (2012, "trainval"): Archive("VOCtrainval_11-May-2012.tar", ("6cd6e144f989b92b3379bac3b3de84fd",)),
}


def download_voc(
    year: int,
    out_dir: str | os.PathLike[str],
    *,
    test: bool = False,
    mirror: str | None = None,
    keep_archive: bool = False,
    archives: Mapping[tuple[int, str], Archive] = ARCHIVES,
    timeout_s: float = 30.0,
    retry_wait_s: float = 1.0,
) -> Path:
    """Downloads, checks and unpacks one archive; does nothing if that was done before.

    Args:
      year: of the challenge.
      out_dir: gets VOCdevkit/VOC{year}, and meanwhile the archive as NAME.part.
      test: the test archive instead of trainval; both go to the same folder.
      mirror: http(s) folder that is asked instead of the official one.
      keep_archive: keep the archive in out_dir; one that lay there before is always kept.
      archives: (year, "trainval" or "test") -> archive.
      timeout_s: longest silence of the server.
      retry_wait_s: wait after the first failure; doubles with each further one in a row.

    Returns:
      The unpacked folder, out_dir/VOCdevkit/VOC{year}.

    Raises:
      ValueError: no such archive, wrong checksum, or an archive with dangerous members.
      FileExistsError: the folder holds files that differ from those of the archive; nothing was changed.
      OSError: no way to get the archive, or the disk is too small.
      RuntimeError: another run works on the same archive.
    """
    archive = find_archive(year, test, archives)
    urls = archive_urls(year, archive.name, mirror)
    folder = Path(out_dir) / "VOCdevkit" / f"VOC{year}"
    if not find_missing(folder, archive.name):
        logging.info("%s: all files of %s are there already", folder, archive.name)
        return folder
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    whole = Path(out_dir) / archive.name
    part = Path(out_dir) / f"{archive.name}.part"
    path = whole if whole.exists() else part
    try:
        busy = f"{path} is in use by another run; let it end, then run again"
        with _open(path, "rb" if path == whole else "a+b") as file, locked(path, refuse=busy):
            if path == whole:
                check_own_archive(file, whole, archive)
            else:
                get_archive(urls, file, part, archive, timeout_s, retry_wait_s)
            unpack(file, folder, archive_name=archive.name, year=year)
    except OSError as err:
        if err.errno != errno.ENOSPC:
            raise
        raise OSError(f"{out_dir}: the disk is full; make room and run again, it goes on from {path}") from err
    if path == part and keep_archive:
        part.rename(whole)
    elif path == part:
        part.unlink()
    return folder


def _open(path: Path, mode: str) -> BinaryIO:
    """Opens an archive.

    Raises:
      ValueError: it is a link, which somebody may have laid to another file, or no file at all.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ValueError(f"{path} is a link or no file: it is neither read nor written; remove it and run again")
    no_links = os.O_NOFOLLOW | os.O_CLOEXEC
    return open(path, mode, opener=lambda name, flags: os.open(name, flags | no_links, 0o666))  # type: ignore[return-value]


def find_archive(year: int, test: bool, archives: Mapping[tuple[int, str], Archive]) -> Archive:
    """Returns the archive of a year; raises ValueError, with what there is, if it has none."""
    archive = archives.get((year, "test" if test else "trainval"))
    if archive is None and (year, "trainval") in archives:
        public = ", ".join(str(y) for y, split in sorted(archives) if split == "test")
        raise ValueError(
            f"VOC{year} has no public test set ({OFFICIAL_URL}/voc{year}/ keeps its labels for the evaluation "
            f"server), so no --mirror can have it; --test goes with --year={public}"
        )
    if archive is None:
        years = ", ".join(str(y) for y, split in sorted(archives) if split == "trainval")
        raise ValueError(f"--year={year}: {OFFICIAL_URL}/ has no archive of it that we know; choose from {years}")
    return archive


def archive_urls(year: int, name: str, mirror: str | None) -> list[str]:
    """Returns the addresses to try: the official one, encrypted first, or both places where mirrors have it."""
    if mirror is None:
        url = f"{OFFICIAL_URL}/voc{year}/{name}"
        return [url.replace("http://", "https://"), url]
    if not mirror.startswith(("http://", "https://")):
        raise ValueError(f"--mirror={mirror}: give a folder as http://... or https://...")
    base = mirror.rstrip("/")
    return [f"{base}/{name}", f"{base}/voc{year}/{name}"]


def check_own_archive(file: BinaryIO, path: Path, archive: Archive) -> None:
    """Raises ValueError if an archive that lay in out_dir is not the published one. It is never deleted."""
    logging.info("using %s, no download; checking its md5", path)
    found = compute_md5(file)
    if found not in archive.md5s:
        raise ValueError(
            f"{path} has md5 {found}, not {' or '.join(archive.md5s)}: remove it, or rename it to {path.name}.part "
            f"if it is the beginning of the right file, and run again"
        )


def get_archive(
    urls: Sequence[str], file: BinaryIO, part: Path, archive: Archive, timeout_s: float, retry_wait_s: float
) -> None:
    """Completes the .part file and checks it; one with a wrong checksum is deleted, so the next run starts clean."""
    md5s = " or ".join(archive.md5s)
    if file.seek(0, os.SEEK_END) and compute_md5(file) in archive.md5s:
        logging.info("using %s, complete and right", part)
        return
    remedy = (
        f"name another server by --mirror=URL, or put {archive.name} (md5 {md5s}) into {part.parent}, and run again"
    )
    try:
        url = download(urls, file, timeout_s=timeout_s, retry_wait_s=retry_wait_s)
    except ConnectionError as err:
        raise ConnectionError(f"{err}; {remedy}") from err
    finally:
        if not file.seek(0, os.SEEK_END):
            part.unlink()
    logging.info("checking the md5")
    found = compute_md5(file)
    if found not in archive.md5s:
        part.unlink()
        raise ValueError(f"{url} has md5 {found}, not {md5s}; removed the download: run again, or {remedy}")


def next_command(folder: Path) -> str:
    """Returns the command that converts the folder, with the official lists where its test set is there too."""
    splits = " --splits=train,val,test" if (folder / "ImageSets/Main/test.txt").exists() else ""
    out_dir = f"records/{folder.name.lower()}"
    return f"build_tfrecords --voc_root={shlex.quote(str(folder))} --out_dir={out_dir}{splits}"
