"""A user's own function, named on the command line: --model=networks.py:build, --callbacks=trackers:mlflow."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any


def load_function(name: str, *, flag: str) -> Callable[..., Any]:
    """Returns the function that "FILE.py:FUNCTION" or "module:FUNCTION" names; importing it runs its file.

    Args:
      name: of the function.
      flag: that named it, for the messages, e.g. "--model".

    Raises:
      FileNotFoundError: there is no such file, module or function.
      ValueError: the name is of another form.
    """
    place, colon, function_name = name.rpartition(":")
    if not colon or not place or not function_name:
        raise ValueError(f"{flag}={name}; it is FILE.py:FUNCTION or module:FUNCTION")
    told = f"{flag}={name}"
    function = getattr(_import(place, told), function_name, None)
    if not callable(function):
        raise FileNotFoundError(f"{told}: {place} has no function {function_name}")
    return function  # type: ignore[no-any-return]


def _import(place: str, told: str) -> Any:
    if not place.endswith(".py"):
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as err:
            raise FileNotFoundError(f"{told}: no such module ({err}); name a file as FILE.py:FUNCTION") from err
    if not Path(place).is_file():
        raise FileNotFoundError(f"{told}: no such file")
    spec = importlib.util.spec_from_file_location(Path(place).stem, place)
    assert spec is not None and spec.loader is not None  # of a .py file
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
