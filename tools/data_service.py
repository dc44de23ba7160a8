"""data_service from a checkout: python tools/data_service.py --help"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs without an installation

from voc_tfdata.commands.data_service import run

if __name__ == "__main__":
    run()
