"""A user's function is found by its file or module, or said to be missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from voc_tfdata.own_code import load_function


def test_a_function_of_a_file_and_of_a_module_are_found(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def make():\n    return 7\n")
    assert load_function(f"{tmp_path}/mine.py:make", flag="--callbacks")() == 7
    assert load_function("os.path:basename", flag="--callbacks")("a/b") == "b"


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("no_such_module_here:make", FileNotFoundError, "no such module .*FILE.py:FUNCTION"),
        ("none.py:make", FileNotFoundError, "no such file"),
        ("os.path:none", FileNotFoundError, "os.path has no function none"),
        ("os.path", ValueError, "it is FILE.py:FUNCTION or module:FUNCTION"),
        (":make", ValueError, "it is FILE.py:FUNCTION or module:FUNCTION"),
    ],
)
def test_what_is_not_there_is_said(name: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"--callbacks={name}.*{words}"):
        load_function(name, flag="--callbacks")
