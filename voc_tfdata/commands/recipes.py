"""Prints the recipes of `voc_tfdata train --recipe=NAME`: what each is for, and the result to expect.

voc_tfdata recipes              # all of them
voc_tfdata recipes NAME         # the flags of one, to begin a flagfile of your own with
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from voc_tfdata.commands.command_line import run_command

_FOLDER = Path(__file__).resolve().parents[1] / "recipes"


def main(argv: list[str]) -> None:
    """Prints all recipes, or the flags of one."""
    if len(argv) > 1:
        raise ValueError(f"{len(argv)} names; give one, or none for the list")
    if argv:
        print(find_recipe(argv[0]).read_text(encoding="utf-8"), end="")
        return
    for path in list_recipes():
        print(f"{path.stem}\n{describe_recipe(path)}\n")
    print("voc_tfdata train --recipe=NAME --records=DIR --out_dir=DIR    (further flags override the recipe's)")


def run() -> None:
    """The command, with the flags of this process."""
    run_command(main)


def list_recipes() -> list[Path]:
    """Returns the flagfiles of all recipes, by name."""
    return sorted(_FOLDER.glob("*.flags"))


def find_recipe(name: str) -> Path:
    """Returns the flagfile of a recipe.

    Raises:
      ValueError: there is none of this name.
    """
    known = {path.stem: path for path in list_recipes()}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"no recipe {name!r}; {hint}there are: {', '.join(known)}")
    return known[name]


def describe_recipe(path: Path) -> str:
    """Returns the comment on top of a recipe, indented: what it is for and what to expect."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(f"    {line.removeprefix('#').strip()}" for line in lines if line.startswith("#"))


def expand_recipe(arguments: Sequence[str]) -> list[str]:
    """Returns a command line in which --recipe=NAME has become a --flagfile in front, for other flags to override.

    Exits with status 2 if there is no such recipe.
    """
    found, rest = [], list(arguments)
    for number, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name in ("--recipe", "-recipe"):
            if not equals:
                value = arguments[number + 1] if number + 1 < len(arguments) else ""
                rest.remove(value) if value in rest else None
            rest.remove(argument)
            try:
                found.append(f"--flagfile={find_recipe(value)}")
            except ValueError as err:
                raise SystemExit(f"error: {err}") from None
    return found + rest
