"""Downloads one public archive of PASCAL VOC, checks its md5 and unpacks it to OUT_DIR/VOCdevkit/VOC{year}.

    voc_tfdata download --year=2012 --out_dir=data            # train and val
    voc_tfdata download --year=2007 --out_dir=data --test     # the only public test set

A broken transfer goes on where it stopped, within a run and in the next one. An archive that you already have is
used without a download if it lies in OUT_DIR under its own name. A second run finds everything there and ends.
"""

from __future__ import annotations

from absl import flags

from voc_tfdata.commands.command_line import check_no_arguments, run_command
from voc_tfdata.devkit.download import download_voc, next_command

_YEAR = flags.DEFINE_integer("year", None, "year of the challenge, 2007 to 2012", required=True)
_TEST = flags.DEFINE_bool("test", False, "the test archive instead of trainval; public for 2007 only")
_OUT_DIR = flags.DEFINE_string("out_dir", None, "folder that gets VOCdevkit/VOC{year}", required=True)
_MIRROR = flags.DEFINE_string("mirror", None, "http(s) folder with the archive, itself or in a folder voc{year}")
_KEEP_ARCHIVE = flags.DEFINE_bool("keep_archive", False, "keep the downloaded archive in out_dir")


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


def run() -> None:
    """The command, with the flags of this process."""
    run_command(main)
