"""Downloads one public archive of PASCAL VOC, checks its md5 and unpacks it to OUT_DIR/VOCdevkit/VOC{year}.

    python tools/download_voc.py --year=2012 --out_dir=data            # train and val
    python tools/download_voc.py --year=2007 --out_dir=data --test     # the only public test set

A broken transfer goes on where it stopped, within a run and in the next one. An archive that you already have is
used without a download if it lies in OUT_DIR under its own name. A second run finds everything there and ends.
"""

import contextlib
import errno
import filecmp
import hashlib
import http.client
import os
import posixpath
import re
import shlex
import shutil
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from absl import flags, logging
from tqdm import tqdm

from voc_tfdata.commands import check_no_arguments, run_command

_YEAR = flags.DEFINE_integer("year", None, "year of the challenge, 2007 to 2012", required=True)
_TEST = flags.DEFINE_bool("test", False, "the test archive instead of trainval; public for 2007 only")
_OUT_DIR = flags.DEFINE_string("out_dir", None, "folder that gets VOCdevkit/VOC{year}", required=True)
_MIRROR = flags.DEFINE_string("mirror", None, "http(s) folder with the archive, itself or in a folder voc{year}")
_KEEP_ARCHIVE = flags.DEFINE_bool("keep_archive", False, "keep the downloaded archive in out_dir")

OFFICIAL_URL = "http://host.robots.ox.ac.uk/pascal/VOC"
MAX_FAILURES = 4  # requests in a row that bring nothing new
TRANSIENT_STATUS = (408, 425, 429, 500, 502, 503, 504)
LOG_EVERY_S = 10.0  # progress lines where stderr is no terminal
BLOCK_BYTES = 4096  # what a file occupies on disk is a multiple of this


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
    if not find_missing(folder, archive):
        logging.info("%s: all files of %s are there already", folder, archive.name)
        return folder
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    whole = Path(out_dir) / archive.name
    part = Path(out_dir) / f"{archive.name}.part"
    path = whole if whole.exists() else part
    try:
        with open(path, "rb" if path == whole else "a+b") as file:
            lock(file, path)
            if path == whole:
                check_own_archive(file, whole, archive)
            else:
                get_archive(urls, file, part, archive, timeout_s, retry_wait_s)
            unpack(file, archive, year, folder)
    except OSError as err:
        if err.errno != errno.ENOSPC:
            raise
        raise OSError(f"{out_dir}: the disk is full; make room and run again, it goes on from {path}") from err
    if path == part and keep_archive:
        part.rename(whole)
    elif path == part:
        part.unlink()
    return folder


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
    """Returns the addresses to try: the official one, or both places where mirrors have it."""
    if mirror is None:
        return [f"{OFFICIAL_URL}/voc{year}/{name}"]
    if not mirror.startswith(("http://", "https://")):
        raise ValueError(f"--mirror={mirror}: give a folder as http://... or https://...")
    base = mirror.rstrip("/")
    return [f"{base}/{name}", f"{base}/voc{year}/{name}"]


def find_missing(folder: Path, archive: Archive) -> list[str]:
    """Returns which files of an unpacked archive are not in the folder, or its list if even that is missing."""
    file_list = folder / list_name(archive)
    if not file_list.exists():
        return [file_list.name]
    names = file_list.read_text("utf-8", "surrogateescape").split("\n")[:-1]
    parents = {posixpath.dirname(name) for name in names}  # listed whole: 40,000 stats are slow on a share
    found = {posixpath.join(p, n) for p in parents if (folder / p).is_dir() for n in os.listdir(folder / p)}
    missing = sorted(set(names) - found)
    if missing:
        logging.warning("%s: %d files are missing, e.g. %s: unpacking again", folder, len(missing), missing[0])
    return missing


def list_name(archive: Archive) -> str:
    """Returns the name of the file, in the unpacked folder, that says what came from the archive."""
    return f".{archive.name}.files"


def lock(file: BinaryIO, path: Path) -> None:
    """Takes an open file for this process; goes on without where locks are not to be had (some network shares)."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RuntimeError(f"{path} is in use by another run; let it end, then run again") from None
    except (ImportError, OSError):
        return


def compute_md5(file: BinaryIO) -> str:
    """Returns the md5 of a whole open file, as hex."""
    digest = hashlib.md5(usedforsecurity=False)
    file.seek(0)
    while chunk := file.read(1 << 20):  # 1 MiB
        digest.update(chunk)
    return digest.hexdigest()


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
        url = download(urls, file, timeout_s, retry_wait_s)
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


def download(urls: Sequence[str], file: BinaryIO, timeout_s: float, retry_wait_s: float) -> str:
    """Appends to the file what is missing of it, with as many requests as it takes, and returns the address used.

    Raises:
      ConnectionError: all addresses refuse, or MAX_FAILURES requests in a row brought nothing new.
    """
    refusals: list[str] = []
    most, failures = file.seek(0, os.SEEK_END), 0
    while True:
        url = urls[len(refusals)]
        try:
            trouble = fetch(url, file, timeout_s)
        except ConnectionError as err:
            refusals.append(f"{url}: {err}")
            if len(refusals) == len(urls):
                raise ConnectionError("; ".join(refusals)) from err
            continue
        if not trouble:
            return url
        have = file.seek(0, os.SEEK_END)
        failures = 0 if have > most else failures + 1
        most = max(most, have)
        if failures == MAX_FAILURES:
            raise ConnectionError(f"{url}: {trouble} (tried {failures} times; {mb(have)} are kept)")
        wait_s = retry_wait_s * 2**failures
        logging.warning("%s; trying again in %.0f s, from %s on", trouble, wait_s, mb(have))
        time.sleep(wait_s)


def fetch(url: str, file: BinaryIO, timeout_s: float) -> str:
    """Does one request for the bytes that the file lacks (RFC 9110, section 14) and appends them.

    Returns:
      What went wrong, for a further try; "" if the file is complete.

    Raises:
      ConnectionError: the server does not have it, refuses, or answers with a web page.
    """
    have = file.seek(0, os.SEEK_END)
    logging.info("downloading %s%s", url, f" from {mb(have)} on" if have else "")
    headers = {"User-Agent": "voc_tfdata"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout_s)
    except urllib.error.HTTPError as err:
        if err.code == 416:  # it has nothing from here on: what we have is not the beginning of its file
            file.truncate(0)
        elif err.code not in TRANSIENT_STATUS:
            raise ConnectionError(f"HTTP status {err.code} {err.reason}") from err
        return f"HTTP status {err.code} {err.reason}"
    except (OSError, http.client.HTTPException) as err:  # no route, refused, timeout, not HTTP
        return describe(err)
    with response:
        if response.headers.get_content_type() == "text/html":  # a firewall's or a moved site's
            raise ConnectionError("the server sent a web page (text/html), not the archive")
        span = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if response.status == 206 and (span is None or int(span[1]) != have):
            file.truncate(0)
            return "the server sent another range than asked for"
        if response.status != 206 and have:
            logging.warning("the server cannot resume: starting again")
            file.truncate(0)
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        if total is not None:
            check_free_disk(Path(file.name).parent, total - have + total, "downloading and unpacking")
        try:
            with show_progress(have, total) as update:
                for chunk in read_chunks(response):
                    file.write(chunk)
                    update(len(chunk))
        except ConnectionError as err:
            return str(err)
    missing = (total or 0) - file.seek(0, os.SEEK_END)
    return f"the connection was closed {mb(missing)} before the end" if missing > 0 else ""


def read_chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yields the body as it comes in; every fault of the transfer is a ConnectionError, unlike those of the disk."""
    try:
        while chunk := response.read1(1 << 20):  # at most 1 MiB
            yield chunk
    except (OSError, http.client.HTTPException) as err:
        raise ConnectionError(describe(err)) from err


def describe(err: Exception) -> str:
    """Returns the innermost reason of a failed request as a phrase."""
    reason = getattr(err, "reason", err)
    return str(getattr(reason, "strerror", None) or reason) or type(err).__name__


def mb(size: int) -> str:
    """Returns a number of bytes as text, e.g. "1,999.6 MB"."""
    return f"{size / 1e6:,.1f} MB"


def check_free_disk(folder: Path, needed: int, what: str) -> None:
    """Logs how many bytes are needed and free; raises OSError if they are too few."""
    free = shutil.disk_usage(folder).free
    logging.info("%s takes %s of the %s free in %s", what, mb(needed), mb(free), folder)
    if needed > free:
        raise OSError(
            f"{folder}: {what} takes {mb(needed)} and {mb(free)} are free; make room or choose another --out_dir"
        )


@contextlib.contextmanager
def show_progress(done: int, total: int | None) -> Iterator[Callable[[int], object]]:
    """Yields a function that takes every number of new bytes: a bar on a terminal, else a line now and then."""
    if sys.stderr.isatty():
        with tqdm(initial=done, total=total, unit="B", unit_scale=True) as bar:
            yield bar.update
        return
    start_s, start, next_s = time.monotonic(), done, time.monotonic() + LOG_EVERY_S

    def log(size: int) -> None:
        nonlocal done, next_s
        done += size
        now_s = time.monotonic()
        if now_s >= next_s:
            next_s = now_s + LOG_EVERY_S
            whole = mb(total) if total else "unknown size"
            logging.info("%s of %s, %.1f MB/s", mb(done), whole, (done - start) / 1e6 / (now_s - start_s))

    yield log


def unpack(file: BinaryIO, archive: Archive, year: int, folder: Path) -> None:
    """Unpacks VOCdevkit/VOC{year} of an archive: into a temporary folder beside, checked, then all at once.

    Only regular files are ever made, by us, under names that were checked: no link, device, owner or mode of the
    archive reaches the disk, whatever the Python version's tarfile would allow.
    """
    final = folder.resolve()  # may be a link to another disk; the temporary folder must lie on the same
    temporary = final.with_name(f".{archive.name}.unpacking")
    if temporary.exists():
        shutil.rmtree(temporary)  # of a killed run
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:*") as tar:
            members = list_files(tar, archive.name, year)
            temporary.mkdir(parents=True)
            needed = sum(-(-member.size // BLOCK_BYTES) * BLOCK_BYTES for member in members.values())
            check_free_disk(temporary.parent, needed, f"unpacking {len(members):,} files")
            with show_progress(0, sum(member.size for member in members.values())) as update:
                for name, member in members.items():
                    write_member(tar, member, temporary / name)
                    update(member.size)
        file_list = "".join(f"{name}\n" for name in sorted(members))
        (temporary / list_name(archive)).write_text(file_list, "utf-8", "surrogateescape")
        move_into_place(temporary, final, [*members, list_name(archive)])
    except tarfile.TarError as err:
        raise ValueError(f"{file.name} is no readable tar: {err}; remove it and run again") from err
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_member(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """Writes the bytes of a regular member to a new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = tar.extractfile(member)
    if source is None:
        raise ValueError(f"member {member.name!r} is no regular file")
    with source, open(path, "xb") as target:
        shutil.copyfileobj(source, target)


def list_files(tar: tarfile.TarFile, archive_name: str, year: int) -> dict[str, tarfile.TarInfo]:
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


def move_into_place(unpacked: Path, final: Path, names: Sequence[str]) -> None:
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


def next_command(folder: Path) -> str:
    """Returns the command that converts the folder, with the official lists where its test set is there too."""
    splits = " --splits=train,val,test" if (folder / "ImageSets/Main/test.txt").exists() else ""
    out_dir = f"records/{folder.name.lower()}"
    return f"build_tfrecords --voc_root={shlex.quote(str(folder))} --out_dir={out_dir}{splits}"


def main(argv: list[str]) -> None:
    """Downloads by the flags and prints what to run next."""
    check_no_arguments(argv)
    folder = download_voc(
        _YEAR.value,
        _OUT_DIR.value,
        test=_TEST.value,
        mirror=_MIRROR.value,
        keep_archive=_KEEP_ARCHIVE.value,
    )
    print(f"{folder} is complete. Next:\n  {next_command(folder)}")


if __name__ == "__main__":
    run_command(main)
