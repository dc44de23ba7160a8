"""Imports run one way, and importing costs nothing that was not asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "voc_tfdata"

# From the bottom up: a module imports modules of lower layers, or of its own in the order written here.
LAYERS = [
    ["version", "classes", "commands", "spill"],
    ["transfer", "remote", "remote_files"],
    ["source_files", "tar_members", "devkit", "pairing", "annotations", "jpeg", "images", "splits"],
    ["examples"],
    ["manifest", "records", "streaming", "mirror"],
    ["workers", "beam_workers", "scan", "plan", "publish", "upload", "shards", "describe", "verify", "convert", "cli"],
]
NO_TENSORFLOW = [name for layer in LAYERS for name in layer]


def imports_of(module: Path, *, everywhere: bool) -> set[str]:
    """Returns the modules of this package that a file imports: on top, or in functions too."""
    tree = ast.parse(module.read_text())
    nodes = ast.walk(tree) if everywhere else _on_top(tree.body)
    found = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module == "voc_tfdata":
            found |= {alias.name for alias in node.names if (PACKAGE / f"{alias.name}.py").exists()}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("voc_tfdata."):
            found.add(str(node.module).split(".")[1])
    return found


def _on_top(body: list[ast.stmt]) -> list[ast.stmt]:
    """Statements that run when the module is imported; what is for type checkers only does not."""
    return [node for node in body if isinstance(node, (ast.Import, ast.ImportFrom))]


def test_the_converters_modules_import_lower_ones_only() -> None:
    allowed: set[str] = set()
    for layer in LAYERS:
        for name in layer:
            found = imports_of(PACKAGE / f"{name}.py", everywhere=True)
            assert found <= allowed, f"{name} imports {sorted(found - allowed)}"
            allowed.add(name)


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {path.stem: imports_of(path, everywhere=False) for path in PACKAGE.glob("*.py")}
    done: set[str] = set()
    while len(done) < len(graph):
        ready = {name for name, found in graph.items() if name not in done and found <= done}
        assert ready, f"these import each other: {sorted(set(graph) - done)}"
        done |= ready


def test_only_remote_imports_tensorflow_io() -> None:
    users = []
    for path in [*PACKAGE.glob("*.py"), *ROOT.glob("tools/*.py"), *ROOT.glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "tensorflow_io" for name in names):
                users.append(path.name)
    assert set(users) <= {"remote.py"}


def test_flags_are_defined_in_entry_points_only() -> None:
    entry_points = {path.stem for path in PACKAGE.glob("*.py") if "flags.DEFINE" in path.read_text()}
    assert "cli" in entry_points
    for path in PACKAGE.glob("*.py"):
        assert not imports_of(path, everywhere=True) & entry_points, f"{path.name} imports an entry point"


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


@pytest.mark.parametrize("modules", [NO_TENSORFLOW])
def test_the_converter_and_its_workers_load_no_tensorflow(modules: list[str]) -> None:
    code = "import sys\n" + "".join(f"import voc_tfdata.{name}\n" for name in modules)
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
