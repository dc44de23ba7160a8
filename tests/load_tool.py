"""Entry points as modules, for tests that call their functions.

tool = load_tool("tools/download_voc.py")
folder = tool.download_voc(2007, tmp_path)

absl keeps one table of flags a process. Entry points use the same names (out_dir) and are never imported together by
a user; a test session that imports two of them ends in DuplicateFlagError.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from absl import flags

_ROOT = Path(__file__).resolve().parents[1]


def load_tool(path: str) -> ModuleType:
    """Returns an entry point as a module and leaves the flags of the process as they were.

    Its own flags are taken out again, so call its functions; its main, which reads them, is for a process of its own.

    Args:
      path: of the script, from the top of the checkout.
    """
    others = {
        module_name: tuple(defined)
        for module_name, defined in flags.FLAGS.flags_by_module_dict().items()
        if not module_name.startswith("absl.")
    }
    flags.FLAGS.remove_flag_values([flag.name for defined in others.values() for flag in defined])
    spec = importlib.util.spec_from_file_location(f"{Path(path).stem}_loaded", _ROOT / path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there, and absl the one that defines a flag
    try:
        spec.loader.exec_module(module)
    finally:
        own = flags.FLAGS.flags_by_module_dict().get(spec.name, [])
        flags.FLAGS.remove_flag_values([flag.name for flag in own])
        for module_name, defined in others.items():
            for flag in defined:
                flags.DEFINE_flag(flag, module_name=module_name)
    return module
