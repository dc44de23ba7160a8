"""voc_tfdata COMMAND: every command of the package, by one program. Also: python -m voc_tfdata COMMAND."""

import difflib
import sys
from importlib import import_module
from typing import NamedTuple

from voc_tfdata.version import __version__


class Command(NamedTuple):
    """One command: the module whose run() it is, and what it does in a line."""

    module: str
    summary: str


# In the order in which they are used.
COMMANDS = {
    "sample": Command("voc_tfdata.commands.make_sample", "draw a small VOC devkit, to try everything with"),
    "download": Command("voc_tfdata.commands.download_voc", "download a public archive of PASCAL VOC and unpack it"),
    "convert": Command("voc_tfdata.commands.build_tfrecords", "turn a VOC devkit into TFRecords (= build_tfrecords)"),
    "index": Command("voc_tfdata.commands.index_records", "read TFRecords of another program without copying them"),
    "inspect": Command("voc_tfdata.commands.inspect_records", "show what is in a folder of records, or verify it"),
    "recipes": Command("voc_tfdata.commands.recipes", "list the settings for training that were tried"),
    "train": Command("voc_tfdata.commands.train", "train a network on records and evaluate it"),
    "evaluate": Command("voc_tfdata.commands.evaluate", "evaluate a trained model on a split"),
    "predict": Command("voc_tfdata.commands.predict", "predict the classes in images of any format"),
    "export": Command("voc_tfdata.commands.export_model", "write a trained model as a SavedModel"),
    "data-service": Command("voc_tfdata.commands.data_service", "make training batches on other machines"),
    "benchmark": Command("voc_tfdata.benchmark.__main__", "measure the speed of every stage on this machine"),
    "completion": Command(
        "voc_tfdata.commands.completion", "complete commands and flags in bash or zsh on the Tab key"
    ),
}


def main() -> None:
    """Runs the command that the first argument names, with the other arguments."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "-help", "--help", "help"):
        print(_describe_commands())
        return
    if arguments[0] in ("-version", "--version"):
        print(f"voc_tfdata {__version__}")
        return
    name = arguments[0]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        print(f"error: no command {name!r}; {hint}all commands: voc_tfdata --help", file=sys.stderr)
        raise SystemExit(2)
    sys.argv[:] = [f"voc_tfdata {name}", *arguments[1:]]
    import_module(COMMANDS[name].module).run()


def _describe_commands() -> str:
    lines = [f"  {name:14}{command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        ["usage: voc_tfdata COMMAND [flags]", "", *lines, "", "flags and an example: voc_tfdata COMMAND --help"]
    )


if __name__ == "__main__":
    main()
