"""Runs the notebooks of the documentation from top to bottom, each in a fresh folder; the first error ends it.

python docs/run_notebooks.py                  # as docs/build does
python docs/run_notebooks.py --write          # keep what they print and draw, to be committed
python docs/run_notebooks.py tutorial_torch_loop
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
NEEDS = {"tutorial_torch_loop": "torch"}  # left out where the package is not installed


def main(names: list[str], *, write: bool) -> None:
    """Runs the notebooks of these names, or all."""
    for path in sorted(HERE.glob("*.ipynb")):
        if names and path.stem not in names:
            continue
        if not _is_installed(NEEDS.get(path.stem, "sys")):
            print(f"{path.stem}: left out, {NEEDS[path.stem]} is not installed")
            continue
        started = time.monotonic()
        book = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            NotebookClient(book, timeout=600, resources={"metadata": {"path": folder}}).execute()
        print(f"{path.stem}: ran in {time.monotonic() - started:.0f} s")
        if write:
            _without_noise(book)
            nbformat.write(book, path)


def _is_installed(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None


def _without_noise(book: nbformat.NotebookNode) -> None:
    """Leaves out what differs from run to run and tells nothing: logs, times, the machine's Python."""
    book.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    for number, cell in enumerate(book.cells):
        cell["id"] = f"cell-{number}"
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]


if __name__ == "__main__":
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # the commands of this environment
    arguments = sys.argv[1:]
    main([name for name in arguments if not name.startswith("--")], write="--write" in arguments)
