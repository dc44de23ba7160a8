"""The program voc_tfdata: its table of commands, what all of them have in common, recipes and completion."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import voc_tfdata
from tests.paths import ROOT
from voc_tfdata.__main__ import COMMANDS
from voc_tfdata.commands import completion, recipes


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "voc_tfdata", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def test_help_lists_every_command_in_a_line_and_loads_nothing() -> None:
    for arguments in ([], ["--help"], ["-h"]):
        done = run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        for name, command in COMMANDS.items():
            assert [line for line in done.stdout.splitlines() if line.split()[:1] == [name]], name
            assert command.summary in done.stdout and len(f"  {name:14}{command.summary}") < 80
    code = "import sys, voc_tfdata.__main__ as m; sys.argv = ['voc_tfdata']; m.main(); "
    code += "print([n for n in ('absl', 'numpy', 'tensorflow') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.endswith("[]\n")  # what makes it answer at once


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_with_an_example_and_its_version(name: str) -> None:
    done = run(name, "--help")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert f"voc_tfdata {name} " in done.stdout, "an example to copy"
    if name not in ("recipes", "completion"):
        assert "flags (also from a file: --flagfile=FILE):" in done.stdout and "\n  --" in done.stdout
    assert run(name, "--version").stdout == f"voc_tfdata {voc_tfdata.__version__}\n"


def test_an_unknown_command_names_the_nearest() -> None:
    done = run("trian")
    assert done.returncode == 2 and "did you mean train?" in done.stderr and "Traceback" not in done.stderr
    done = run("zzz")
    assert done.returncode == 2 and done.stderr == "error: no command 'zzz'; all commands: voc_tfdata --help\n"


def test_the_tools_of_a_checkout_are_thin_wrappers_of_the_commands() -> None:
    for path in [*(ROOT / "tools").glob("[!_]*.py"), ROOT / "train.py"]:
        text = path.read_text()
        assert len(text.splitlines()) <= 12, path
        done = subprocess.run([sys.executable, path, "--version"], cwd="/", capture_output=True, text=True)
        assert done.stdout == f"voc_tfdata {voc_tfdata.__version__}\n", path


def test_recipes_are_package_data_with_what_they_are_for_and_what_to_expect() -> None:
    done = run("recipes")
    assert done.returncode == 0
    for path in recipes.list_recipes():
        assert path.stem in done.stdout.splitlines()
        text = recipes.describe_recipe(path)
        assert "    For " in text and "    Expect: " in text, path
    assert {path.name for path in recipes.list_recipes()} == set(os.listdir(ROOT / "flags"))
    assert run("recipes", "quickstart").stdout == (ROOT / "flags" / "quickstart.flags").read_text()
    done = run("recipes", "voc_scrach")
    assert done.returncode == 1 and "no recipe 'voc_scrach'; did you mean voc_scratch?" in done.stderr


def test_a_recipe_becomes_a_flagfile_that_other_flags_override(tmp_path: Path) -> None:
    file = f"--flagfile={recipes.find_recipe('quickstart')}"
    assert recipes.expand_recipe(["--records=a", "--recipe=quickstart", "--epochs=2"]) == [
        file,
        "--records=a",
        "--epochs=2",
    ]
    assert recipes.expand_recipe(["--recipe", "quickstart", "--epochs=2"]) == [file, "--epochs=2"]
    assert recipes.expand_recipe(["--epochs=2"]) == ["--epochs=2"]
    done = run("train", "--records=nowhere", "--recipe=quickstart", f"--out_dir={tmp_path / 'run'}", cwd=tmp_path)
    assert done.returncode == 1 and "no nowhere/manifest.json" in done.stderr  # not the recipe's records
    done = run("train", "--recipe=quikstart", "--records=a", "--out_dir=b")
    assert done.returncode == 1 and "no recipe 'quikstart'; did you mean quickstart?" in done.stderr
    (tmp_path / "a.flags").write_text("--recipe=quickstart\n")
    done = run("train", f"--flagfile={tmp_path / 'a.flags'}", "--records=a", "--out_dir=b")
    assert done.returncode == 1 and "--recipe is for the command line" in done.stderr


def test_completion_knows_the_flags_that_absl_knows() -> None:
    words = completion.list_flags("voc_tfdata.commands.train_flags")
    assert "--epochs=" in words and "--batch_norm" in words
    helped = run("train", "--help").stdout
    defined = {line.split(":")[0].strip() for line in helped.splitlines() if line.startswith("  --")}
    assert {word.rstrip("=") for word in words} == {flag.replace("[no]", "") for flag in defined}
    assert ast.parse("1")  # the module reads sources, it imports none of them


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        (["tr"], ["train"]),
        (["train", "--bat"], ["--batch_norm", "--batch_size="]),
        (["train", "--recipe=q"], ["--recipe=quickstart"]),
        (["inspect", "--ver"], ["--verify"]),
    ],
)
def test_bash_completes_commands_flags_and_recipes(typed: list[str], wanted: list[str], tmp_path: Path) -> None:
    script = tmp_path / "completion.bash"
    script.write_text(run("completion", "bash").stdout)
    words = " ".join(f"'{word}'" for word in ["voc_tfdata", *typed])
    code = f"compopt() {{ :; }}; source {script}; COMP_WORDS=({words}); COMP_CWORD={len(typed)}; _voc_tfdata; "
    code += 'printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == wanted, done.stderr
