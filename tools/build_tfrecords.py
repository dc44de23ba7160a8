"""build_tfrecords from a checkout: python tools/build_tfrecords.py --help"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs without an installation

from voc_tfdata.commands.build_tfrecords import run

if __name__ == "__main__":
    run()
