"""Prints a script that lets bash or zsh complete commands, flags and recipes on the Tab key.

eval "$(voc_tfdata completion bash)"        # in ~/.bashrc
eval "$(voc_tfdata completion zsh)"         # in ~/.zshrc
"""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

from voc_tfdata.__main__ import COMMANDS
from voc_tfdata.commands.command_line import run_command
from voc_tfdata.commands.recipes import list_recipes

_MORE_FLAGS = {"train": ["voc_tfdata.commands.train_flags"]}  # modules that hold flags of a command besides its own
_BASH = """\
_voc_tfdata() {
    local word="${COMP_WORDS[COMP_CWORD]}" words=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="%(commands)s"
    else
        case "${COMP_WORDS[1]}" in
%(cases)s
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    case "$COMPREPLY" in *=) compopt -o nospace ;; esac
}
complete -o default -F _voc_tfdata voc_tfdata
"""
_ZSH = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\ncompopt() { :; }\n"


def main(argv: list[str]) -> None:
    """Prints the script of a shell."""
    if argv not in (["bash"], ["zsh"]):
        raise ValueError('name the shell: eval "$(voc_tfdata completion bash)", or zsh')
    print((_ZSH if argv == ["zsh"] else "") + format_bash(), end="")


def run() -> None:
    """The command, with the flags of this process."""
    run_command(main)


def format_bash() -> str:
    """Returns the completion script of bash."""
    cases = []
    for name, command in COMMANDS.items():
        modules = [command.module, *_MORE_FLAGS.get(name, [])]
        words = [flag for module in modules for flag in list_flags(module)]
        if name == "train":
            words += [f"--recipe={path.stem}" for path in list_recipes()]
        cases.append(f'        {name}) words="{" ".join([*words, "--help", "--flagfile="])}" ;;')
    return _BASH % {"commands": " ".join(COMMANDS), "cases": "\n".join(cases)}


def list_flags(module: str) -> list[str]:
    """Returns the flags that a module defines, "--name=" or "--name" of a switch, without importing it.

    One process can import one command only: absl keeps one table of flags, and commands share names.
    """
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None  # of COMMANDS
    found = []
    for node in ast.walk(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.startswith("DEFINE"):
            place = 1 if node.func.attr == "DEFINE" else 0  # behind a parser of its own
            name = ast.literal_eval(node.args[place])
            found.append(f"--{name}" if node.func.attr == "DEFINE_bool" else f"--{name}=")
    return sorted(found)
