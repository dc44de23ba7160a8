"""The rooms of the package: imports run one way, and importing costs nothing that was not asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import voc_tfdata
from tests.paths import ROOT

PACKAGE = ROOT / "voc_tfdata"

# The folders, from the bottom up, and what each may import besides the modules at the root.
ALLOWED: dict[str, set[str]] = {
    "devkit": set(),
    "remote": set(),
    "records": {"devkit", "remote"},
    "convert": {"devkit", "remote", "records"},
    "pipeline": {"remote", "records"},
    "model": {"pipeline"},
    "evaluation": {"records", "pipeline"},
    "training": {"records", "pipeline", "model", "evaluation"},
    "sample": set(),
    "recipes": set(),
}
ALLOWED["commands"] = set(ALLOWED)
ALLOWED["benchmark"] = set(ALLOWED)
# The modules at the root, from the bottom up; __init__ holds the lazy public names and __main__ the table of commands.
ROOT_MODULES = ["version", "classes", "image_size", "quiet", "machine", "files", "page", "own_code"]
NO_TENSORFLOW = ["devkit", "remote", "records", "convert"]
PAIRS = [(lower, upper) for upper, lowers in ALLOWED.items() for lower in sorted(lowers)]


def folder_of(module: str) -> str:
    """Returns the folder of a module by its dotted name; "" for a module at the root."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (PACKAGE / parts[1]).is_dir() else ""


def imports_of(source: str) -> list[str]:
    """Returns the dotted names of this package that a source text imports, on top and inside functions."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "voc_tfdata":
            if node.module == "voc_tfdata":
                found += [f"voc_tfdata.{alias.name}" for alias in node.names]
            else:
                found.append(str(node.module))
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] == "voc_tfdata"]
    return found


def find_violations(folder: str, source: str) -> list[str]:
    """Returns the imports of a source text that a module of `folder` must not have."""
    return [
        name
        for name in imports_of(source)
        if folder_of(name) != folder and folder_of(name) not in ALLOWED[folder] | {""}
    ]


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_folder_imports_only_what_lies_below_it(folder: str) -> None:
    modules = sorted((PACKAGE / folder).rglob("*.py"))
    assert modules, f"{folder} is gone: take it out of ALLOWED"
    for path in modules:
        assert not find_violations(folder, path.read_text()), f"{path.relative_to(ROOT)} imports what lies above it"


@pytest.mark.parametrize(("lower", "upper"), PAIRS)
def test_an_arrow_turned_round_is_seen(lower: str, upper: str) -> None:
    """Every pair of neighbours: the lower folder must not import the upper one, on top or in a function."""
    assert find_violations(lower, f"from voc_tfdata.{upper}.x import y") == [f"voc_tfdata.{upper}.x"]
    assert find_violations(lower, f"def f():\n    import voc_tfdata.{upper}.x") == [f"voc_tfdata.{upper}.x"]
    assert find_violations(lower, f"from voc_tfdata import {upper}") == [f"voc_tfdata.{upper}"]


def test_every_folder_has_its_place_and_its_docstring() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(ALLOWED)
    for folder in folders:
        tree = ast.parse((PACKAGE / folder / "__init__.py").read_text())
        doc = ast.get_docstring(tree) or ""
        assert len(tree.body) == 1, f"{folder}/__init__.py is a docstring and nothing else"
        assert 4 <= len(doc.splitlines()) <= 10, folder


def test_modules_at_the_root_are_few_and_import_only_each_other() -> None:
    names = {path.stem for path in PACKAGE.glob("*.py")}
    assert names - {"__init__", "__main__"} == set(ROOT_MODULES)
    for number, name in enumerate(ROOT_MODULES):
        allowed = {f"voc_tfdata.{other}" for other in ROOT_MODULES[:number]}
        found = set(imports_of((PACKAGE / f"{name}.py").read_text()))
        assert found <= allowed, f"{name}.py imports {sorted(found - allowed)}"


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {}
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        tree.body = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        graph[name] = set()
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("voc_tfdata"):
                full = [f"{node.module}.{alias.name}" for alias in node.names]
                graph[name] |= {f for f in full if (ROOT / f"{f.replace('.', '/')}.py").exists()} or {str(node.module)}
    graph = {name: found & set(graph) for name, found in graph.items()}
    done: set[str] = set()
    while len(done) < len(graph):
        ready = {name for name, found in graph.items() if name not in done and found <= done}
        assert ready, f"these import each other: {sorted(set(graph) - done)}"
        done |= ready


def test_no_folder_shadows_a_public_name() -> None:
    names = {path.stem for path in PACKAGE.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert not names & set(voc_tfdata.__all__)


def test_only_remote_imports_tensorflow_io() -> None:
    users = []
    for path in [*PACKAGE.rglob("*.py"), *ROOT.glob("tools/*.py"), *ROOT.glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "tensorflow_io" for name in names):
                users.append(path.relative_to(PACKAGE).parts[0])
    assert set(users) <= {"remote"}


def test_flags_are_defined_in_entry_points_only() -> None:
    entry_points = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if "flags.DEFINE" in path.read_text()}
    assert Path("commands/train_flags.py") in entry_points
    assert {path.parts[0] for path in entry_points} <= {"commands", "benchmark"}
    entry_points.discard(Path("commands/train_flags.py"))  # of commands/train.py, on which it lies
    for path in PACKAGE.rglob("*.py"):
        for name in imports_of(path.read_text()):
            as_path = Path(*name.split(".")[1:]).with_suffix(".py")
            assert as_path not in entry_points, f"{path.name} imports an entry point"


def count_arrows() -> Counter[tuple[str, str]]:
    """Returns how many import statements lead from one folder into another: (from, to) -> number."""
    arrows: Counter[tuple[str, str]] = Counter()
    for folder in ALLOWED:
        for path in (PACKAGE / folder).rglob("*.py"):
            for name in imports_of(path.read_text()):
                if folder_of(name) not in ("", folder):
                    arrows[folder, folder_of(name)] += 1
    return arrows


def test_the_table_of_arrows_counts_what_is_there() -> None:
    """Printed by: python -m pytest -s tests/test_layering.py -k table_of_arrows"""
    arrows = count_arrows()
    for (upper, lower), number in sorted(arrows.items()):
        print(f"{upper:12} -> {lower:12} {number:3}")
    assert arrows["convert", "devkit"] > 5 and arrows["pipeline", "records"] > 2
    assert not [pair for pair in arrows if pair[::-1] in arrows]


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_importing_the_package_loads_nothing_and_defines_no_flag() -> None:
    code = """
import sys
before = set(sys.modules)
import voc_tfdata
new = {name.split(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
print(sorted(new))
assert {"build_records", "train_dataset", "VOC_CLASSES"} <= set(dir(voc_tfdata)) and voc_tfdata.__version__
from absl import flags
print(sorted(f for f in flags.FLAGS if "voc" in flags.FLAGS.find_module_defining_flag(f)))
"""
    assert run_python(code) == "['voc_tfdata']\n[]\n"


def test_the_converter_and_its_workers_load_no_tensorflow() -> None:
    modules = [path for folder in NO_TENSORFLOW for path in sorted((PACKAGE / folder).glob("*.py"))]
    modules += [PACKAGE / "files.py", PACKAGE / "commands" / "build_tfrecords.py"]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules]
    code = "import sys\n" + "".join(f"import {name}\n" for name in names)
    code += "print([name for name in ('tensorflow', 'tensorflow_io', 'keras', 'matplotlib') if name in sys.modules])"
    assert run_python(code) == "[]\n"


def test_public_names_are_there_and_others_are_refused() -> None:
    code = """
import voc_tfdata
print(voc_tfdata.VOC_CLASSES[11], voc_tfdata.build_records.__name__, voc_tfdata.read_manifest.__name__)
try:
    voc_tfdata.build_record
except AttributeError as err:
    print("build_records" in str(err))
"""
    assert run_python(code) == "dog build_records read_manifest\nTrue\n"
