"""export_model from a checkout: python tools/export_model.py --help"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs without an installation

from voc_tfdata.commands.export_model import run

if __name__ == "__main__":
    run()
